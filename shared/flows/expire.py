"""Deadlines that passed in the queue."""

from __future__ import annotations

from datetime import datetime

from shared.core import queries, record
from shared.core.documents import Committed, Document, Update
from shared.core.outcome import EXPIRED
from shared.flows.announce import announce
from shared.ports import Ports

PAGE = 100


async def expire_overdue(ports: Ports, now: datetime) -> int:
    """End queued requests whose deadline has passed, unpaid. How many."""
    count = 0
    for request in await ports.store.query(queries.overdue(now, PAGE)):
        changes = record.finished("expired", EXPIRED, now)
        committed = await ports.store.commit(Update(request.path, changes, request.version))
        if isinstance(committed, Committed):
            count += 1
            await announce(ports, Document(request.path, {**request.data, **changes}, committed.versions[0], now))
    return count
