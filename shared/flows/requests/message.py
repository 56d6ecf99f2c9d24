"""What a function hands to a flow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field


class Message(Struct, frozen=True):
    """One delivery of one message."""

    id: str
    data: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)
    subscription: str = ""
    """The short name of the subscription it came by, if known."""
    published_at: datetime | None = None
    """If the push says it."""
    delivery_attempt: int | None = None
    """If the subscription has a dead letter policy."""

    def __repr__(self) -> str:
        """Without the prompt."""
        return f"Message({self.id!r}, {len(self.data)} bytes)"
