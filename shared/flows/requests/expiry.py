"""Requests whose deadline passed in the queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec.structs import replace

from shared.core.lifecycle import queries, transitions
from shared.core.lifecycle.request_record import Head
from shared.core.provider.outcome import EXPIRED, Outcome
from shared.core.records.versioned import committed, request_in, update
from shared.core.values.documents import Committed, Document
from shared.flows.requests.item_by_item import attempt, heads
from shared.flows.requests.result_events import ended
from shared.ports import Ports

PAGE = 100


async def expire_overdue(ports: Ports, now: datetime) -> int:
    """End queued requests whose deadline has passed, unpaid. Returns how many."""
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
    """End one model's queued requests that are due before it starts anything again. Returns those that `unless`
    exempts."""
    due = await ports.store.query(queries.due_before(model, opens_at, PAGE))
    due_heads = heads(ports, due)
    stay = [head for head in due_heads if unless(head, model)]
    going = {head.request_id for head in due_heads} - {head.request_id for head in stay}
    await _expire(ports, [document for document in due if document.id in going], outcome, now)
    return stay


async def _expire(ports: Ports, requests: Sequence[Document], outcome: Outcome, now: datetime) -> int:
    count = 0
    for request in requests:
        expired = await attempt(ports, "expire a request", request.path, _expire_one(ports, request, outcome, now))
        count += expired or 0
    return count


async def _expire_one(ports: Ports, document: Document, outcome: Outcome, now: datetime) -> int:
    """1 if it was still queued."""
    request = request_in(document)
    after = transitions.finished(request.record, "expired", outcome, now)
    write = update(request, after)
    answer = await ports.store.commit(write)
    if not isinstance(answer, Committed):
        return 0
    await ended(ports, replace(committed(request, after, write, answer), read_at=now), was="queued")
    return 1
