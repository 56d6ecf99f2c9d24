"""What a flag would do to queued requests: how many are in its queues, and how the next heads of each would change."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.admission.fair_queueing import queue_name
from shared.core.catalogue.catalogue import Catalogue
from shared.core.lifecycle import queries
from shared.core.lifecycle.request_record import Head
from shared.core.messages.render_request import PRIORITIES
from shared.core.routing import flag, ladder
from shared.core.routing.context import RoutingContext
from shared.core.routing.flag import Flag, Subject
from shared.core.routing.flag_form import FlagRequest
from shared.core.routing.ladder import Plan, Planned, Waits
from shared.core.routing.model_choice import choose_model
from shared.core.routing.vertex import VertexUse
from shared.core.validation.shapes import Problem
from shared.core.values.money import usd
from shared.flows.operations import routing_snapshot
from shared.ports.flags import FlagSource
from shared.ports.store import Store

LOOKED_AT = 100
"""Heads per queue at most: the next ones."""
LOOKED_AT_IN_ALL = 300
LEAST_LOOKED_AT = 10
MOST_COUNTED = 100_000


class Queue(Struct, frozen=True):
    """One model and priority, as far as the flag may concern it."""

    model: str
    priority: str
    waiting: int
    """Queued requests; of one tenant, if the flag names one."""
    heads: Sequence[Head]


class QueueEffect(Struct, frozen=True):
    """What the flag would change in one queue."""

    queue: Queue
    in_scope: int = 0
    """Number of heads that were examined."""
    changes: Mapping[str, int] = field(default_factory=dict)
    """Heads by how they change, in words."""
    saved_micros: int = 0
    """Sum of the estimates; negative if dearer."""

    @property
    def changed(self) -> int:
        return sum(self.changes.values())

    def to_json(self) -> dict[str, Any]:
        return {
            "queue": queue_name(self.queue.model, self.queue.priority),
            "waiting": self.queue.waiting,
            "looked_at": len(self.queue.heads),
            "in_scope": self.in_scope,
            "changed": self.changed,
            "changes": dict(self.changes),
            "saved_usd": usd(self.saved_micros),
        }


class FlagPreview(Struct, frozen=True):
    """A flag that may be tripped, and what it would affect."""

    flag: Flag
    by_queue: list[QueueEffect]
    alike: list[Flag]
    """Flags of the same name that are already tripped."""
    lanes: tuple[str, ...]
    """Lanes that a route may take."""


async def look(
    store: Store,
    flag_source: FlagSource,
    catalogue: Catalogue,
    lanes: Collection[str],
    gateways: frozenset[str],
    wish: FlagRequest,
    ids: Iterator[str],
    vertex: VertexUse | None = None,
) -> FlagPreview:
    """What the flag would do under the first free id of `ids`; nothing is changed."""
    snapshot, queues = await asyncio.gather(
        routing_snapshot.read(store, flag_source, catalogue, gateways, vertex),
        waiting(store, catalogue, wish.scope.tenant),
    )
    flag = wish.flag(next(name for name in ids if name not in snapshot.own.flags), snapshot.now)
    context = snapshot.context(catalogue, lanes)
    alike = [item for item in snapshot.board.in_force(snapshot.now) if item.name == wish.name]
    most = max(LEAST_LOOKED_AT, LOOKED_AT_IN_ALL // max(1, len(queues)))
    nearest = [replace(queue, heads=queue.heads[:most]) for queue in queues]
    # Planning takes a while: in a thread of its own, it does not block this process.
    by_queue = await asyncio.to_thread(lambda: [effect_on(queue, flag, context) for queue in nearest])
    return FlagPreview(flag, by_queue, alike, snapshot.lanes(lanes))


async def waiting(store: Store, catalogue: Catalogue, tenant: str | None) -> list[Queue]:
    """Every queue with waiting requests."""
    names = [(model, priority) for model in catalogue.models for priority in PRIORITIES]
    queues = await asyncio.gather(*(_queue(store, model, priority, tenant) for model, priority in names))
    return [queue for queue in queues if queue.waiting]


async def _queue(store: Store, model: str, priority: str, tenant: str | None) -> Queue:
    heads = queries.heads(model, priority, LOOKED_AT)
    if tenant is None:
        count = await store.count(replace(heads, limit=MOST_COUNTED, fields=("status",)))
    else:
        count = await store.count(queries.waiting_of(tenant, model, priority))
    documents = await store.query(heads) if count else []
    return Queue(
        model, priority, count, [Head.of(document.id, document.version, document.data) for document in documents]
    )


def effect_on(queue: Queue, new: Flag, context: RoutingContext) -> QueueEffect:
    """How the heads would change if `new` were in force beside the current flags; a shadow flag is treated as if it
    were in force."""
    with_it = context.with_flag(replace(new, shadow=False))
    changes: Counter[str] = Counter()
    saved = 0
    heads = [head for head in queue.heads if _is_in_scope(head, new, context.catalogue)]
    plans: dict[Hashable, tuple[Plan, Plan]] = {}
    for head in heads:
        alike = _alike(head, with_it)
        if alike not in plans:
            plans[alike] = ladder.plan(head.ask, context, head.history), ladder.plan(head.ask, with_it, head.history)
        before, then = plans[alike]
        match then:
            case Waits(paused=True) if not (isinstance(before, Waits) and before.paused):
                changes["waits, paused"] += 1
            case Planned() as after if isinstance(before, Planned) and after.route != before.route:
                changes[f"{before.route} -> {after.route}"] += 1
                saved += before.estimate_micros - after.estimate_micros
            case _:
                pass
    return QueueEffect(queue, len(heads), changes, saved)


def _alike(head: Head, context: RoutingContext) -> Hashable:
    """Heads with the same key are planned alike: it holds everything that a plan depends on; of the id only its
    position in shares."""
    history = head.history
    shares = tuple(
        flag.hundredth(head.request_id, item.name) < item.scope.share
        for item in context.flags
        if item.scope.share < 100
    )
    avoided = tuple(sorted(history.avoided.items()))
    return head.ask, history.tenant, history.deadline, history.spent_micros, avoided, shares


def _is_in_scope(head: Head, new: Flag, catalogue: Catalogue) -> bool:
    choice = choose_model(head.ask, catalogue)
    if isinstance(choice, Problem):
        return False
    subject = Subject(head.request_id, head.tenant, head.ask.purpose, choice.model.id, head.ask.lane)
    return bool(flag.concerning([new], subject))
