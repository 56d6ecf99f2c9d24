"""A released request becomes an attempt: wait for the slot, record the attempt, call the model, store, settle."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.core.accounting import budget
from shared.core.lifecycle import request_record, settlement, transitions
from shared.core.lifecycle.settlement import Effect
from shared.core.limits.observations import StartSignal
from shared.core.messages.pubsub_messages import BadMessage, ReleaseMessage
from shared.core.messages.render_request import RenderRequest
from shared.core.observability import events
from shared.core.provider import kept_image
from shared.core.provider.call import Answer, Made, Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.interaction import BackgroundRefused, Started
from shared.core.provider.kept_image import KeptImage
from shared.core.provider.outcome import CANCELLED, of_failure
from shared.core.provider.stored_image import Ending
from shared.core.records.request import RequestRecord
from shared.core.records.versioned import Attempt, Request, Versioned, committed, request_in, update
from shared.core.routing import gateway
from shared.core.routing.gateway import CONTRACT
from shared.core.times.leases import CLOCK_TOLERANCE, LEASE
from shared.core.values.documents import Absent, Committed, Conflict, Create, Delete, Document
from shared.core.values.lanes import VERTEX
from shared.core.values.route import Route
from shared.flows import tracing, tracing_waits
from shared.flows.background import proofs
from shared.flows.clock import ServerTime
from shared.flows.render.deadly import MOST_STARTS, NOT_DEADLY, count_start
from shared.flows.render.gathering import Load
from shared.flows.render.interaction_start import put_on_record
from shared.flows.render.limit_reports import Evidence
from shared.flows.render.noting import is_own, note
from shared.flows.render.settle import recover, settle
from shared.flows.render.slot_start import Start
from shared.flows.requests.message import Message
from shared.flows.requests.paid_image import keep_waiting, store_image
from shared.flows.requests.provider_call import order_of
from shared.flows.requests.result_events import announce, ended
from shared.flows.tracing_call import trace_call
from shared.flows.wakeups import Kicks
from shared.ports import Ports
from shared.ports.images import ReferenceUnusable


async def render(ports: Ports, kicks: Kicks, evidence: Evidence, message: Message) -> None:
    """Raises StoreUnavailable, TopicsUnavailable or BadMessage; else the message may be acknowledged."""
    release = ReleaseMessage.parse(message.data)
    document = await ports.store.get(request_record.path(release.request_id))
    if isinstance(document, Absent):
        raise BadMessage(f"no such request: {release.request_id}")
    request = request_in(document)
    time = evidence.reads.time_after(request.read_at)
    match request.record.status:
        case "released" if request.record.release == release.number:
            begun = await count_start(ports, request)
            if begun is None:
                await _end_deadly(ports, request, time)
            elif isinstance(begun, Versioned):
                effect = await _attempt(ports, evidence, begun, time)
                await kicks.after_render(effect, has_news=evidence.take_news())
        case "rendering" if _has_lapsed(request, time):
            await kicks.after_render(await recover(ports, request))
        case _ if request.record.announce == "pending":
            await announce(ports, request)
        case _:
            pass  # leased, of an older release, or ended: another process takes the next step


def _has_lapsed(request: Request, time: ServerTime) -> bool:
    """Its worker is gone. A request that waits for its interaction needs none."""
    lease_until = request.record.lease_until
    return lease_until is not None and bool(lease_until < time.now())


async def _attempt(ports: Ports, evidence: Evidence, request: Request, time: ServerTime) -> Effect:
    """The effect on the request."""
    render_request = request.record.content
    # No slot is granted so far ahead: the clock was set back.
    if _claim_at(evidence, request) - time.now() > CLOCK_TOLERANCE:
        return await _give_back(ports, evidence, None, request, time, request)
    late = StartSignal.DELIVERED_LATE if time.now() > _claim_at(evidence, request) else StartSignal.LATE
    is_ahead = request.record.open_slot is None  # otherwise its slot began when it arrived: its delay means nothing
    """The signal if the call cannot leave in time: it came too late to be claimed ahead, or this worker is slow."""
    await ports.lanes[request.record.route.lane].prepare()
    try:  # before the slot: a slow bucket must not make the start late
        load = await evidence.gathering.gather(ports, request, render_request)
    except ReferenceUnusable as error:
        return await _end_unusable(ports, request, error, time)
    if load is None:
        return "settled before"  # another delivery works on it
    keeper = _Keeper(ports, evidence, request.id, load)
    with keeper:
        if render_request.references:
            newest = await _read(ports, request)
            if newest is None or newest.record.is_final:
                return "settled before"
            if newest.record.status != "released":
                keeper.park()  # taken back meanwhile: its next release finds what was fetched
                return "settled before"
            request = newest
        slow = keeper.fetched and time.now() > _claim_at(evidence, request)
        if slow and time.now() > request.record.slot_end:
            keeper.park()
            why = "its references were not there in time"
            return await _give_back(ports, evidence, None, request, time, request, reason=why)
        await time.wait_until(_claim_at(evidence, request))
        says = is_ahead and not slow
        effect = await _call(ports, evidence, request, render_request, load, late if says else None, time)
        if effect == "queued":
            keeper.park()
        return effect


def _claim_at(evidence: Evidence, request: Request) -> datetime:
    return request.record.slot_start - evidence.claims.ahead


class _Keeper:
    """Gives the room of a load back at the end, or parks the load."""

    def __init__(self, ports: Ports, evidence: Evidence, request_id: str, load: Load) -> None:
        self._ports = ports
        self._gathering = evidence.gathering
        self._request_id = request_id
        self._load = load
        self._parks = False
        self.fetched = bool(load.references) and load.parked_at is None
        """Fetched just now, and not for an earlier release."""

    def park(self) -> None:
        self._parks = True

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._parks:
            self._gathering.park(self._ports, self._request_id, self._load)
        else:
            self._gathering.let_go(self._ports, self._load)


async def _call(
    ports: Ports,
    evidence: Evidence,
    request: Request,
    content: RenderRequest,
    load: Load,
    late: StartSignal | None,
    time: ServerTime,
) -> Effect:
    """Claim the release, make the call at its slot, and settle its result. `late` None: the delay is not the fleet's
    fault."""
    released = request
    if ports.leaving.begun:
        why = "its worker was shutting down"
        return await _give_back(ports, evidence, None, request, time, released, reason=why)
    if time.now() > request.record.slot_end:
        return await _give_back(ports, evidence, late, request, time, released)
    start = Start(ports, evidence, released, time, tells=late is not None)
    claimed = await _claim(ports, request, time)
    if claimed is None:
        return "settled before"  # cancelled, expired, or claimed by another delivery of this release
    request, attempt = claimed
    if time.now() > request.record.slot_end:
        start.is_ready()
        return await _give_back(ports, evidence, late, request, time, released, unopened=attempt)
    hold = _Hold(ports, request)
    async with start, hold:
        provider = request.record.gateway or ""
        order = order_of(content, request.record.route, load.references, ports.catalogue, provider)
        if request.record.probe is None:  # a probe is there to ask the model
            order = replace(order, paid_at=request.record.paid_at or "")
        begun = await _begin(ports, request, order, attempt.record.number, start)
        if isinstance(begun, Started):
            return await put_on_record(ports, hold.request, attempt, begun, order, start.began_at)
        answer: Answer = begun
        latency_ms = round((ports.clock.monotonic() - start.began) * 1000)
        began_at, answered_at = start.began_at, time.now()
        parent = tracing.attempt_of(request.record, attempt.record.number)
        ending: Ending | KeptImage
        match answer:
            case Failure(kind=FailureKind.LATE):
                waiting = None if start.in_time else released
                return await _give_back(ports, evidence, late, hold.request, time, waiting, unopened=attempt)
            case Made():
                trace_call(ports, request, attempt, parent, answer, began_at, answered_at, order.image_size)
                ending = await store_image(ports, request, attempt.record.number, answer)
            case Failure():
                trace_call(ports, request, attempt, parent, answer, began_at, answered_at, order.image_size)
                ending = answer
    if isinstance(ending, KeptImage):
        await keep_waiting(ports, hold.request, kept_image.reason(ending.place))
    noting = note(evidence, answer, request, time)
    if isinstance(ending, KeptImage):
        await noting
        return "kept"
    own = await is_own(evidence, answer, hold.request)
    settling = settle(ports, hold.request, attempt, ending, latency_ms, is_own=own)
    effect, _ = await asyncio.gather(settling, noting)
    return effect


async def _begin(ports: Ports, request: Request, order: Order, number: int, start: Start) -> Started | Answer:
    """Make the call in the way that the pump chose for it: returns the answer, or that it continues in the
    background."""
    way = request.record.way
    circuit = request.record.route.circuit
    if way == "canary" and order.paid_at:
        await proofs.inconclusive(ports, circuit, request.id)
    if way == "foreground" or order.paid_at:
        return await ports.lanes[order.lane].generate(order, timeout_of(ports, order), start.at_slot)
    begun = await ports.interactions.start(replace(order, key=request.id, attempt=number), start.at_slot)
    match begun:
        case Started():
            return begun
        case BackgroundRefused(failure):
            await proofs.refused(ports, circuit, request.id, failure.message)
            return replace(failure, kind=FailureKind.BACKGROUND_REFUSED)
        case _:
            if way == "canary":
                await proofs.inconclusive(ports, circuit, request.id)
            return begun


async def _claim(ports: Ports, request: Request, time: ServerTime) -> tuple[Request, Attempt] | None:
    """Record the attempt under the request's version: of any number of deliveries one wins."""
    now = time.now()
    number = request.record.attempt_count + 1
    record = request.record
    opened = settlement.open_attempt(
        record, number, holder=ports.boot, now=now, **_contract_of(ports, record.route, record.gateway)
    )
    claimed = transitions.claimed(record, ports.boot, number, now)
    path, write = request_record.attempt_path(request.id, number), update(request, claimed)
    answer = await ports.store.commit(write, Create(path, opened.to_json()))
    match answer:
        case Conflict():
            return None
        case Committed():
            mine = committed(request, claimed, write, answer)
            return mine, Versioned(path, opened.to_json(), answer.versions[1], answer.at, opened)


def _contract_of(ports: Ports, route: Route, name: str | None) -> dict[str, str]:
    """Which contract the attempt is under, who operates it, and what kind of key it uses; `name` of a gateway."""
    if route.lane == VERTEX:
        return {"contract": VERTEX, "owner": ports.vertex_project, "key_kind": "adc"}
    if name is None:
        return {"contract": "google", "owner": ports.project, "key_kind": ports.key_kind}
    row = ports.catalogue.gateways.get(name)
    return {"contract": f"{CONTRACT}{name}", "owner": row.owner if row else name, "key_kind": "gateway"}


def timeout_of(ports: Ports, order: Order) -> timedelta:
    """How long a call may take."""
    row = ports.catalogue.gateways.get(order.gateway)
    return gateway.timeout(row, order.image_size) if row else ports.catalogue.models[order.model].timeout


async def _give_back(
    ports: Ports,
    evidence: Evidence,
    late: StartSignal | None,
    request: Request,
    time: ServerTime,
    released: Request | None,
    unopened: Attempt | None = None,
    reason: str = "its slot had passed",
) -> Effect:
    """Too late for the slot: back to the front of the queue, unpaid; the slot is kept for the pump to give back.

    No call left, so the attempt that was recorded for it does not count. A request with a pending cancellation ends
    here, unpaid. `released` if the wait for the slot is not over yet; `late` None if the delay says nothing about the
    fleet.
    """
    undo = () if unopened is None else (Delete(unopened.path, unopened.version),)
    given_back = budget.refund(request.record.tenant, request.id, request.record.budget)
    after = _not_started(request.record, reason, time.now(), unopened)
    write = update(request, after)
    answer = await ports.store.commit(write, *undo, *given_back)
    if isinstance(answer, Conflict) and undo:  # a cancellation was noted on it meanwhile
        newest = await _read(ports, request)
        if newest is not None and newest.record.status == "rendering":
            request, after = newest, _not_started(newest.record, reason, time.now(), unopened)
            write = update(request, after)
            answer = await ports.store.commit(write, *undo, *given_back)
    if isinstance(answer, Committed):
        if released is not None:
            tracing_waits.slot_ended(ports, released, time.now(), lost="slot_passed")
        if after.is_final:
            await ended(ports, replace(committed(request, after, write, answer), read_at=time.now()))
        else:
            ports.signals.emit(
                events.REQUEUED, request_id=request.id, reason=reason, trace_id=request.record.trace_id
            )  # fmt: skip
    if late is not None:
        await evidence.late(request.record.route.pool, late, request.record.slot_start, time)
    return "final" if after.is_final else "queued"


def _not_started(record: RequestRecord, reason: str, now: datetime, unopened: Attempt | None) -> RequestRecord:
    """Back in its queue, or cancelled if that is pending, without the attempt."""
    if record.cancel_requested_at is not None:
        after = transitions.finished(record, "cancelled", CANCELLED, now)
    else:
        after = replace(transitions.return_to_queue(record, reason, now), **NOT_DEADLY)
    return after if unopened is None else replace(after, attempt_count=record.attempt_count - 1)


async def _read(ports: Ports, request: Request) -> Request | None:
    """Its current state; None if it is gone."""
    document = await ports.store.get(request.path)
    return request_in(document) if isinstance(document, Document) else None


async def _end_unusable(ports: Ports, request: Request, error: ReferenceUnusable, time: ServerTime) -> Effect:
    """For any of its releases: its references cannot be used."""
    newest = await _read(ports, request)
    if newest is None or newest.record.status != "released":
        return "settled before"
    await _end_unbegun(ports, newest, Failure(FailureKind.REFERENCE, f"{error}."), time)
    return "final"


async def _end_deadly(ports: Ports, request: Request, time: ServerTime) -> None:
    why = f"The worker began {MOST_STARTS} times and died each time before a call left."
    await _end_unbegun(ports, request, Failure(FailureKind.CRASHED, why), time)
    ports.signals.emit(
        events.ESCALATION, what="a request kept killing its worker", request_id=request.id, runbook="dead-letter",
        trace_id=request.record.trace_id,
    )  # fmt: skip


async def _end_unbegun(ports: Ports, request: Request, failure: Failure, time: ServerTime) -> None:
    """End a request before any attempt was opened."""
    now = time.now()
    after = transitions.finished(request.record, "failed", of_failure(failure), now)
    given_back = budget.refund(request.record.tenant, request.id, request.record.budget)
    write = update(request, after)
    answer = await ports.store.commit(write, *given_back)
    if isinstance(answer, Committed):
        tracing_waits.slot_ended(ports, request, now, lost=failure.kind)
        await ended(ports, replace(committed(request, after, write, answer), read_at=now))


class _Hold:
    """Keeps a request's lease alive while its attempt runs, and knows the request's newest version."""

    def __init__(self, ports: Ports, request: Request) -> None:
        self._ports = ports
        self.request = request

    async def __aenter__(self) -> None:
        self._renewing = asyncio.create_task(self._renew())

    async def __aexit__(self, *_: object) -> None:
        self._renewing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._renewing

    async def _renew(self) -> None:
        while True:
            await self._ports.clock.sleep(request_record.RENEW_EVERY.total_seconds())
            try:
                if not await self._renew_once():
                    return
            except Exception:  # noqa: BLE001  a brief failure of the store must not end a paid attempt
                continue

    async def _renew_once(self) -> bool:
        """False when the lease is lost: the attempt is then settled as it ends and in the state in which it is
        found."""
        before = self.request
        now = max(self._ports.clock.now(), before.read_at)
        after = replace(before.record, lease_until=now + LEASE)
        write = update(before, after)
        answer = await self._ports.store.commit(write)
        if isinstance(answer, Committed):
            self.request = committed(before, after, write, answer)
            return True
        newest = await _read(self._ports, before)
        if newest is None or newest.record.attempt_count != before.record.attempt_count:
            return False
        self.request = newest
        return newest.record.status == "rendering"
