"""Deadlines that passed in the queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from shared.core import queries, record
from shared.core.documents import Committed, Document, Update
from shared.core.outcome import EXPIRED, Outcome
from shared.core.record import Head
from shared.flows.announce import ended
from shared.ports import Ports

PAGE = 100


async def expire_overdue(ports: Ports, now: datetime) -> int:
    """End queued requests whose deadline has passed, unpaid. How many."""
    overdue = await ports.store.query(queries.overdue(now, PAGE))
    return await _expire(ports, overdue, EXPIRED, now)


async def expire_due_before(
    ports: Ports,
    model: str,
    opens_at: datetime,
    outcome: Outcome,
    now: datetime,
    *,
    unless: Callable[[Head, str], bool],
) -> list[Head]:
    """End one model's queued requests that are due before it starts anything again. The ones `unless` speaks for."""
    due = await ports.store.query(queries.due_before(model, opens_at, PAGE))
    heads = [Head.of(each.id, each.version, each.data) for each in due]
    stay = [head for head in heads if unless(head, model)]
    kept = {head.request_id for head in stay}
    await _expire(ports, [each for each in due if each.id not in kept], outcome, now)
    return stay


async def _expire(ports: Ports, requests: Sequence[Document], outcome: Outcome, now: datetime) -> int:
    count = 0
    for request in requests:
        changes = record.finished("expired", outcome, now)
        committed = await ports.store.commit(Update(request.path, changes, request.version))
        if isinstance(committed, Committed):
            count += 1
            after = Document(request.path, {**request.data, **changes}, committed.versions[0], now)
            await ended(ports, after, was="queued")
    return count
