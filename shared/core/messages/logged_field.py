"""What a log may contain of a field that a publisher named. Pure.

A declared field is logged in full. A name of the publisher's own, such as an unknown field or the key of a label, may
be anything, even a prompt: it is reported to the publisher and never logged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from shared.core.messages.render_request import request_schema

_OTHERS = frozenset({"the message", "cancel", "revives", "data", "budget"})
"""For messages as a whole, and for what is no field."""
HIDDEN = "…"


def logged_field(field: str) -> str:
    """`labels.spring[0]` becomes `labels.…`."""
    if field in _OTHERS:
        return field
    return ".".join(part if re.sub(r"\[\d+\]", "", part) in _declared() else HIDDEN for part in field.split("."))


@cache
def _declared() -> frozenset[str]:
    return frozenset(_names(request_schema())) | _OTHERS


def _names(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, Mapping) else ()
        for part in schema.values():
            yield from _names(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _names(part)
