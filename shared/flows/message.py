"""What a function hands to a flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of one message."""

    id: str
    data: bytes = field(repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict)
    subscription: str = ""
    """The short name of the subscription it came by, where known."""
    published_at: datetime | None = None
    """Where the push says it."""
