"""What the pump sees of the world at a tick: reports of workers, live limits, and how much is in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct, field

from shared.core.admission.clock_rewind import FELL
from shared.core.conclusions.evidence import Heard
from shared.core.conclusions.evidence import summed as summed_heard
from shared.core.conclusions.worker_report import WorkerReport
from shared.core.lifecycle import queries
from shared.core.limits import live_quota
from shared.core.limits.live_quota import LiveLimits, LiveQuota
from shared.core.limits.observations import ModelObservations, StartSignal, summed
from shared.core.provider.circuit_health import REMEMBERED, Health
from shared.core.provider.circuit_health import summed as summed_health
from shared.core.values.codec import stored_in
from shared.core.values.documents import Document
from shared.flows.operations.flags import Board, read_board
from shared.flows.operations.gateway_proofs import read_off
from shared.ports import Ports

COUNT_EVERY = 5.0
"""Seconds between two counts of what is in flight, unless that is what holds a queue."""
LIVE_EVERY = 5.0
FLAGS_EVERY = 0.9
GATEWAYS_EVERY = 3.0
MOST_TAKEN = 200
"""Open slots that were taken, counted by one tick."""
FIRST_LOOK = timedelta(days=1)
"""What speaks for a conclusion may have been reported while nobody led."""


class PumpSight(Struct):
    """One per lead."""

    ports: Ports
    live: Mapping[str, LiveLimits] = field(default_factory=dict)
    in_air: int = 0
    late: frozenset[str] = frozenset()
    """Models of which the last look found releases that came late: they stand in their queues again."""
    board: Board = field(default_factory=Board)
    """The flags, as of at most FLAGS_EVERY ago."""
    gateways_off: Mapping[str, str | None] = field(default_factory=dict)
    """By name, why nothing goes to a gateway, as of at most GATEWAYS_EVERY ago; None = it is proven."""
    gateways_changed: bool = False
    """By the last look."""
    health: Mapping[str, Health] = field(default_factory=dict)
    """What the fleet met, by circuit."""
    heard: Mapping[str, Heard] = field(default_factory=dict)
    """What the fleet heard for and against conclusions, by id."""
    taken: Sequence[Document] = ()
    """Open slots that were taken or withdrawn, as of the last look."""
    taken_from: datetime | None = None
    """When that look began; None where there were more."""
    _reports: Mapping[str, Mapping[str, ModelObservations]] = field(default_factory=dict)
    """By worker process and model."""
    _drift: dict[tuple[str, str], Mapping[int, int]] = field(default_factory=dict)
    """What calendars have been corrected by, by process and model."""
    _late_known: dict[str, int] = field(default_factory=dict)
    _looked: bool = False
    _counted: dict[str, int] = field(default_factory=dict)
    _granted: dict[str, int] = field(default_factory=dict)
    """Since the last count."""
    _counted_at: float = float("-inf")
    _live_at: float = float("-inf")
    _flags_at: float = float("-inf")
    _gateways_at: float = float("-inf")

    async def look(self, models: Collection[str], now: datetime, *, recounts: bool, air: bool) -> None:
        """Read what is due: reports and, where some are out, releases at each tick, the rest less often."""
        monotonic = self.ports.clock.monotonic()
        parts = [self._read_reports(now), self._read_taken(now)]
        if air or self.in_air:
            parts.append(self._count_air())
        if recounts or monotonic - self._counted_at >= COUNT_EVERY:
            self._counted_at = monotonic
            parts.append(self._count(models))
        if monotonic - self._live_at >= LIVE_EVERY:
            self._live_at = monotonic
            parts.append(self._read_live())
        self.gateways_changed = False
        if self.ports.gateways and monotonic - self._gateways_at >= GATEWAYS_EVERY:
            self._gateways_at = monotonic
            parts.append(self._read_gateways(now))
        if monotonic - self._flags_at >= FLAGS_EVERY:
            self._flags_at = monotonic
            parts.append(self.read_flags())
        await asyncio.gather(*parts)

    @property
    def reports(self) -> dict[str, ModelObservations]:
        models = {model for report in self._reports.values() for model in report}
        return {
            model: summed(report[model] for report in self._reports.values() if model in report) for model in models
        }

    @property
    def running(self) -> dict[str, int]:
        """What was counted, plus what has been released since: never too little."""
        return {
            model: self._counted.get(model, 0) + self._granted.get(model, 0)
            for model in {*self._counted, *self._granted}
        }

    def granted(self, models: Collection[str]) -> None:
        for model in models:
            self._granted[model] = self._granted.get(model, 0) + 1

    def drift(self) -> dict[str, dict[int, int]]:
        """Input tokens by model and half-second that were reported to be more since this was last asked."""
        changes: dict[str, dict[int, int]] = {}
        for boot, models in self._reports.items():
            for model, observed in models.items():
                counted = self._drift.get((boot, model), {})
                self._drift[boot, model] = observed.drift
                for bucket, tokens in observed.drift.items():
                    if tokens != counted.get(bucket, 0):
                        by_bucket = changes.setdefault(model, {})
                        by_bucket[bucket] = by_bucket.get(bucket, 0) + tokens - counted.get(bucket, 0)
        return changes

    async def _read_reports(self, now: datetime) -> None:
        """Whole reports of the last while, by any worker's clock: reading one twice changes nothing."""
        since = now - (REMEMBERED if self._looked else FIRST_LOOK)
        read = await self.ports.store.query(queries.evidence_since(since))
        reports = {document.id: stored_in(document, WorkerReport) for document in read}
        ahead = now + FELL  # what lies beyond was told by a clock set back since
        reports = {process: report for process, report in reports.items() if report.updated_at <= ahead}
        self._reports = {process: report.models for process, report in reports.items()}
        by_circuit: dict[str, list[Health]] = {}
        by_conclusion: dict[str, list[Heard]] = {}
        for report in reports.values():
            for circuit, health in report.routes.items():
                by_circuit.setdefault(circuit, []).append(health)
            for conclusion, heard in report.heard.items():
                by_conclusion.setdefault(conclusion, []).append(heard)
        self.health = {circuit: summed_health(healths) for circuit, healths in by_circuit.items()}
        self.heard = {conclusion: summed_heard(heards, now) for conclusion, heards in by_conclusion.items()}
        if not self._looked:
            self.drift()  # what was reported to an earlier pump is done with
        self._looked = True
        late: dict[str, int] = {}
        for models in self._reports.values():
            for model, observed in models.items():
                counts = (
                    sum(observed.counts.get(sign, {}).values())
                    for sign in (StartSignal.LATE, StartSignal.DELIVERED_LATE)
                )
                late[model] = late.get(model, 0) + sum(counts)
        self.late = frozenset(model for model, count in late.items() if count > self._late_known.get(model, 0))
        self._late_known = late

    async def _read_taken(self, now: datetime) -> None:
        """After the heads: a request that has given its open slot back is seen together with the taking of it."""
        self.taken = await self.ports.store.query(queries.taken_slots(MOST_TAKEN))
        self.taken_from = now if len(self.taken) < MOST_TAKEN else None

    async def _count_air(self) -> None:
        self.in_air = await self.ports.store.count(queries.in_status("released", 10_000))

    async def _count(self, models: Collection[str]) -> None:
        pairs = [(model, status) for model in models for status in ("released", "rendering")]
        self._granted = {}
        counts = await asyncio.gather(
            *(self.ports.store.count(queries.in_flight(model, status, 10_000)) for model, status in pairs)
        )
        self._counted = dict.fromkeys(models, 0)
        for (model, _), count in zip(pairs, counts, strict=True):
            self._counted[model] += count

    def flags_changed(self) -> None:
        """Or may have: the next look reads them."""
        self._flags_at = float("-inf")

    async def read_flags(self) -> None:
        self.board = await read_board(self.ports)

    async def _read_gateways(self, now: datetime) -> None:
        ports = self.ports
        reasons = await read_off(ports.store, ports.catalogue, ports.gateways, now)
        self.gateways_changed = reasons != self.gateways_off
        self.gateways_off = reasons

    async def _read_live(self) -> None:
        document = await self.ports.store.get(live_quota.PATH)
        self.live = LiveQuota.from_json(document.data).by_model if isinstance(document, Document) else {}
