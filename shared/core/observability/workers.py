"""Which processes of the worker there are, as each says of itself in `workers/{boot}` once a minute. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct, field

from shared.core.values.codec import Stored
from shared.core.values.documents import Document

COLLECTION = "workers"
TOLD_EVERY = timedelta(minutes=1)
PRESENT = timedelta(minutes=3)
"""A process that worked within so long counts as there. One that has nothing to do says nothing."""
KEPT = timedelta(days=1)


class WorkerSeen(Stored, frozen=True):
    """One process."""

    boot: str
    seen_at: datetime
    started_at: datetime
    version: str = ""
    functions: Mapping[str, datetime] = field(default_factory=dict)
    """When each of its functions last ended a message."""


class Fleet(Struct, frozen=True):
    """The processes that are there, the last that worked first, and who leads."""

    now: datetime
    present: tuple[WorkerSeen, ...] = ()
    last: WorkerSeen | None = None
    """The last that worked, present or not."""
    leader: str | None = None
    """The boot of the pump that leads."""
    led_until: datetime | None = None

    @property
    def versions(self) -> list[str]:
        return sorted({each.version for each in self.present if each.version})

    @property
    def leading(self) -> WorkerSeen | None:
        return next((each for each in self.present if each.boot == self.leader), None)


def read_fleet(documents: Sequence[Document], leader: str | None, led_until: datetime | None, now: datetime) -> Fleet:
    known = [WorkerSeen.from_json(each.data) for each in documents if each.is_readable]
    present = tuple(each for each in known if now - each.seen_at < PRESENT)
    leads = leader if led_until is not None and led_until > now else None
    return Fleet(now, present, known[0] if known else None, leads, led_until)
