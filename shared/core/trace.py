"""W3C trace context, as far as a message carries it."""

from __future__ import annotations

import re
from collections.abc import Mapping

TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")


def traceparent_of(attributes: Mapping[str, str], fresh: str) -> str:
    """The caller's context from `traceparent` or `googclient_traceparent`, else a new one.

    `fresh` is 48 hexadecimal digits of chance. A malformed context is no context (W3C Trace Context, 3.2).
    """
    for name in ("traceparent", "googclient_traceparent"):
        if TRACEPARENT.fullmatch(attributes.get(name, "")):
            return attributes[name]
    return f"00-{fresh[:32]}-{fresh[32:48]}-01"


def trace_id_of(traceparent: str) -> str:
    return traceparent.split("-")[1]
