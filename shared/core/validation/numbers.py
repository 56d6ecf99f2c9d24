"""Whole numbers that come from outside as text."""

from __future__ import annotations


def whole_number(text: str, most_digits: int = 9) -> int | None:
    """None for text that is not a whole number, or has too many digits: Python refuses to read thousands of them.

    Source: https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation
    """
    return int(text) if text.isdecimal() and len(text) <= most_digits else None
