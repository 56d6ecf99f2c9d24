"""One look at one interaction, and what follows from it: wait, stop it, or settle its attempt."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from shared.core.lifecycle import awaiting, request_record, transitions
from shared.core.lifecycle.awaiting import Awaited, Over, Stop, Wait
from shared.core.lifecycle.settlement import Effect
from shared.core.messages.webhook_event import Noted
from shared.core.observability import events, spans
from shared.core.provider import kept_image
from shared.core.provider.call import Answer, Made, Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.interaction import Looked, Unread
from shared.core.provider.kept_image import KeptImage
from shared.core.provider.stored_image import Ending
from shared.core.records.request import RequestRecord, Stopping, StopReason
from shared.core.records.versioned import Attempt, Request, attempt_in, committed, update
from shared.core.references import reference_set
from shared.core.values.documents import Conflict, Document
from shared.core.values.trace_context import Place
from shared.flows import tracing
from shared.flows.background import proofs
from shared.flows.clock import ServerTime
from shared.flows.render.limit_reports import Evidence
from shared.flows.render.noting import is_own, note
from shared.flows.render.settle import settle
from shared.flows.requests.message import Message
from shared.flows.requests.paid_image import keep_waiting, store_image
from shared.flows.requests.provider_call import order_of
from shared.flows.requests.result_events import Tidy
from shared.flows.tracing_call import trace_call
from shared.ports import Ports

PROVEN_FOR = 5.0
"""Seconds for which one image that proved its circuit's background calls, or found them proven, stands for the next
images: proofs are one document, which each image would otherwise read."""
LOOK_AFTER_STOP = (0.5, 1.5)
"""Seconds. A cancelled interaction reports it a little later."""


class Call(Struct, frozen=True):
    """An interaction, and the attempt it belongs to."""

    request: Request
    attempt: int
    interaction_id: str
    is_late: bool = False
    """The request does not wait for it."""


class Collector:
    """One per process: two arrivals of one interaction cause one look."""

    def __init__(self, ports: Ports, evidence: Evidence) -> None:
        self._ports = ports
        self._evidence = evidence
        self._at_work: set[str] = set()
        self._proven: dict[str, float] = {}
        """When each circuit was last found proven, by the monotonic clock."""

    async def collect(self, call: Call, message: Message | None = None, document: Document | None = None) -> Effect:
        """The result for its attempt; `document`: the attempt's, if it was read with the request."""
        if call.interaction_id in self._at_work:
            return "awaiting"
        self._at_work.add(call.interaction_id)
        try:
            return await self._collect(call, message, document)
        finally:
            self._at_work.discard(call.interaction_id)

    def take_news(self) -> bool:
        """Whether the pump should look early at what this process reported."""
        return self._evidence.take_news()

    async def _collect(self, call: Call, message: Message | None, read: Document | None) -> Effect:
        ports, began_at = self._ports, self._ports.clock.now()
        document = read or await ports.store.get(request_record.attempt_path(call.request.id, call.attempt))
        if not isinstance(document, Document):
            return "settled before"
        attempt = attempt_in(document)
        time = self._evidence.reads.time_after(attempt.read_at)
        route = attempt.record.route
        content = call.request.record.content
        order = replace(order_of(content, route, (), ports.catalogue), key=call.request.id, attempt=call.attempt)
        weight = min(reference_set.weight(0, route.image_size), ports.room.limit)
        await ports.room.take(weight)
        try:
            call, step = await self._until_known(call, attempt, order, time)
            if not isinstance(step, Over):
                return "awaiting"
            return await self._settle(call, attempt, step, order, time, began_at, message)
        finally:
            ports.room.give_back(weight)

    async def _until_known(
        self, call: Call, attempt: Attempt, order: Order, time: ServerTime
    ) -> tuple[Call, Wait | Over]:
        """Look, and if the provider has to be stopped, look again."""
        pauses = iter(LOOK_AFTER_STOP)
        while True:
            looked = await self._look(call, attempt, order)
            step = awaiting.after_look(looked, self._awaited(call, attempt, order), time.now())
            match step:
                case Wait() | Over():
                    pause = next(pauses, None) if self._is_stopping(call) and isinstance(step, Wait) else None
                    if pause is None:
                        return call, step
                    await self._ports.clock.sleep(pause)
                case Stop(why):
                    stopping = await self._stop(call, why, time.now())
                    if stopping is None or call.is_late:
                        return call, Wait()  # another process works on the request, or a later look will
                    call = stopping

    async def _look(self, call: Call, attempt: Attempt, order: Order) -> Looked:
        looked = await self._ports.interactions.look(call.interaction_id, order)
        if isinstance(looked, Unread):
            self._ports.signals.emit(
                events.INTERACTION_UNREAD, request_id=call.request.id, attempt=attempt.record.number,
                interaction_id=call.interaction_id, kind=looked.failure.kind.value, reason=looked.failure.message,
                trace_id=call.request.record.trace_id,
            )  # fmt: skip
        return looked

    def _is_stopping(self, call: Call) -> bool:
        return not call.is_late and call.request.record.stopping is not None

    def _awaited(self, call: Call, attempt: Attempt, order: Order) -> Awaited:
        record = call.request.record
        return Awaited(
            started_at=_started_at(call, attempt),
            time_out=self._ports.catalogue.models[order.model].timeout,
            stopping=None if call.is_late else record.stopping,
            is_cancelled=record.cancel_requested_at is not None and not call.is_late,
            is_canary=record.way == "canary" and not call.is_late,
        )

    async def _stop(self, call: Call, why: StopReason, now: datetime) -> Call | None:
        """Recorded before the provider is asked: the next look knows why it ended."""
        ports, request = self._ports, call.request
        if not call.is_late:
            after = replace(request.record, stopping=Stopping(now, why), updated_at=now)
            write = update(request, after)
            answer = await ports.store.commit(write)
            if isinstance(answer, Conflict):
                return None
            request = committed(request, after, write, answer)
        ports.signals.emit(
            events.INTERACTION_STOPPED, request_id=request.id, attempt=call.attempt,
            interaction_id=call.interaction_id, why=why, trace_id=request.record.trace_id,
        )  # fmt: skip
        await ports.interactions.cancel(call.interaction_id)  # repeated at the next look if it failed
        return replace(call, request=request)

    async def _settle(
        self,
        call: Call,
        attempt: Attempt,
        over: Over,
        order: Order,
        time: ServerTime,
        began_at: datetime,
        message: Message | None,
    ) -> Effect:
        ports, request, answer = self._ports, call.request, over.answer
        started_at, now = _started_at(call, attempt), time.now()
        parent = tracing.attempt_of(request.record, call.attempt)
        ended_at = _ended_at(over, started_at, now)
        trace_call(ports, request, attempt, parent, answer, started_at, ended_at, order.image_size)
        ending: Ending | KeptImage = answer if isinstance(answer, Failure) else await store_image(
            ports, request, call.attempt, answer
        )  # fmt: skip
        if isinstance(ending, KeptImage):
            await keep_waiting(ports, request, kept_image.reason(ending.place))
            return "kept"
        latency = ended_at - started_at
        own = not call.is_late and await is_own(self._evidence, answer, request)
        settling = settle(
            ports, request, attempt, ending, round(latency.total_seconds() * 1000), is_own=own,
            interaction_id=call.interaction_id, tidy=self._tidy(call.interaction_id),
        )  # fmt: skip
        noting = _nothing() if call.is_late else note(self._evidence, answer, request, time)
        effect, _ = await asyncio.gather(settling, noting)
        if effect != "settled before":
            await self._learn(call, attempt, answer, latency)
        self._trace(call, message, over, began_at)
        return effect

    def _tidy(self, interaction_id: str) -> Tidy:
        async def delete(request: Request) -> RequestRecord:
            """If it could not be deleted, its mark stays, and `watch` tries again."""
            if await self._ports.interactions.delete(interaction_id) is not None:
                return request.record
            return transitions.without_leftovers(
                request.record, {interaction_id}, request.record.leftovers_at or request.read_at
            )

        return delete

    async def _learn(self, call: Call, attempt: Attempt, answer: Answer, took: timedelta) -> None:
        """What this call proves about background calls on its circuit."""
        ports, request = self._ports, call.request
        circuit = attempt.record.route.circuit
        is_canary = request.record.way == "canary"
        match answer:
            case Made(usage=usage) if usage is not None:
                now = ports.clock.monotonic()
                if is_canary or now - self._proven.get(circuit, -PROVEN_FOR) >= PROVEN_FOR:
                    await proofs.proven(ports, circuit, request.id, took)
                    self._proven[circuit] = now
            case Failure(kind=FailureKind.BACKGROUND_REFUSED):
                self._proven.pop(circuit, None)
                await proofs.refused(ports, circuit, request.id, answer.message)
            case _ if is_canary:
                await proofs.inconclusive(ports, circuit, request.id)
            case _:
                pass

    def _trace(self, call: Call, message: Message | None, over: Over, began_at: datetime) -> None:
        """The collect span, linked into the tree of its request."""
        ports, request = self._ports, call.request
        parent = tracing.attempt_of(request.record, call.attempt)
        now = ports.clock.now()
        delay = None if over.ended_at is None else round(max(0.0, (now - over.ended_at).total_seconds()) * 1000)
        noted = None if message is None else Noted.parse(message.attributes)
        arrived: tuple[Place, ...] = ()
        if message is not None and noted is not None:
            arrived = (tracing.below(ports, parent),)
            tracing.write(
                ports, spans.ARRIVE, arrived[0], parent, noted.received_at, message.published_at or began_at,
                topic="render-arrivals", message_id=noted.webhook_id, request_id=request.id, attempt=call.attempt,
                interaction_id=call.interaction_id, webhook_event=noted.event, webhook_way=noted.way,
            )  # fmt: skip
        tracing.write(
            ports, spans.COLLECT, tracing.below(ports, parent), parent, began_at, now, links=arrived,
            topic=None if message is None else "render-arrivals", message_id=None if message is None else message.id,
            request_id=request.id, attempt=call.attempt, interaction_id=call.interaction_id, delay_ms=delay,
        )  # fmt: skip


def _started_at(call: Call, attempt: Attempt) -> datetime:
    """Its slot, if the request still has it."""
    slot_at = call.request.record.slot_at
    return attempt.record.started_at if call.is_late or slot_at is None else slot_at


def _ended_at(over: Over, started_at: datetime, now: datetime) -> datetime:
    """By the provider's clock in whole seconds: a short call may seem to end before its start; then by our clock."""
    if over.ended_at is not None and over.ended_at > started_at:
        return over.ended_at
    return max(started_at, now)


async def _nothing() -> None:
    pass
