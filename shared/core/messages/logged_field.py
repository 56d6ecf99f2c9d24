"""What a log may say of a field that a publisher named. Pure.

A field that is declared stands in full. A name of the publisher's own, an unknown field or the key of a label, may be
anything, a prompt too: it is told to the publisher and never to a log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from shared.core.messages.render_request import request_schema

_OTHERS = frozenset({"the message", "cancel", "revives", "data", "budget"})
"""Of messages as a whole, and of what is no field."""
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
