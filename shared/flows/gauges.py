"""What stands at this moment, for whoever watches: queues, quota, flags, breakers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from shared.core import in_force, metrics, queries, standing
from shared.core.calendar import pacific_day
from shared.core.documents import Document
from shared.core.live_quota import PATH, LiveQuota
from shared.core.metrics import Measure
from shared.core.request import PRIORITIES
from shared.core.standing import Standing
from shared.flows import flags
from shared.ports import Ports

COUNTED_TO = 100_000


async def observe(ports: Ports, now: datetime) -> None:
    """Nothing is read where nobody measures. Raises StoreUnavailable."""
    if ports.signals.measures:
        ports.signals.observe([*await _queues(ports, now), *await _quota(ports, now), *await _flags(ports, now)])


async def _queues(ports: Ports, now: datetime) -> list[Measure]:
    found = []
    for priority in PRIORITIES:
        labels = {"priority": priority}
        depth = await ports.store.count(queries.longest_queued(priority, COUNTED_TO))
        first = await ports.store.query(queries.longest_queued(priority, 1))
        age = max(0.0, (now - first[0].data["queued_at"]).total_seconds()) if first else 0.0
        found += [Measure(metrics.QUEUE_DEPTH, depth, labels), Measure(metrics.QUEUE_AGE, age, labels)]
    return found


async def _quota(ports: Ports, now: datetime) -> list[Measure]:
    models = ports.catalogue.ladder
    said, *calendars = await ports.store.get_all([PATH, *(standing.path(model) for model in models)])
    live = LiveQuota.from_json(said.data) if isinstance(said, Document) else None
    found: list[Measure] = []
    for model, document in zip(models, calendars, strict=True):
        known = Standing.from_json(document.data).forget(now) if isinstance(document, Document) else Standing()
        read = live.by_model.get(model) if live else None
        found += _of_model(model, known, in_force.in_force(ports.quota.limits(model), read, known.learned), now)
    return found


def _of_model(model: str, known: Standing, limits: in_force.InForceByDimension, now: datetime) -> Iterator[Measure]:
    minute = known.calendar.used(now)
    day = known.calendar.days.get(pacific_day(now), 0)
    used = {"rpm": minute.requests, "ipm": minute.images, "tpm": minute.tokens, "rpd": day}
    for dimension, count in used.items():
        labels = {"model": model, "dimension": dimension}
        yield Measure(metrics.QUOTA_USED, count, labels)
        limit = limits.get(dimension)
        if limit is not None and limit.value is not None:
            yield Measure(metrics.QUOTA_LIMIT, limit.value, labels | {"source": limit.source})
            yield Measure(metrics.QUOTA_HEADROOM, limit.value - count, labels)


async def _flags(ports: Ports, now: datetime) -> list[Measure]:
    board = await flags.read_board(ports)
    counted: dict[tuple[str, str, str], int] = {}
    found = []
    for flag in board.in_force(now):
        by = "breaker" if flag.circuit is not None else "person"
        labels = (flag.name, by, str(flag.shadow).lower())
        counted[labels] = counted.get(labels, 0) + 1
        if flag.circuit is not None:
            found.append(Measure(metrics.BREAKERS, 1, {"circuit": flag.circuit}))
    for (name, by, shadow), count in counted.items():
        found.append(Measure(metrics.FLAGS, count, {"flag": name, "by": by, "shadow": shadow}))
    return found
