"""The current state, gathered periodically into one document, `summary/summary`, so that a look is one read. Pure.

The pump writes it while it leads, `watch` when no pump does. Flags, breakers and the pump's reasons are not in it: they
have documents of their own, which a reader reads beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.accounting.budget import Over, PeriodName
from shared.core.limits.effective import DIMENSIONS, EffectiveLimit
from shared.core.observability.meter import Meter
from shared.core.values.codec import Stored
from shared.core.values.documents import Fields

PATH = "summary/summary"
WRITE_INTERVAL = timedelta(seconds=5)
"""Shortest interval between two writes."""
HISTORY_WINDOW = timedelta(hours=1)
"""How long quota use is kept, and how far back ends count as recent."""
NEWEST_KEPT = 5
"""Requests that a group of failures names."""


class QueueDepth(Struct, frozen=True):
    """Everything that waits with one priority."""

    priority: str
    count: int
    oldest_at: datetime | None
    """When the longest of these waits began; None if nothing waits."""


class Waiting(Struct, frozen=True):
    """What one tenant has in one queue."""

    model: str
    priority: str
    tenant: str
    count: int
    oldest_at: datetime


class Running(Struct, frozen=True):
    """One attempt in flight."""

    request_id: str
    tenant: str
    model: str
    lane: str
    since: datetime


class Sample(Struct, frozen=True):
    """One model's use in one minute."""

    at: datetime
    """The minute's beginning."""
    starts: int
    """The most that this minute's window held when it was observed."""
    percent: int | None
    """Of the tightest limit; None if none is known."""


class QuotaUse(Struct, frozen=True):
    """One model's limits and their use."""

    model: str
    used: Mapping[str, int]
    """By dimension: of the last minute, and of the Pacific day."""
    limits: Mapping[str, EffectiveLimit]
    closed_until: datetime | None = None
    closed_why: str = ""
    denied_until: datetime | None = None
    samples: tuple[Sample, ...] = ()
    """Minutes with any use, the oldest first, over RING."""

    @property
    def tightest(self) -> tuple[str, int, int] | None:
        """Dimension, used amount and limit of the most used limit; None if no limit is known."""
        uses = [
            (dimension, self.used[dimension], limit.value)
            for dimension in DIMENSIONS
            if dimension in self.used and (limit := self.limits.get(dimension)) and limit.value is not None
        ]
        return max(uses, key=lambda pair: _share(pair[1], pair[2]), default=None)

    @property
    def percent(self) -> int | None:
        tight = self.tightest
        return None if tight is None else round(100 * _share(tight[1], tight[2]))


class BudgetStatus(Struct, frozen=True):
    """One tenant's budget and what was spent of it."""

    tenant: str
    period: PeriodName
    over: Over
    limit_micros: int
    spent_micros: int
    held_micros: int
    waiting: int
    """Requests that wait for money."""


class Spent(Struct, frozen=True):
    """The ledger of one day (UTC), by contract, and the budgets."""

    at: datetime
    """When it was read."""
    day: str
    google_micros: int
    gateway_micros: int
    """Another contract: never added to Google's."""
    unknown_attempts: int
    """Attempts of unknown cost; no amount includes them."""
    by_tenant: Mapping[str, int]
    """Google's part in micro-dollars, dearest first."""
    complete: bool
    """False if the day has more rows than are read."""
    budgets: tuple[BudgetStatus, ...] = field(default=(), name="purses")
    by_use: Mapping[str, int] = field(default_factory=dict)
    """Google's part in micro-dollars by what was paid for: `Total.by_use`."""
    free_attempts: int = 0
    """Attempts that cost nothing by the provider's terms."""


class LatestEnd(Struct, frozen=True):
    request_id: str
    at: datetime


class Failures(Struct, frozen=True):
    """Requests that ended the same way within the last hour."""

    status: str
    code: str
    count: int
    message: str
    """Of the newest one."""
    newest: tuple[LatestEnd, ...]


class EndedStatus(Struct, frozen=True):
    """Requests of one status that ended within the last hour, the newest of them grouped."""

    status: str
    groups: tuple[Failures, ...]
    complete: bool
    """False if there are more than are read."""
    newest: LatestEnd | None = None
    """Count since the beginning: as long as it is unchanged, nothing of the kind has ended since."""
    at: datetime | None = None
    """When the groups were read."""


class Summary(Stored, frozen=True):
    at: datetime
    """By the store's time."""
    depths: tuple[QueueDepth, ...] = ()
    """One per priority, the most urgent first."""
    waiting: tuple[Waiting, ...] = ()
    running: tuple[Running, ...] = ()
    """The longest lease first, a part of `running_count`."""
    running_count: int = 0
    awaiting_count: int = 0
    """Of these, those that wait for their interaction at the provider."""
    awaiting_since: datetime | None = None
    """When the longest of them started; None if none waits."""
    batched_count: int = 0
    quota: tuple[QuotaUse, ...] = ()
    spent: Spent | None = None
    ended: tuple[EndedStatus, ...] = ()
    busy_at: datetime | None = None
    """When anything last waited or ran."""
    meter: Meter = Meter()
    """How each route performs, and the open minute of the series so far."""
    release: str = ""
    """The process that wrote it: the leading pump, or watch."""

    @property
    def queued_count(self) -> int:
        return sum(depth.count for depth in self.depths)

    @property
    def failures(self) -> list[Failures]:
        """Of all kinds, the most frequent first."""
        groups = [group for ended_status in self.ended for group in ended_status.groups]
        return sorted(groups, key=lambda item: (-item.count, item.code))

    def of_model(self, model: str) -> QuotaUse | None:
        return next((quota_use for quota_use in self.quota if quota_use.model == model), None)

    def to_json(self) -> dict[str, Any]:
        """The document: one field for all panels, so that nothing in it needs an index."""
        panels = super().to_json()
        return {"at": panels.pop("at"), "panels": panels}

    @classmethod
    def from_json(cls, data: Fields) -> Self:
        return super().from_json({**data["panels"], "at": data["at"]})


def sampled(before: QuotaUse | None, now_used: QuotaUse, now: datetime) -> QuotaUse:
    """With this moment added to its minute's sample, and without what is older than RING."""
    at = now.replace(second=0, microsecond=0)
    kept = [sample for sample in (before.samples if before else ()) if at - HISTORY_WINDOW < sample.at < at]
    this = next((sample for sample in (before.samples if before else ()) if sample.at == at), Sample(at, 0, None))
    percents = [number for number in (this.percent, now_used.percent) if number is not None]
    this = Sample(at, max(this.starts, now_used.used.get("rpm", 0)), max(percents, default=None))
    return replace(now_used, samples=(*kept, *([this] if this.starts else [])))


def grouped(status: str, endings: Sequence[tuple[LatestEnd, str, str]], *, since: datetime) -> tuple[Failures, ...]:
    """`endings`: the newest first, each with the code and message of its outcome. Ends before `since` are omitted."""
    groups: dict[str, list[tuple[LatestEnd, str]]] = {}
    for newest, code, message in endings:
        if newest.at >= since:
            groups.setdefault(code, []).append((newest, message))
    return tuple(
        Failures(status, code, len(group), group[0][1], tuple(newest for newest, _ in group[:NEWEST_KEPT]))
        for code, group in groups.items()
    )


def _share(used: int, limit: int) -> float:
    return used / limit if limit else 1.0
