"""What `--json` prints: one line for each object, times as RFC 3339 in UTC, money in dollars as text.

Every verb writes its JSON with `to_json`, so that no output has a second unit of money.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from shared.core.validation.visible import json_line
from shared.core.values.money import in_dollars


class JsonForm(Struct, frozen=True):
    """How requests are printed as JSON."""

    raw: bool = False
    """The whole stored document with its attempts, instead of the public view."""
    with_prompt: bool = False


def to_json(document: Mapping[str, Any]) -> str:
    return json_line(in_dollars(document), _moment)


def _moment(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no place in a status document")
