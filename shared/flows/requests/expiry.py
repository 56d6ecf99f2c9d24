"""Deadlines that passed in the queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from shared.core.lifecycle import queries, request_record
from shared.core.lifecycle.request_record import Head
from shared.core.provider.outcome import EXPIRED, Outcome
from shared.core.values.documents import Committed, Document, Update
from shared.flows.requests.item_by_item import attempt, heads
from shared.flows.requests.result_events import ended
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
    found = heads(ports, due)
    stay = [head for head in found if unless(head, model)]
    going = {head.request_id for head in found} - {head.request_id for head in stay}
    await _expire(ports, [each for each in due if each.id in going], outcome, now)
    return stay


async def _expire(ports: Ports, requests: Sequence[Document], outcome: Outcome, now: datetime) -> int:
    count = 0
    for request in requests:
        expired = await attempt(ports, "expire a request", request.path, _expire_one(ports, request, outcome, now))
        count += expired or 0
    return count


async def _expire_one(ports: Ports, request: Document, outcome: Outcome, now: datetime) -> int:
    """1 where it was queued still."""
    changes = request_record.finished("expired", outcome, now)
    after = {**request.data, **changes}
    committed = await ports.store.commit(Update(request.path, changes, request.version))
    if not isinstance(committed, Committed):
        return 0
    await ended(ports, Document(request.path, after, committed.versions[0], now), was="queued")
    return 1
