"""Into a batch: the pump puts requests aside, and a collection that is full or old enough is closed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from shared.core.accounting.budget import Reservation
from shared.core.admission.allocation import Candidate
from shared.core.lifecycle import batch, head_changes, queries, request_record, settlement, transitions
from shared.core.lifecycle.batch import BatchCandidate
from shared.core.observability import events
from shared.core.records.batch import Item
from shared.core.records.request import RequestRecord
from shared.core.records.versioned import Request, request_in, update
from shared.core.values.documents import Absent, Committed, Create, Document, Fields, Update, Write
from shared.flows import tracing_waits
from shared.ports import Ports
from shared.ports.store import StoreUnavailable

MOST_COLLECTED = 2_000
"""Read at once: more than the collections of all models and sizes hold before they are full."""
MOST_REPEATS = 5
"""Attempts to close a collection: each fails if one of its requests is cancelled meanwhile; the next look closes the
rest."""


class PutAside(Struct, frozen=True):
    """Candidates of one call that were not changed meanwhile."""

    candidates: tuple[Candidate, ...] = ()
    unsure: frozenset[str] = frozenset()
    """Those of them for which the store did not confirm that they are put aside."""


class Collecting:
    """What one leading pump has put aside; it closes collections that it has filled."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._put: Counter[tuple[str, str]] = Counter()
        """Since the last closing, by model and size."""

    async def put(
        self,
        candidates: Sequence[Candidate],
        now: datetime,
        reservation: Callable[[Candidate], Reservation | None] = lambda _: None,
    ) -> PutAside:
        """Move requests that go by batch out of their queues, each on its own."""
        moved = await asyncio.gather(
            *(
                self._move(
                    candidate, head_changes.batched(candidate.head, candidate.planned, now, reservation(candidate))
                )
                for candidate in candidates
            )
        )
        put = [candidate for candidate, done in zip(candidates, moved, strict=True) if done != "changed"]
        unsure = frozenset(
            candidate.head.request_id for candidate, done in zip(candidates, moved, strict=True) if done == "unsure"
        )
        for candidate in put:
            tracing_waits.queue_ended(self._ports, candidate.head, now, ended_by="batch")
        self._put.update((candidate.model, candidate.planned.route.image_size) for candidate in put)
        if any(count >= self._ports.catalogue.batch.most_requests for count in self._put.values()):
            self._put.clear()
            await close_due(self._ports, now, full_only=True)
        return PutAside(tuple(put), unsure)

    async def _move(self, candidate: Candidate, changes: Fields) -> Literal["moved", "changed", "unsure"]:
        """Changed meanwhile by another process."""
        head = candidate.head
        try:
            update = Update(request_record.path(head.request_id), changes, head.version)
            return "moved" if isinstance(await self._ports.store.commit(update), Committed) else "changed"
        except StoreUnavailable as error:
            self._ports.signals.emit(
                events.ESCALATION, what=f"a request could not be moved to a batch: {error}",
                request_id=head.request_id, runbook="release-not-handed-out", trace_id=head.trace_id,
            )  # fmt: skip
            return "unsure"


async def close_due(ports: Ports, now: datetime, *, full_only: bool = False) -> int:
    """Close full collections, and unless `full_only` also those that are old enough. Returns the number of batches
    made."""
    documents = await ports.store.query(queries.collecting(MOST_COLLECTED))
    closed = 0
    rules = ports.catalogue.batch
    for collection in batch.due_collections(map(BatchCandidate.of, documents), now, rules, full_only=full_only):
        closed += await _close(ports, [item.request_id for item in collection], now)
    return closed


async def _close(ports: Ports, request_ids: Sequence[str], now: datetime) -> bool:
    """Record a batch and all its attempts in one commit: requests cancelled before are not included."""
    for _ in range(MOST_REPEATS):
        documents = await ports.store.get_all([request_record.path(name) for name in request_ids])
        requests = [versioned for versioned in _requests(documents) if _is_collected(versioned.record)]
        if not requests:
            return False
        batch_id = ports.fresh(16)
        items = [Item(versioned.id, versioned.record.attempt_count + 1) for versioned in requests]
        route = requests[0].record.route
        writes: list[Write] = [Create(batch.path(batch_id), batch.new_record(batch_id, route, items, now).to_json())]
        for request, item in zip(requests, items, strict=True):
            writes += _begun(ports, request, item, batch_id, now)
        if isinstance(await ports.store.commit(*writes), Committed):
            ports.signals.emit(
                events.BATCH_CLOSED, batch=batch_id, model=route.model, image_size=route.image_size,
                requests=len(items),
            )  # fmt: skip
            return True
    return False


def _requests(documents: Sequence[Document | Absent]) -> list[Request]:
    return [request_in(document) for document in documents if isinstance(document, Document)]


def _is_collected(request: RequestRecord) -> bool:
    return request.status == "batched" and request.batch is None


def _begun(ports: Ports, request: Request, item: Item, batch_id: str, now: datetime) -> list[Write]:
    opened = settlement.open_attempt(
        request.record, item.attempt, holder=batch.path(batch_id), key_kind=ports.key_kind, owner=ports.project,
        now=now,
    )  # fmt: skip
    return [
        update(request, transitions.in_batch(request.record, batch_id, item.attempt, now)),
        Create(request_record.attempt_path(item.request_id, item.attempt), opened.to_json()),
    ]
