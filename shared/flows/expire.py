"""Deadlines that passed in the queue."""

from __future__ import annotations

from datetime import datetime

from shared.core import queries, record
from shared.core.documents import Committed, Document, Query, Update
from shared.core.outcome import EXPIRED, Outcome
from shared.flows.announce import announce
from shared.ports import Ports

PAGE = 100


async def expire_overdue(ports: Ports, now: datetime) -> int:
    """End queued requests whose deadline has passed, unpaid. How many."""
    return await _expire(ports, queries.overdue(now, PAGE), EXPIRED, now)


async def expire_due_before(ports: Ports, model: str, opens_at: datetime, outcome: Outcome, now: datetime) -> int:
    """End one model's queued requests that are due before it starts anything again. How many."""
    return await _expire(ports, queries.due_before(model, opens_at, PAGE), outcome, now)


async def _expire(ports: Ports, query: Query, outcome: Outcome, now: datetime) -> int:
    count = 0
    for request in await ports.store.query(query):
        changes = record.finished("expired", outcome, now)
        committed = await ports.store.commit(Update(request.path, changes, request.version))
        if isinstance(committed, Committed):
            count += 1
            await announce(ports, Document(request.path, {**request.data, **changes}, committed.versions[0], now))
    return count
