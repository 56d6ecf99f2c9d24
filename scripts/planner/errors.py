"""What is wrong with what the planner was asked."""

from __future__ import annotations


class InvalidLoad(ValueError):
    """Names the option or field, what was found, what is allowed, and where it helps the remedy."""


def wrong(field: str, value: str, allowed: str) -> InvalidLoad:
    return InvalidLoad(f"{field}: found {value!r}; allowed: {allowed}")
