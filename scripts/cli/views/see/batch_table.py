"""What is on its way by batch: each request's place and age, and how far its batch has come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from shared.core.catalogue.batch_rules import BatchRules
from shared.core.lifecycle import queries, request_record
from shared.core.records.batch import BatchRecord
from shared.core.records.request import CollectedRow
from shared.core.records.versioned import Batch, batch_in, request_in
from shared.core.values.documents import Document

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shared.ports.store import Store

MOST_READ = 2_000
FAR = datetime(9999, 1, 1, tzinfo=UTC)


class BatchPosition(Struct, frozen=True):
    """Where one request stands."""

    key: str
    read_at: datetime
    row: CollectedRow
    position: int
    """From 1, in its collection or its batch."""
    of: int
    state: str
    """`collecting`, `to be handed over`, or the provider's own word."""
    batch: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "batch": self.batch,
            "state": self.state,
            "position": self.position,
            "of": self.of,
            "age_seconds": int((self.read_at - self.row.batched_at).total_seconds()),
        }


class OnTheWay(Struct, frozen=True):
    """All of it, longest under way first."""

    places: tuple[BatchPosition, ...]
    batches: tuple[Batch, ...]


async def read(store: Store) -> OnTheWay:
    open_batches = [batch_in(document) for document in await store.query(queries.due_batches(FAR, MOST_READ))]
    open_batches.sort(key=lambda versioned: versioned.record.created_at)
    places: list[BatchPosition] = []
    for open_batch in open_batches:
        places += await _in_batch(store, open_batch)
    places += _collecting(await store.query(queries.collecting(MOST_READ)))
    return OnTheWay(tuple(places), tuple(open_batches))


async def _in_batch(store: Store, batch: Batch) -> list[BatchPosition]:
    """Without those of it that are settled."""
    items, state = batch.record.items, state_of(batch.record)
    requests = await store.get_all([request_record.path(item.request_id) for item in items])
    return [
        BatchPosition(
            request.id, request.read_at, CollectedRow.from_json(request.data), position, len(items), state, batch.id
        )
        for position, request in enumerate(requests, 1)
        if isinstance(request, Document) and _is_in(request, batch)
    ]


def row_of(request: Document) -> CollectedRow:
    return CollectedRow.from_json(request.data)


def _is_in(request: Document, batch: Batch) -> bool:
    record = request_in(request).record
    return record.batch == batch.id and record.status == "batched"


def _collecting(requests: Sequence[Document]) -> list[BatchPosition]:
    sets: dict[tuple[str, str], list[tuple[Document, CollectedRow]]] = {}
    for request in requests:
        row = row_of(request)
        sets.setdefault((row.route.model, row.route.image_size), []).append((request, row))
    return [
        BatchPosition(request.id, request.read_at, row, position, len(together), "collecting")
        for together in sets.values()
        for position, (request, row) in enumerate(together, 1)
    ]


def state_of(batch: BatchRecord) -> str:
    if batch.state == "collected":
        return "being submitted" if batch.creating_at else "to be submitted"
    return batch.provider_state or "handed over"


def table(places: Iterable[BatchPosition], now: datetime) -> RenderableType:
    from scripts.cli.views.responsive_table import Cell, Column, Narrowing
    from scripts.cli.views.see import request_view

    columns = (
        Column("request", least=16),
        Column("route", least=10, overflow="ellipsis", leaves=2),
        Column("size", leaves=3),
        Column("state", least=10),
        Column("position", right=True),
        Column("age", right=True),
        Column("batch", leaves=1),
    )
    rows: list[tuple[Cell, ...]] = []
    for place in places:
        row = place.row
        position, age = f"{place.position} of {place.of}", request_view.age(row.batched_at, now)
        cells = (
            request_view.route(row.route),
            row.route.image_size,
            place.state,
            position,
            age,
            place.batch or "-",
        )
        rows.append((place.key, *cells))
    return Narrowing(columns, rows)


def lines(on_the_way: OnTheWay, rules: BatchRules, now: datetime) -> list[str]:
    """A sentence for each batch, and one for what is being collected."""
    texts = [_line(batch, now) for batch in on_the_way.batches]
    if any(place.batch is None for place in on_the_way.places):
        closed = f"{_time(rules.collect_for)} after its first request, or at {rules.most_requests} requests"
        texts.append(f"collecting: closed {closed}")
    return texts


def _line(item: Batch, now: datetime) -> str:
    from scripts.cli.views.see import request_view

    batch = item.record
    route = f"{batch.model} {batch.image_size}"
    name = f" ({batch.name})" if batch.name else ""
    done = f", {batch.done} of {len(batch.items)} done" if batch.name else f", tried {batch.tries} times"
    times = (
        f"closed {request_view.age(batch.created_at, now)} ago, last change "
        f"{request_view.age(batch.changed_at, now)} ago"
    )
    return f"batch {item.id}{name}: {route}, {state_of(batch)}{done}, {times}"


def _time(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    return f"{seconds / 60:.0f} min" if seconds % 60 == 0 else f"{seconds:.0f} s"
