"""What the overview shows: the verdict, the routes, the queues with their reasons, the active flags."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from shared.core.admission.route_memory import Effect
from shared.core.observability.status_summary import HISTORY_WINDOW, QuotaUse, Summary, Waiting
from shared.core.observability.verdict import Scene, Verdict
from shared.core.observability.workers import Fleet
from shared.core.routing.breaker import Circuit
from shared.core.routing.flag import BREAKER, Flag
from shared.flows.operations import routing_snapshot
from shared.flows.operations.routing_snapshot import RoutingSnapshot
from shared.flows.status import scene_reading
from shared.flows.status.scene_reading import Situation
from shared.ports import Ports

CHART_MINUTES = int(HISTORY_WINDOW.total_seconds() // 60)


class ShownFlag(Struct, frozen=True):
    """A tripped flag with its effect so far."""

    flag: Flag
    effect: Effect
    circuit: Circuit | None
    ours: bool
    """It can be changed here."""

    @property
    def is_breaker(self) -> bool:
        return self.flag.actor == BREAKER

    @property
    def does(self) -> str:
        return f"{self.flag.name} to {self.flag.to}" if self.flag.to else self.flag.name

    @property
    def because(self) -> str:
        return self.flag.reason.removeprefix(f"{self.flag.circuit}: ")


class MinuteColumn(Struct, frozen=True):
    """One minute of a model's hour."""

    minute: int
    """0 for the oldest, CHART_MINUTES - 1 for this one."""
    height: int
    """A percentage of the chart."""
    full: bool
    """The limit was reached, or nearly."""


class TenantQueue(Struct, frozen=True):
    """What one tenant has waiting for one model."""

    tenant: str
    count: int
    oldest_at: datetime
    reason: str
    """Empty if nothing blocks it."""


class ModelQueue(Struct, frozen=True):
    """Everything that waits for one model, as far as the summary lists it."""

    model: str
    count: int
    oldest_at: datetime
    by_priority: Mapping[str, int]
    tenants: tuple[TenantQueue, ...]
    """The longest queue first."""

    @property
    def reasons(self) -> dict[str, int]:
        """Requests by what blocks them, the most frequent first."""
        counts: dict[str, int] = {}
        for own in self.tenants:
            counts[own.reason] = counts.get(own.reason, 0) + own.count
        return dict(sorted(counts.items(), key=lambda pair: -pair[1]))


class Overview(Struct, frozen=True):
    situation: Situation
    flags: tuple[ShownFlag, ...]

    @property
    def now(self) -> datetime:
        return self.situation.scene.now

    @property
    def summary(self) -> Summary | None:
        return self.situation.summary

    @property
    def routing(self) -> RoutingSnapshot:
        return self.situation.routing

    @property
    def scene(self) -> Scene:
        return self.situation.scene

    @property
    def verdict(self) -> Verdict:
        return self.situation.verdict

    @property
    def fleet(self) -> Fleet:
        return self.scene.fleet

    @property
    def others_waiting(self) -> int:
        """Of tenants that the summary does not list separately."""
        if self.summary is None:
            return 0
        return max(0, self.summary.queued_count - sum(group.count for group in self.summary.waiting))

    @property
    def queues(self) -> list[ModelQueue]:
        """By model, the longest queue first."""
        by_model: dict[str, list[Waiting]] = {}
        for group in self.summary.waiting if self.summary is not None else ():
            by_model.setdefault(group.model, []).append(group)
        queues = [self._queue(model, groups) for model, groups in by_model.items()]
        return sorted(queues, key=lambda queue: (-queue.count, queue.model))

    def _queue(self, model: str, groups: list[Waiting]) -> ModelQueue:
        by_tenant: dict[str, list[Waiting]] = {}
        by_priority: dict[str, int] = {}
        for group in groups:
            by_tenant.setdefault(group.tenant, []).append(group)
            by_priority[group.priority] = by_priority.get(group.priority, 0) + group.count
        tenants = [
            TenantQueue(
                tenant,
                sum(group.count for group in own),
                min(group.oldest_at for group in own),
                self.reason(model, tenant),
            )
            for tenant, own in by_tenant.items()
        ]
        return ModelQueue(
            model,
            sum(group.count for group in groups),
            min(group.oldest_at for group in groups),
            by_priority,
            tuple(sorted(tenants, key=lambda own: (-own.count, own.tenant))),
        )

    def reason(self, model: str, tenant: str) -> str:
        return self.situation.reason(model, tenant)


async def look(ports: Ports) -> Overview:
    """Raises StoreUnavailable."""
    now = await scene_reading.read(
        ports.store,
        routing_snapshot.read(
            ports.store, ports.flag_source, ports.catalogue, ports.gateways_in_use, ports.vertex_in_use
        ),
    )
    return Overview(now, shown(now.routing))


def shown(snapshot: RoutingSnapshot) -> tuple[ShownFlag, ...]:
    """Breakers' after all others."""
    return tuple(
        ShownFlag(
            flag, snapshot.routing.effects.get(flag.id, Effect()), snapshot.routing.circuits.get(flag.circuit or ""),
            flag.id in snapshot.own.flags,
        )
        for flag in snapshot.tripped
    )  # fmt: skip


def chart(use: QuotaUse, now: datetime) -> list[MinuteColumn]:
    """By percentage of the tightest limit, else by the busiest minute."""
    first = now.replace(second=0, microsecond=0) - timedelta(minutes=CHART_MINUTES - 1)
    most = max((sample.starts for sample in use.samples), default=1)
    columns = []
    for sample in use.samples:
        minute = int((sample.at - first).total_seconds() // 60)
        if 0 <= minute < CHART_MINUTES:
            percent = round(100 * sample.starts / most) if sample.percent is None else sample.percent
            full = sample.percent is not None and sample.percent >= 95
            columns.append(MinuteColumn(minute, max(4, min(100, percent)), full))
    return columns
