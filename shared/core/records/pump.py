"""What others read of the pump's document, `pump/pump`: the leader, what waits, and why. Only the pump writes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import field

from shared.core.values.codec import Record, Stored
from shared.core.values.documents import Absent, Document, Fields


class FleetRecord(Stored, frozen=True):
    """What others read of the pace of starts."""

    lead_seconds: float
    """Time from a decision to the earliest slot."""


class PumpRecord(Record, frozen=True):
    lead_holder: str | None = None
    """The process that leads; None if none does."""
    lead_until: datetime | None = None
    lead_since: datetime | None = None
    lead_release: str = ""
    waiting: tuple[str, ...] = ()
    """Queues that have requests waiting."""
    served: Mapping[str, float] = field(default_factory=dict)
    """By queue, the largest fair tag that got a slot."""
    blocked: Mapping[str, Fields] | None = field(default=None, name="held")
    """By model, why its queue waits."""
    over_budget: tuple[str, ...] = ()
    """Tenants whose requests wait for money."""
    gateways: tuple[str, ...] = ()
    """The settings of the running pump."""
    vertex: str | None = None
    routing: Fields = field(default_factory=dict)
    fleet: FleetRecord | None = None
    """None before the first tick."""

    @classmethod
    def of(cls, document: Document | Absent) -> PumpRecord:
        return cls.from_json(document.data) if isinstance(document, Document) else cls()
