"""Reads JSON as some servers write it and no strict reader accepts, as ordinary values. Pure.

Observed: NaN, line ends inside texts, halves of surrogate pairs (a model's text cut by letters), a guard before the
value, another value or a comment behind it. A picture beside such a thing is still paid for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from msgspec import Raw

from shared.core.values.late_pattern import late_pattern

GUARD_LETTERS = 100
"""Before the first value."""
MOST_VALUES = 1_000
_START = late_pattern(r"[{\[]")
_BETWEEN = late_pattern(r"[\s,\x00\x1e]*")


def mended(body: bytes | bytearray) -> list[Raw]:
    """The values in the body, without the unreadable rest; empty for a page, and for a body without JSON."""
    if bytes(body[:200]).lstrip()[:1] == b"<":
        return []
    try:
        return [
            Raw(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
            for value in _values(body.decode("utf-8", "replace"))
        ]
    except RecursionError:
        return []


def _values(text: str) -> Iterator[Any]:
    match = _START().search(text, 0, GUARD_LETTERS)
    decoder = json.JSONDecoder(strict=False, parse_constant=lambda _: None)
    at = match.start() if match else len(text)
    for _ in range(MOST_VALUES):
        if text[at : at + 1] not in ("{", "["):
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            return
        yield value
        between = _BETWEEN().match(text, at)
        at = between.end() if between else at
