"""What others read of the pump's document, `pump/pump`: the lead, what waits, and why. The pump alone writes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import field

from shared.core.values.codec import Record, Stored
from shared.core.values.documents import Absent, Document, Fields


class FleetRecord(Stored, frozen=True):
    """What others read of the pace of starts."""

    lead_seconds: float
    """From a decision to the earliest slot."""


class PumpRecord(Record, frozen=True):
    lead_holder: str | None = None
    """The process that leads; None while none does."""
    lead_until: datetime | None = None
    lead_since: datetime | None = None
    lead_release: str = ""
    waiting: tuple[str, ...] = ()
    """Queues that have something waiting."""
    served: Mapping[str, float] = field(default_factory=dict)
    """By queue, the largest fair tag that got a slot."""
    blocked: Mapping[str, Fields] | None = field(default=None, name="held")
    """By model, why its queue waits."""
    over_budget: tuple[str, ...] = ()
    """Tenants of whom requests wait for money."""
    gateways: tuple[str, ...] = ()
    """In use where the pump runs."""
    vertex: str | None = None
    routing: Fields = field(default_factory=dict)
    fleet: FleetRecord | None = None
    """None before the first tick."""

    @classmethod
    def of(cls, document: Document | Absent) -> PumpRecord:
        return cls.from_json(document.data) if isinstance(document, Document) else cls()
