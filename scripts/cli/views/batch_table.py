"""What is on its way by batch: each request's place and age, and how far its batch has come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from shared.core.catalogue.batch_rules import BatchRules
from shared.core.lifecycle import batch, queries, request_record
from shared.core.values.documents import Document, Fields
from shared.core.values.route import Route

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shared.ports.store import Store

MOST_READ = 2_000
FAR = datetime(9999, 1, 1, tzinfo=UTC)


class BatchPosition(Struct, frozen=True):
    """Where one request stands."""

    request: Document
    position: int
    """From 1, in its collection or its batch."""
    of: int
    state: str
    """`collecting`, `to be handed over`, or the provider's own word."""
    batch: str | None = None

    def to_json(self) -> dict[str, Any]:
        since = self.request.data["batched_at"]
        return {
            "batch": self.batch,
            "state": self.state,
            "position": self.position,
            "of": self.of,
            "age_seconds": int((self.request.read_at - since).total_seconds()),
        }


class OnTheWay(Struct, frozen=True):
    """All of it, longest under way first."""

    places: tuple[BatchPosition, ...]
    batches: tuple[Document, ...]


async def read(store: Store) -> OnTheWay:
    open_batches = await store.query(queries.due_batches(FAR, MOST_READ))
    open_batches.sort(key=lambda each: each.data["created_at"])
    places: list[BatchPosition] = []
    for each in open_batches:
        places += await _in_batch(store, each)
    places += _collecting(await store.query(queries.collecting(MOST_READ)))
    return OnTheWay(tuple(places), tuple(open_batches))


async def _in_batch(store: Store, found: Document) -> list[BatchPosition]:
    """Without those of it that are settled."""
    items = batch.items_of(found.data)
    requests = await store.get_all([request_record.path(each.request_id) for each in items])
    return [
        BatchPosition(request, position, len(items), state_of(found.data), found.id)
        for position, request in enumerate(requests, 1)
        if isinstance(request, Document) and request.data["batch"] == found.id and request.data["status"] == "batched"
    ]


def _collecting(requests: Sequence[Document]) -> list[BatchPosition]:
    sets: dict[tuple[str, str], list[Document]] = {}
    for each in requests:
        route = Route.from_json(each.data["route"])
        sets.setdefault((route.model, route.image_size), []).append(each)
    return [
        BatchPosition(request, position, len(together), "collecting")
        for together in sets.values()
        for position, request in enumerate(together, 1)
    ]


def state_of(data: Fields) -> str:
    if data["state"] == "collected":
        return "being submitted" if data["creating_at"] else "to be submitted"
    return data["provider_state"] or "handed over"


def table(places: Iterable[BatchPosition], now: datetime) -> RenderableType:
    from scripts.cli.views import request_view
    from scripts.cli.views.responsive_table import Cell, Column, Narrowing

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
    for each in places:
        data = each.request.data
        position, age = f"{each.position} of {each.of}", request_view.age(data["batched_at"], now)
        cells = (
            request_view.route(data["route"]),
            data["route"]["image_size"],
            each.state,
            position,
            age,
            each.batch or "-",
        )
        rows.append((each.request.id, *cells))
    return Narrowing(columns, rows)


def lines(found: OnTheWay, rules: BatchRules, now: datetime) -> list[str]:
    """A sentence for each batch, and one for what is being collected."""
    said = [_line(each, now) for each in found.batches]
    if any(each.batch is None for each in found.places):
        closed = f"{_time(rules.collect_for)} after its first request, or at {rules.most_requests} requests"
        said.append(f"collecting: closed {closed}")
    return said


def _line(each: Document, now: datetime) -> str:
    from scripts.cli.views import request_view

    data = each.data
    route = f"{data['model']} {data['image_size']}"
    name = f" ({data['name']})" if data["name"] else ""
    done = f", {data['done']} of {len(data['items'])} done" if data["name"] else f", tried {data['tries']} times"
    times = (
        f"closed {request_view.age(data['created_at'], now)} ago, last change "
        f"{request_view.age(data['changed_at'], now)} ago"
    )
    return f"batch {each.id}{name}: {route}, {state_of(data)}{done}, {times}"


def _time(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    return f"{seconds / 60:.0f} min" if seconds % 60 == 0 else f"{seconds:.0f} s"
