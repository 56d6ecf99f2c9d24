"""Everything that the pump has read: workers' reports, flags, live limits, open slots, the number in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.conclusions.evidence import Heard
from shared.core.conclusions.evidence import summed as summed_heard
from shared.core.conclusions.worker_report import WorkerReport
from shared.core.lifecycle import queries
from shared.core.limits import live_quota
from shared.core.limits.live_quota import LiveLimits, LiveQuota
from shared.core.limits.observations import ModelObservations, StartSignal, summed
from shared.core.provider.circuit_health import REMEMBERED, Health
from shared.core.provider.circuit_health import summed as summed_health
from shared.core.times.leases import CLOCK_TOLERANCE
from shared.core.values.codec import stored_in
from shared.core.values.documents import Document
from shared.flows.clock import ClockReading
from shared.flows.operations.flags import Board, read_board
from shared.flows.operations.gateway_proofs import read_off
from shared.ports import Ports

COUNT_EVERY = 5.0
"""Seconds between two counts of what is in flight, unless that blocks a queue."""
LIVE_EVERY = 5.0
FLAGS_EVERY = 0.9
GATEWAYS_EVERY = 3.0
MOST_TAKEN = 200
"""Open slots that were taken and that one tick counts."""
FIRST_LOOK = timedelta(days=1)
"""Evidence for a conclusion may have been reported while no pump led."""
NEVER = float("-inf")


class Reports(Struct, frozen=True):
    """What workers have reported, as of the last look."""

    by_model: Mapping[str, ModelObservations] = field(default_factory=dict)
    health: Mapping[str, Health] = field(default_factory=dict)
    """What the fleet observed, by circuit."""
    heard: Mapping[str, Heard] = field(default_factory=dict)
    """What the fleet observed for and against conclusions, by id."""
    late: frozenset[str] = frozenset()
    """Models for which this look found late releases: these are back in their queues."""
    drift: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """Input tokens by model and half-second that were reported beyond the estimate since the previous look."""
    late_counts: Mapping[str, int] = field(default_factory=dict)
    """Late releases ever reported, by model: `late` is the difference."""
    drift_counted: Mapping[tuple[str, str], Mapping[int, int]] = field(default_factory=dict)
    """Corrections that calendars already have, by process and model."""


class InFlight(Struct, frozen=True):
    """Releases and attempts in flight, by model."""

    counted: Mapping[str, int] = field(default_factory=dict)
    granted: Mapping[str, int] = field(default_factory=dict)
    """Since the last count."""
    counted_at: float = NEVER

    @property
    def running(self) -> dict[str, int]:
        """What was counted, plus what has been released since: never too few."""
        return {
            model: self.counted.get(model, 0) + self.granted.get(model, 0) for model in {*self.counted, *self.granted}
        }

    def plus(self, models: Collection[str]) -> InFlight:
        """After one more of each was released; a model may occur several times."""
        granted = dict(self.granted)
        for model in models:
            granted[model] = granted.get(model, 0) + 1
        return replace(self, granted=granted)


class OpenSlotsTaken(Struct, frozen=True):
    documents: tuple[Document, ...] = ()
    """Open slots that were taken or withdrawn."""
    read_from: datetime | None = None
    """When the look began; None if there were more."""


class LiveSight(Struct, frozen=True):
    limits: Mapping[str, LiveLimits] = field(default_factory=dict)
    read_at: float = NEVER


class GatewaySight(Struct, frozen=True):
    off: Mapping[str, str | None] = field(default_factory=dict)
    """By name, why nothing goes to a gateway, as of at most GATEWAYS_EVERY ago; None = it is proven."""
    changed: bool = False
    """By this look."""
    read_at: float = NEVER


class FlagSight(Struct, frozen=True):
    board: Board = field(default_factory=Board)
    """As of at most FLAGS_EVERY ago."""
    read_at: float = NEVER


class Sight(Struct, frozen=True):
    """As of the last look. Each tick's look returns a new value; parts that were not due are unchanged."""

    reports: Reports | None = None
    """None before the first look."""
    taken: OpenSlotsTaken = OpenSlotsTaken()
    in_air: int = 0
    """Releases that no worker has taken up."""
    in_flight: InFlight = InFlight()
    live: LiveSight = LiveSight()
    gateways: GatewaySight = GatewaySight()
    flags: FlagSight = FlagSight()


async def look(
    ports: Ports, before: Sight, models: Collection[str], at: ClockReading, *, flags_may_differ: bool, recounts: bool,
    air: bool,
) -> Sight:  # fmt: skip
    """Read what is due: reports and, if some are out, releases at each tick, the rest less often."""
    (reports, taken, in_air), (in_flight, live, gateways, flags) = await asyncio.gather(
        asyncio.gather(
            _read_reports(ports, before.reports, at.now),
            _read_taken(ports, at.now),
            _count_air(ports, before.in_air, is_due=air or bool(before.in_air)),
        ),
        asyncio.gather(
            _count(ports, before.in_flight, models, at.monotonic, is_due=recounts),
            _read_live(ports, before.live, at.monotonic),
            _read_gateways(ports, before.gateways, at),
            _read_flags(ports, before.flags, at.monotonic, is_due=flags_may_differ),
        ),
    )
    return Sight(reports, taken, in_air, in_flight, live, gateways, flags)


async def with_flags_read(ports: Ports, sight: Sight) -> Sight:
    """With the flags read again, before they are due."""
    return replace(sight, flags=replace(sight.flags, board=await read_board(ports)))


async def _read_reports(ports: Ports, before: Reports | None, now: datetime) -> Reports:
    """Complete recent reports, by any worker's clock: reading one twice changes nothing."""
    since = now - (FIRST_LOOK if before is None else REMEMBERED)
    read = await ports.store.query(queries.evidence_since(since))
    by_process = {document.id: stored_in(document, WorkerReport) for document in read}
    ahead = now + CLOCK_TOLERANCE  # later times are from a clock that was set back since
    by_process = {process: report for process, report in by_process.items() if report.updated_at <= ahead}
    return _summed(by_process, before, now)


def _summed(by_process: Mapping[str, WorkerReport], before: Reports | None, now: datetime) -> Reports:
    by_model: dict[str, list[ModelObservations]] = {}
    by_circuit: dict[str, list[Health]] = {}
    by_conclusion: dict[str, list[Heard]] = {}
    for report in by_process.values():
        for model, observed in report.models.items():
            by_model.setdefault(model, []).append(observed)
        for circuit, health in report.routes.items():
            by_circuit.setdefault(circuit, []).append(health)
        for conclusion, heard in report.heard.items():
            by_conclusion.setdefault(conclusion, []).append(heard)
    late_counts = {model: sum(map(_late_count, observations)) for model, observations in by_model.items()}
    late_before = {} if before is None else before.late_counts
    drift, drift_counted = _drift(by_process, before)
    return Reports(
        by_model={model: summed(observations) for model, observations in by_model.items()},
        health={circuit: summed_health(healths) for circuit, healths in by_circuit.items()},
        heard={conclusion: summed_heard(heards, now) for conclusion, heards in by_conclusion.items()},
        late=frozenset(model for model, count in late_counts.items() if count > late_before.get(model, 0)),
        drift=drift,
        late_counts=late_counts,
        drift_counted=drift_counted,
    )


def _late_count(observed: ModelObservations) -> int:
    return sum(sum(observed.counts.get(sign, {}).values()) for sign in (StartSignal.LATE, StartSignal.DELIVERED_LATE))


def _drift(
    by_process: Mapping[str, WorkerReport], before: Reports | None
) -> tuple[dict[str, dict[int, int]], dict[tuple[str, str], Mapping[int, int]]]:
    """What was reported beyond the estimate since the previous look, and the totals after it. The first look only
    counts: what was reported to an earlier pump is already accounted for."""
    changes: dict[str, dict[int, int]] = {}
    counted: dict[tuple[str, str], Mapping[int, int]] = {} if before is None else dict(before.drift_counted)
    for process, report in by_process.items():
        for model, observed in report.models.items():
            earlier = counted.get((process, model), {})
            counted[process, model] = observed.drift
            for bucket, tokens in observed.drift.items():
                if tokens != earlier.get(bucket, 0):
                    by_bucket = changes.setdefault(model, {})
                    by_bucket[bucket] = by_bucket.get(bucket, 0) + tokens - earlier.get(bucket, 0)
    return {} if before is None else changes, counted


async def _read_taken(ports: Ports, now: datetime) -> OpenSlotsTaken:
    """After the heads: a request that has given its open slot back is seen together with the taking of it."""
    documents = await ports.store.query(queries.taken_slots(MOST_TAKEN))
    return OpenSlotsTaken(tuple(documents), now if len(documents) < MOST_TAKEN else None)


async def _count_air(ports: Ports, before: int, *, is_due: bool) -> int:
    return await ports.store.count(queries.in_status("released", 10_000)) if is_due else before


async def _count(
    ports: Ports, before: InFlight, models: Collection[str], monotonic: float, *, is_due: bool
) -> InFlight:
    if not is_due and monotonic - before.counted_at < COUNT_EVERY:
        return before
    pairs = [(model, status) for model in models for status in ("released", "rendering")]
    counts = await asyncio.gather(
        *(ports.store.count(queries.in_flight(model, status, 10_000)) for model, status in pairs)
    )
    counted = dict.fromkeys(models, 0)
    for (model, _), count in zip(pairs, counts, strict=True):
        counted[model] += count
    return InFlight(counted, counted_at=monotonic)


async def _read_live(ports: Ports, before: LiveSight, monotonic: float) -> LiveSight:
    if monotonic - before.read_at < LIVE_EVERY:
        return before
    document = await ports.store.get(live_quota.PATH)
    limits = LiveQuota.from_json(document.data).by_model if isinstance(document, Document) else {}
    return LiveSight(limits, monotonic)


async def _read_gateways(ports: Ports, before: GatewaySight, at: ClockReading) -> GatewaySight:
    if not ports.gateways or at.monotonic - before.read_at < GATEWAYS_EVERY:
        return replace(before, changed=False)
    reasons = await read_off(ports.store, ports.catalogue, ports.gateways, at.now)
    return GatewaySight(reasons, reasons != before.off, at.monotonic)


async def _read_flags(ports: Ports, before: FlagSight, monotonic: float, *, is_due: bool) -> FlagSight:
    if not is_due and monotonic - before.read_at < FLAGS_EVERY:
        return before
    return FlagSight(await read_board(ports), monotonic)
