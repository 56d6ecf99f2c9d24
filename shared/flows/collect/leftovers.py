"""Interactions that are no longer needed: each is deleted, at once when it is settled, else here until it is gone.

One whose attempt is still open, or was given up, may hold a paid image: it is stopped and settled first.
"""

from __future__ import annotations

from datetime import timedelta

from shared.core.lifecycle import queries, request_record, transitions
from shared.core.lifecycle.settlement import is_given_up
from shared.core.records.versioned import Request, attempt_in, request_in, update
from shared.core.values.documents import Document
from shared.flows.collect.look import Call, Collector
from shared.flows.requests.item_by_item import attempt
from shared.ports import Ports

PAGE = 100
AGAIN = timedelta(minutes=1)
"""After a deletion that failed, or while it still runs."""
GIVEN_UP_AFTER = timedelta(hours=2)
"""An interaction that was stopped and still runs after this is deleted as it is."""
WITHIN = timedelta(minutes=1)
"""After this, the rest is left for the next minute: a provider that is down takes its time to say so."""


async def delete_leftovers(ports: Ports, collector: Collector) -> int:
    """All that are due. Returns how many interactions are gone."""
    probe = ports.clock.now()
    gone, ends = 0, ports.clock.monotonic() + WITHIN.total_seconds()
    for request in await ports.store.query(queries.leftovers(probe, PAGE)):
        if ports.clock.monotonic() > ends:
            break
        gone += await attempt(ports, "delete interactions", request.path, _of(ports, collector, request)) or 0
    return gone


async def _of(ports: Ports, collector: Collector, document: Document) -> int:
    request = request_in(document)
    gone: set[str] = set()
    for item in request.record.leftovers:
        if await _is_gone(ports, collector, request, item.id, item.attempt):
            gone.add(item.id)
    newest = await ports.store.get(request.path)  # settling changes it
    if not isinstance(newest, Document):
        return len(gone)
    current = request_in(newest)
    after = transitions.without_leftovers(current.record, gone, current.read_at + AGAIN)
    # A conflict: another process changed the request; the mark stays, and this is tried again.
    await ports.store.commit(update(current, after))
    return len(gone)


async def _is_gone(ports: Ports, collector: Collector, request: Request, interaction_id: str, number: int) -> bool:
    document = await ports.store.get(request_record.attempt_path(request.id, number))
    opened = attempt_in(document).record if isinstance(document, Document) else None
    if opened is not None and (opened.outcome is None or is_given_up(opened)):
        await ports.interactions.cancel(interaction_id)
        newest = await ports.store.get(request.path)
        if isinstance(newest, Document):
            effect = await collector.collect(Call(request_in(newest), number, interaction_id, is_late=True))
            if effect == "awaiting" and newest.read_at - opened.started_at < GIVEN_UP_AFTER:
                return False
    return await ports.interactions.delete(interaction_id) is None
