"""Which worker processes exist, by what each reports in `workers/{boot}` once a minute. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct, field

from shared.core.values.codec import Stored
from shared.core.values.documents import Document

COLLECTION = "workers"
TOLD_EVERY = timedelta(minutes=1)
PRESENT = timedelta(minutes=3)
"""A process that worked within this time counts as present. An idle one does not report."""
KEPT = timedelta(days=1)


class WorkerSeen(Stored, frozen=True):
    """One process."""

    boot: str
    seen_at: datetime
    started_at: datetime
    version: str = ""
    functions: Mapping[str, datetime] = field(default_factory=dict)
    """When each of its functions last finished a message."""


class Fleet(Struct, frozen=True):
    """The processes that are present, the most recently active first, and which one leads."""

    now: datetime
    present: tuple[WorkerSeen, ...] = ()
    last: WorkerSeen | None = None
    """The most recently active one, present or not."""
    leader: str | None = None
    """The boot id of the leading pump."""
    led_until: datetime | None = None

    @property
    def versions(self) -> list[str]:
        return sorted({item.version for item in self.present if item.version})

    @property
    def leading(self) -> WorkerSeen | None:
        return next((item for item in self.present if item.boot == self.leader), None)


def read_fleet(documents: Sequence[Document], leader: str | None, led_until: datetime | None, now: datetime) -> Fleet:
    processes = [WorkerSeen.from_json(item.data) for item in documents if item.is_readable]
    present = tuple(item for item in processes if now - item.seen_at < PRESENT)
    leads = leader if led_until is not None and led_until > now else None
    return Fleet(now, present, processes[0] if processes else None, leads, led_until)
