"""A request that arrives while nothing is queued takes a slot that the pump has left open, in the commit that creates
it.

It is planned under the current flags and what the pump plans under. Anything unusual (a budget, a canary, a wanted
probe, a shadow flag, bulk, a gateway) is queued instead, and the pump decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from shared.core.admission.fair_queueing import queue_name
from shared.core.admission.model_state import path as model_state_path
from shared.core.admission.open_slots import CalendarPart, Opening, TakenSlot, path, start_until
from shared.core.lifecycle import head_changes, request_record
from shared.core.lifecycle.request_record import Head, history_of
from shared.core.messages.pubsub_messages import ReleaseMessage
from shared.core.messages.topics import RENDER_RELEASES
from shared.core.observability import events, spans
from shared.core.routing import ladder
from shared.core.routing.context import RoutingContext
from shared.core.routing.ladder import Planned
from shared.core.values.documents import Create, Document
from shared.core.values.lanes import AT_ONCE
from shared.core.values.route import circuit
from shared.flows import tracing, tracing_waits
from shared.flows.clock import ServerTime
from shared.flows.operations.flags import read_board
from shared.flows.requests.item_by_item import attempt
from shared.ports import Ports
from shared.ports.store import StoreUnavailable

if TYPE_CHECKING:
    from shared.core.records.request import RequestRecord
    from shared.core.records.versioned import Request
    from shared.core.routing.flag import Flag
    from shared.core.routing.flag_board import Board

FRESH_FOR = 0.25
"""Seconds for which a read of flags and open slots also serves other arrivals."""
MOST_TRIES = 3
LOW = 2


class Taking(Struct, frozen=True):
    """The changes of the request, and the document that takes its slot."""

    changes: dict[str, Any]
    slot: TakenSlot
    planned: Planned

    @property
    def create(self) -> Create:
        return Create(self.slot.path, self.slot.to_json())


class OpenSlots:
    """One per process."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._reads: dict[str, tuple[float, asyncio.Future[Any]]] = {}
        """When each read began, by the monotonic clock; `board`, or a model's opening."""
        self._taken: dict[str, set[str]] = {}
        """By model, of the opening as it was last read: the slots that this process knows to be taken."""
        self._left: dict[str, int] = {}
        """By model, the slots that were left then."""
        self._pools: dict[str | None, str] = {}
        """Where the last request took its slot, by the model that it named; None = it named none."""

    def expect(self, model: str | None) -> None:
        """Read what a request of this model needs, while it is looked up, if the last one took a slot."""
        pool = self._pools.get(model)
        if pool is not None:
            self._reading("board", self._board)
            self._reading(pool, lambda: self._opening(pool))

    def took(self, model: str | None, pool: str | None) -> None:
        """A request that named this model has taken a slot there; None: it was queued."""
        if pool is not None:
            self._pools[model] = pool
        else:
            self._pools.pop(model, None)

    async def take(self, key: str, record: RequestRecord, first: Planned, time: ServerTime) -> Taking | None:
        """A slot for this new request, not committed yet; None if it has to be queued. `first`: its route as far as
        catalogue and configuration decide it."""
        step = self._take(key, record, first, time)
        return await attempt(self._ports, "take an open slot", request_record.path(key), step)

    async def _take(self, key: str, record: RequestRecord, first: Planned, time: ServerTime) -> Taking | None:
        board = await self._read_board()
        now = time.now()
        flags = board.in_force(now)
        if any(slot.shadow for slot in flags):
            return None
        plan = await self._plan(key, record, flags, now)
        if plan is None:
            return None
        planned, opening = plan
        probing = opening.terms.probing
        if any(_is_of(route_plan, subject) for route_plan in (first, planned) for subject in probing):
            return None
        called_by, until = opening.terms.ways.get(planned.route.circuit), start_until(now)
        if self._ports.background == "off":
            called_by = ("foreground", None)
        pool = planned.route.pool
        taken = self._taken.setdefault(pool, set())
        free = set(opening.to_take(planned.input_tokens, planned.estimate_micros, now)) - taken
        self._left[pool] = len(free) - 1
        if not free or called_by is None or until is None:
            return None
        slot_id = sorted(free)[int(self._ports.chance() * len(free))]
        taken.add(slot_id)
        head = Head.of_record(key, "", record)
        way, usual_ms = called_by
        changes = head_changes.released(
            head, planned, now, until, now, way=way, usual_ms=usual_ms, open_slot=slot_id,  # type: ignore[arg-type]
        )  # fmt: skip
        slot = TakenSlot(
            slot=slot_id,
            pool=pool,
            taken_at=now,
            request=key,
            tokens=planned.input_tokens,
            estimate_micros=planned.estimate_micros,
            saved_micros=planned.saved_micros,
            circuit=planned.route.circuit,
            queue=queue_name(record.model, record.priority),
            priority=record.priority,
            fair_tag=record.fair_tag,
            flags=planned.flags,
        )
        return Taking(changes, slot, planned)

    async def is_taken(self, taking: Taking) -> bool:
        """Another request was first, or the pump has withdrawn the slot."""
        return isinstance(await self._ports.store.get(path(taking.slot.slot)), Document)

    def runs_low(self, model: str) -> bool:
        """The next arrivals may find none."""
        return self._left.get(model, 0) < LOW

    async def _plan(
        self, key: str, record: RequestRecord, flags: tuple[Flag, ...], now: datetime
    ) -> tuple[Planned, Opening] | None:
        """The route as the pump would plan it, and the slots that are open there."""
        ports = self._ports
        lacking: Mapping[str, str] = {}
        ask, history = record.ask, history_of(key, record)
        for _ in range(MOST_TRIES):
            context = RoutingContext(
                ports.catalogue, ports.open_lanes, flags, lacking=lacking, vertex=ports.vertex,
                now=now.replace(second=0, microsecond=0),
            )  # fmt: skip
            planned = ladder.plan(ask, context, history)
            if not isinstance(planned, Planned) or planned.route.lane not in AT_ONCE:
                return None
            opening = await self._read_opening(planned.route.pool)
            if opening.terms.lacking == lacking:
                return planned, opening
            lacking = opening.terms.lacking
        return None

    async def _read_board(self) -> Board:
        board: Board = await self._fresh("board", self._board)
        return board

    async def _board(self) -> Board:
        return await read_board(self._ports)

    async def _read_opening(self, model: str) -> Opening:
        opening: Opening = await self._fresh(model, lambda: self._opening(model))
        return opening

    async def _opening(self, model: str) -> Opening:
        calendar = await self._ports.store.get(model_state_path(model))
        part = CalendarPart.from_json(calendar.data) if isinstance(calendar, Document) else CalendarPart()
        opening = part.opening
        self._taken[model] = self._taken.get(model, set()) & opening.slots.keys()
        return opening

    def _reading(self, name: str, read: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Future[Any]:
        """A read that serves all callers while it is under way, and for FRESH_FOR."""
        now = self._ports.clock.monotonic()
        begun_at, reading = self._reads.get(name, (0.0, None))
        if reading is None or now - begun_at >= FRESH_FOR:
            reading = asyncio.ensure_future(read())
            reading.add_done_callback(_heed)
            self._reads[name] = (now, reading)
        return reading

    async def _fresh(self, name: str, read: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """The result of `read`."""
        reading = self._reading(name, read)
        try:
            return await asyncio.shield(reading)
        except StoreUnavailable:
            self._reads.pop(name, None)
            raise


async def hand_out(ports: Ports, request: Request) -> None:
    """Publish the release that was recorded with the request. Raises TopicsUnavailable."""
    record, began_at = request.record, ports.clock.now()
    assert record.slot_at is not None, "it was released"
    release = ReleaseMessage(request.id, record.release)
    await ports.topics.publish(RENDER_RELEASES, release.to_bytes(), {"traceparent": record.traceparent})
    root = tracing.root_of(record)
    tracing_waits.queue_ended(ports, Head.of_record(request.id, "", record), record.slot_at, ended_by="open slot")
    tracing.write(
        ports, spans.RELEASE, tracing.release_of(root, record.release), root, began_at, ports.clock.now(),
        topic=RENDER_RELEASES, request_id=request.id, release=record.release, slot_at=record.slot_at.isoformat(),
    )  # fmt: skip
    ports.signals.emit(
        events.RELEASED, request_id=request.id, release=record.release, route=str(record.route),
        slot_at=record.slot_at, trace_id=record.trace_id,
    )  # fmt: skip


def _heed(reading: asyncio.Future[Any]) -> None:
    """Waiting callers get the failure; without one, it is ignored."""
    if not reading.cancelled():
        reading.exception()


def _is_of(planned: Planned, subject: str) -> bool:
    """`subject`: a circuit, `*/model` in every lane, or a pool."""
    route = planned.route
    return subject in (route.circuit, route.pool, circuit("*", route.model))
