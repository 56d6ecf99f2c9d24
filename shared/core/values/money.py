"""Money is an integer of micro-dollars; text is exact decimal dollars."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

MICROS_PER_USD = 1_000_000
AS_GIVEN = ("labels",)
"""Fields whose names are chosen by the caller."""
_MICROS = re.compile(r"(?<![a-zA-Z0-9])micros(?![a-zA-Z0-9])")
"""As a word within a name: `cost_micros`, `micros_first`, `left_micros_after`."""


def micros_from_usd(text: str) -> int:
    """`"0.30"` -> 300000. Six decimals at most; ValueError otherwise."""
    try:
        micros = Decimal(text) * MICROS_PER_USD
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no amount of dollars") from error
    if not micros.is_finite() or micros != micros.to_integral_value():
        raise ValueError(f"{text!r} is finer than a micro-dollar")
    return int(micros)


def usd(micros: int) -> str:
    """134400 -> `"0.134400"`: exact, for events and documents."""
    return f"{Decimal(micros) / MICROS_PER_USD:.6f}"


def round_micros(amount: Decimal) -> int:
    """Half a micro-dollar rounds up; done once, at the end of a sum."""
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def in_dollars(document: Any) -> Any:
    """A document in its form for programs: each amount in dollars, as text with six decimals, under a name with `usd`.

    `{"cost_micros": 134400}` -> `{"cost_usd": "0.134400"}`. Below such a name all integers are amounts. A caller's own
    `labels` are unchanged.
    """
    return _in_dollars(document, is_money=False)


def usd_name(name: str) -> str:
    """`cost_micros` -> `cost_usd`; other names are unchanged."""
    return _MICROS.sub("usd", name)


def _in_dollars(value: Any, *, is_money: bool) -> Any:
    match value:
        case bool():
            return value
        case int() if is_money:
            return usd(value)
        case Mapping():
            return dict(_field(str(name), part, is_money=is_money) for name, part in value.items())
        case list() | tuple():
            return [_in_dollars(part, is_money=is_money) for part in value]
        case _:
            return value


def _field(name: str, value: Any, *, is_money: bool) -> tuple[str, Any]:
    if name in AS_GIVEN:
        return name, value
    return usd_name(name), _in_dollars(value, is_money=is_money or _MICROS.search(name) is not None)
