"""The current state as metrics, from the summary and the flags."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from shared.core.lifecycle import queries
from shared.core.observability import metrics
from shared.core.observability.metrics import OTHER, Measure
from shared.core.observability.status_summary import QuotaUse, Summary
from shared.core.records.request import AwaitingRow
from shared.flows.operations import flags
from shared.flows.status import summary
from shared.ports import Ports

MOST_AWAITING = 1_000
"""Statuses that are counted."""


async def observe(ports: Ports, gathered: Summary | None, now: datetime) -> None:
    """If nothing was gathered, from what the pump has written last. Nothing is read if metrics are not exported. Raises
    StoreUnavailable."""
    if not ports.signals.measures:
        return
    status = gathered or await summary.read(ports)
    standing = [] if status is None else [*_queues(status, now), *_quota(status)]
    ports.signals.observe([*standing, *await _awaiting(ports, now), *await _flags(ports, now)])


def _queues(status: Summary, now: datetime) -> Iterator[Measure]:
    for queue in status.waiting:
        labels = {"priority": queue.priority, "model": queue.model, "tenant": queue.tenant}
        yield Measure(metrics.QUEUE_DEPTH, queue.count, labels)
    for depth in status.depths:
        listed = sum(queue.count for queue in status.waiting if queue.priority == depth.priority)
        if depth.count > listed or not listed:
            unlisted = {"priority": depth.priority, "model": OTHER, "tenant": OTHER}
            yield Measure(metrics.QUEUE_DEPTH, max(0, depth.count - listed), unlisted)
        age = max(0.0, (now - depth.oldest_at).total_seconds()) if depth.oldest_at else 0.0
        yield Measure(metrics.QUEUE_AGE, age, {"priority": depth.priority})


async def _awaiting(ports: Ports, now: datetime) -> list[Measure]:
    """What waits for its interaction at the provider, and what still has to be deleted there."""
    since: dict[str, list[datetime]] = {}
    for request in await ports.store.query(queries.awaiting(queries.FAR_AHEAD, MOST_AWAITING)):
        if request.is_readable:
            row = AwaitingRow.from_json(request.data)
            since.setdefault(row.route.model, []).append(row.slot_at or now)
    measures = [Measure(metrics.LEFTOVERS, await ports.store.count(queries.leftovers(now, MOST_AWAITING)), {})]
    for model, starts in since.items():
        measures.append(Measure(metrics.AWAITING, len(starts), {"model": model}))
        age = max(0.0, (now - min(starts)).total_seconds())
        measures.append(Measure(metrics.AWAITING_AGE, age, {"model": model}))
    return measures


def _quota(status: Summary) -> Iterator[Measure]:
    for quota_use in status.quota:
        yield from _of_model(quota_use)


def _of_model(use: QuotaUse) -> Iterator[Measure]:
    for dimension, count in use.used.items():
        labels = {"model": use.model, "dimension": dimension}
        yield Measure(metrics.QUOTA_USED, count, labels)
        limit = use.limits.get(dimension)
        if limit is not None and limit.value is not None:
            yield Measure(metrics.QUOTA_LIMIT, limit.value, labels | {"source": limit.source})
            yield Measure(metrics.QUOTA_HEADROOM, limit.value - count, labels)


async def _flags(ports: Ports, now: datetime) -> list[Measure]:
    board = await flags.read_board(ports)
    counted: dict[tuple[str, str, str], int] = {}
    measures = []
    for flag in board.in_force(now):
        by = "breaker" if flag.circuit is not None else "person"
        labels = (flag.name, by, str(flag.shadow).lower())
        counted[labels] = counted.get(labels, 0) + 1
        if flag.circuit is not None:
            measures.append(Measure(metrics.BREAKERS, 1, {"circuit": flag.circuit}))
    for (name, by, shadow), count in counted.items():
        measures.append(Measure(metrics.FLAGS, count, {"flag": name, "by": by, "shadow": shadow}))
    return measures
