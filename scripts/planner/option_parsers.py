"""The short texts of the planner's options: rates, durations, shares."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from scripts.planner.errors import wrong

T = TypeVar("T")

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
DURATION = "a number and s, m, h or d, for example 15m"
RATE = "a number, a slash and s, m or h, for example 450/m"
SHARES = "NAME=SHARE,NAME=SHARE with shares above 0, for example interactive=30,normal=70"


def seconds(field: str, text: str) -> float:
    """`15m` -> 900. Raises InvalidLoad."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if match is None or not 0 < (value := float(match[1]) * SECONDS[match[2]]) < math.inf:
        raise wrong(field, text, DURATION)
    return value


def per_minute(field: str, text: str) -> float:
    """`450/m` -> 450. Raises InvalidLoad."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*/\s*([smh])", text.strip())
    if match is None or not 0 < (value := float(match[1]) * 60.0 / SECONDS[match[2]]) < math.inf:
        raise wrong(field, text, RATE)
    return value


def shares(field: str, text: str, read: Callable[[str, str], T]) -> Mapping[T, float]:
    """`a=30,b=70` with each name read by `read(field, name)`; one without a share counts as 1. Raises InvalidLoad."""
    weights: dict[T, float] = {}
    for part in text.split(","):
        name, equals, share = (word.strip() for word in part.partition("="))
        if not name or (equals and not re.fullmatch(r"\d+(\.\d+)?", share)) or (equals and float(share) <= 0):
            raise wrong(field, part.strip(), SHARES)
        key = read(field, name)
        if key in weights:
            raise wrong(field, part.strip(), "each name once")
        weights[key] = float(share) if equals else 1.0
    return weights
