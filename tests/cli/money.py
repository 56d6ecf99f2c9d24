"""Money in JSON has one unit: dollars, as text with six decimals, under a name that says `usd`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

DOLLARS = re.compile(r"-?\d+\.\d{6}")
OTHER_UNITS = {"micros", "micro", "cents", "cent", "dollars", "eur"}
AMOUNTS = {"cost", "price", "prices", "estimate", "spent", "spend", "saved", "billed", "booked", "charged", "wasted"}
AS_GIVEN = {"labels"}
"""Names of a caller's own."""


def other_units(document: Any, path: str = "", *, is_money: bool = False) -> Iterator[str]:
    """Where a document names another unit, or no unit of an amount."""
    match document:
        case dict():
            for name, value in document.items():
                if name in AS_GIVEN:
                    continue
                words = re.split(r"[^a-zA-Z0-9]+", name)
                place = f"{path}.{name}"
                if OTHER_UNITS & set(words):
                    yield f"{place}: another unit"
                if words[-1] in AMOUNTS and _is_number(value):
                    yield f"{place}: no unit"
                if "usd" in words and isinstance(value, str) and not DOLLARS.fullmatch(value):
                    yield f"{place}: {value!r} has not six decimals"
                yield from other_units(value, place, is_money=is_money or "usd" in words)
        case list():
            for index, value in enumerate(document):
                yield from other_units(value, f"{path}[{index}]", is_money=is_money)
        case _ if is_money and _is_number(document):
            yield f"{path}: {document!r} is no text"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
