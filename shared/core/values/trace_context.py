"""Where a span belongs: W3C trace context, as messages and documents carry it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from msgspec import Struct

TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class Place(Struct, frozen=True):
    """One span of one trace."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    sampled: bool = True
    """Whether the trace is kept: the caller decides for the caller's span, we decide for ours."""

    @classmethod
    def fresh(cls, digits: str, *, sampled: bool = True) -> Place:
        """A new trace; `digits` are 48 random hexadecimal digits."""
        return cls(digits[:32], digits[32:48], sampled)

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """A malformed context is no context (W3C Trace Context, 3.2)."""
        match = TRACEPARENT.fullmatch(text)
        return None if match is None else cls(match[1], match[2], bool(int(match[3], 16) & 1))

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    def beside(self, span_id: str) -> Place:
        """Another span of the same trace."""
        return Place(self.trace_id, span_id, self.sampled)

    def named(self, what: str) -> Place:
        """A span of the same trace that any process can derive from its name."""
        digest = hashlib.sha256(f"{self.trace_id} {self.span_id} {what}".encode()).hexdigest()
        return self.beside(digest[:16])


def caller_of(attributes: Mapping[str, str]) -> Place | None:
    """The caller's context from `traceparent` or `googclient_traceparent`."""
    for name in ("traceparent", "googclient_traceparent"):
        place = Place.parse(attributes.get(name, ""))
        if place is not None:
            return place
    return None
