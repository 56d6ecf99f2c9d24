"""Money is an integer of micro-dollars; text is exact decimal dollars."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

MICROS_PER_USD = 1_000_000


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
