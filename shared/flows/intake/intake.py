"""A message on render-requests becomes one queued request, a cancellation, or an answered rejection."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from shared.core.accounting import budget
from shared.core.catalogue.catalogue import Catalogue, UnknownModel
from shared.core.lifecycle import request_record, transitions
from shared.core.messages.logged_field import logged_field
from shared.core.messages.pubsub_messages import Arrival, rejection_event
from shared.core.messages.render_request import (
    DEFAULT_TENANT,
    Cancel,
    Floor,
    InvalidRequest,
    RenderRequest,
    parse_message,
)
from shared.core.messages.request_key import id_of, key_of
from shared.core.messages.topics import RENDER_ARRIVALS, RENDER_REQUESTS, RENDER_RESULTS
from shared.core.observability import events, spans
from shared.core.provider.outcome import CANCELLED, EXPIRED
from shared.core.records.note import RejectedRecord
from shared.core.records.versioned import Request, committed, request_in, update
from shared.core.routing import ladder
from shared.core.routing.context import Offer
from shared.core.routing.ladder import Planned, Unroutable
from shared.core.routing.requirements import Requirements
from shared.core.validation.shapes import Problem, shown
from shared.core.values.documents import Absent, Committed, Conflict, Create, Document, Fields, InvalidDocument
from shared.core.values.lanes import AT_ONCE
from shared.core.values.parameters import WITH_QUALITY
from shared.core.values.trace_context import Place, caller_of
from shared.flows import tracing, tracing_waits
from shared.flows.clock import ServerTime
from shared.flows.intake.fair_queue import FairTags
from shared.flows.intake.interactive_bound import check_interactive
from shared.flows.intake.revive import predecessor
from shared.flows.requests.lookup import find_request
from shared.flows.requests.message import Message
from shared.flows.requests.result_events import announce, ended
from shared.flows.wakeups import Kicks
from shared.ports import Ports
from shared.ports.images import References, ReferenceUnusable
from shared.ports.store import Store

if TYPE_CHECKING:
    from shared.core.records.request import RequestRecord
    from shared.flows.intake.open_slot import Taking

REJECTED_EXCERPT_BYTES = 4096


async def accept_message(ports: Ports, kicks: Kicks, tags: FairTags, message: Message) -> None:
    """Raises StoreUnavailable or TopicsUnavailable when the next step is not on record."""
    delivery = _Delivery.of(ports, message)
    try:
        match parse_message(message.data):
            case Cancel(request_id, tenant):
                key = await cancel(ports, tenant, request_id)
                _trace(ports, delivery, delivery.place, delivery.caller, key, effect="cancel")
            case RenderRequest() as request:
                await _queue(ports, kicks, tags, request, delivery)
    except InvalidRequest as reason:
        await _reject(ports, reason, delivery)
    except InvalidDocument as reason:
        await _reject(ports, _unstorable(message, str(reason)), delivery)


async def give_up(ports: Ports, message: Message, reason: str) -> bool:
    """Reject a message that kept crashing. False if its request is on record and continues."""
    problem = _unstorable(message, reason)
    if problem.request_id is not None:
        request = await find_request(ports.store, problem.tenant or DEFAULT_TENANT, problem.request_id)
        if isinstance(request, Document) and request.record.message_id == message.id:
            return False
    await _reject(ports, problem, _Delivery.of(ports, message))
    return True


def _unstorable(message: Message, reason: str) -> InvalidRequest:
    """For content that passed every rule of a request but cannot be stored."""
    request_id: str | None
    tenant: str | None
    try:
        meaning = parse_message(message.data)
        request_id, tenant = meaning.request_id, meaning.tenant
    except InvalidRequest as error:
        request_id, tenant = error.request_id, error.tenant
    remedy = "Change that content, and report this to the operators: validation should have refused it."
    problem = Problem("the message", f"content that cannot be stored ({reason})", "content the store accepts", remedy)
    return InvalidRequest((problem,), request_id, tenant)


class _Delivery(Struct, frozen=True):
    """One delivery, as it appears in the trace."""

    message: Message
    caller: Place | None
    place: Place
    """A span in the caller's trace, or the root of a new one."""
    began_at: datetime

    @classmethod
    def of(cls, ports: Ports, message: Message) -> _Delivery:
        caller = caller_of(message.attributes)
        place = tracing.begun(ports) if caller is None else tracing.going_on(ports, caller)
        return cls(message, caller, place, ports.clock.now())


async def _queue(ports: Ports, kicks: Kicks, tags: FairTags, request: RenderRequest, delivery: _Delivery) -> None:
    if request.priority != "bulk":
        tags.expect(request.model)
    existing = await find_request(ports.store, request.tenant, request.request_id)
    if isinstance(
        existing, Document
    ):  # checked first: a repeated request is answered even if the catalogue has changed
        await _repeat(ports, kicks, request, existing, delivery)
        return
    above = await failed_model(ports.store, request)
    planned = await would_accept(ports, request, existing.read_at, above)
    await check_interactive(ports, request, existing.read_at)
    before = await predecessor(ports.store, delivery.message.attributes, request)
    now = existing.read_at
    record = request_record.new_record(
        request,
        planned,
        fair_tag=await tags.next(request.tenant, planned.route.model, request.priority),
        message_id=delivery.message.id,
        trace_id=delivery.place.trace_id,
        traceparent=delivery.place.traceparent,
        now=now,
        above=above,
        caller_span_id=delivery.caller.span_id if delivery.caller else None,
        published_at=delivery.message.published_at,
        revives=id_of(before.id) if before else None,
    )
    overdue = request.deadline is not None and request.deadline <= now
    if overdue:
        record = transitions.finished(record, "expired", EXPIRED, now)
    path, document = existing.path, record.to_json()
    try:
        taking, created = await _create(ports, kicks, tags, existing, record, document, None if overdue else planned)
    except ValueError as error:  # only this request: nothing else is written here
        raise InvalidDocument(str(error)) from error
    if isinstance(created, Conflict):
        current = await ports.store.get(path)
        assert isinstance(current, Document), "requests are never deleted within their time"
        await _repeat(ports, kicks, request, request_in(current), delivery)
        return
    document |= taking.changes if taking else {}
    tags.placed(request.model, taking.slot.pool if taking else None)
    taken = request_in(Document(path, document, created.versions[0], created.at))
    _trace_accepted(ports, delivery, taken.id, planned, before)
    ports.signals.emit(
        events.ACCEPTED,
        request_id=taken.id,
        tenant=request.tenant,
        route=str(planned.route),
        trace_id=delivery.place.trace_id,
    )
    if overdue:
        await ended(ports, taken)
        return
    await _continue_request(ports, kicks, taken)
    if taking is not None:
        low = tags.open_slots.runs_low(taking.slot.pool)
        await kicks.after_open_start(record.model, record.priority, runs_low=low)


async def _create(
    ports: Ports,
    kicks: Kicks,
    tags: FairTags,
    absent: Absent,
    record: RequestRecord,
    document: Fields,
    planned: Planned | None,
) -> tuple[Taking | None, Committed | Conflict]:
    """Record a request: with an open slot if it may take one, else in its queue. `planned` None: queue it."""
    model, priority, tenant = record.model, record.priority, record.tenant
    if planned is not None and may_take(ports, record, planned) and await kicks.is_worth_an_open_slot(model, priority):
        time, has_budget = ServerTime(ports.clock, absent.read_at), await tags.has_budget(tenant, model, priority)
        while not has_budget:
            taking = await tags.open_slots.take(absent.path.partition("/")[2], record, planned, time)
            if taking is None:
                break
            created = await ports.store.commit(Create(absent.path, {**document, **taking.changes}), taking.create)
            if isinstance(created, Committed) or not await tags.open_slots.is_taken(taking):
                return taking, created
    return None, await ports.store.commit(Create(absent.path, document))


def may_take(ports: Ports, record: RequestRecord, planned: Planned) -> bool:
    """Whether it may take an open slot, as far as the request decides it: bulk is paced, separate lanes have their own
    quotas."""
    if record.priority == "bulk" or planned.route.lane not in AT_ONCE:
        return False
    return not (ports.gateways and record.ask.allow_gateway)


def _trace_accepted(ports: Ports, delivery: _Delivery, key: str, planned: Planned, before: Request | None) -> None:
    """The publisher's stage, if the push says when it was, and intake's own, linked to the request that it revives."""
    message, root = delivery.message, delivery.place
    if message.published_at is not None:
        tracing.write(
            ports, spans.PUBLISH, tracing.below(ports, root), root, message.published_at, delivery.began_at,
            topic=RENDER_REQUESTS, message_id=message.id, request_id=key,
        )  # fmt: skip
    _trace(
        ports, delivery, tracing.below(ports, root), root, key, effect="accepted",
        route=str(planned.route), reasons=planned.reasons, links=(tracing.root_of(before.record),) if before else (),
    )  # fmt: skip


def _trace(
    ports: Ports,
    delivery: _Delivery,
    place: Place,
    parent: Place | None,
    request_id: str | None,
    *,
    effect: str,
    route: str | None = None,
    reasons: tuple[str, ...] = (),
    problems: tuple[str, ...] = (),
    links: tuple[Place, ...] = (),
) -> None:
    tracing.write(
        ports, spans.INTAKE, place, parent, delivery.began_at, ports.clock.now(), links=links,
        failed="rejected" if problems else None, topic=RENDER_REQUESTS, message_id=delivery.message.id,
        request_id=request_id, effect=effect, route=route, reasons=reasons, problems=problems,
    )  # fmt: skip


async def _repeat(ports: Ports, kicks: Kicks, request: RenderRequest, existing: Request, delivery: _Delivery) -> None:
    """The same id again: the same content is the same request; other content is refused and the first one kept."""
    if request_record.content_hash(existing.record) != request.content_hash:
        problem = Problem(
            "request_id",
            shown(request.request_id),
            "an id that no other request of this tenant has had in the last 30 days",
            "This id belongs to a request with other content, which is unchanged. Use a new id.",
        )
        raise InvalidRequest((problem,), request.request_id, request.tenant)
    ports.signals.emit(
        events.REPEATED,
        request_id=existing.id,
        status=existing.record.status,
        trace_id=existing.record.trace_id,
    )
    root = tracing.root_of(existing.record)
    if delivery.caller is None:  # probably a redelivery
        _trace(ports, delivery, tracing.below(ports, root), root, existing.id, effect="repeated")
    else:
        _trace(ports, delivery, delivery.place, delivery.caller, existing.id, effect="repeated", links=(root,))
    await _continue_request(ports, kicks, existing)


async def _continue_request(ports: Ports, kicks: Kicks, request: Request) -> None:
    """What a recorded request needs now, on its first delivery and on any later one."""
    if request.record.is_final:
        await announce(ports, request)
        return
    starts = request.record.status == "released" and request.record.open_slot is not None
    if request.record.status != "queued" and not starts:
        return
    # A cancellation is kept before it looks for its request, a request before it looks for its cancellation.
    tenant, request_id = request.record.tenant, id_of(request.id)
    if isinstance(await ports.store.get(_cancel_path(tenant, request_id)), Document):
        await cancel(ports, tenant, request_id)
        return
    if starts:  # again where an earlier delivery may have died in between: workers take up one
        from shared.flows.intake.open_slot import hand_out

        await hand_out(ports, request)
        return
    await kicks.after_queueing(request.record.model, request.record.priority)


async def cancel(ports: Ports, tenant: str, request_id: str) -> str:
    """End a request that has not begun; keep the cancellation of one that has not arrived; note it on one that has
    begun. Only that tenant's request is affected. Returns its key."""
    await ports.store.commit(Create(_cancel_path(tenant, request_id), await _cancel_document(ports)))
    while True:
        request = await find_request(ports.store, tenant, request_id)
        key = request.path.partition("/")[2]
        if isinstance(request, Absent):
            ports.signals.emit(events.CANCELLED, request_id=key, effect="kept for its arrival", trace_id=None)
            return key
        now, record = request.read_at, request.record
        if record.is_final:
            if record.announce == "pending":
                await announce(ports, request)
            return key
        if record.has_begun and record.cancel_requested_at is not None:
            await _stop(ports, request)
            return key
        after = replace(record, cancel_requested_at=now, updated_at=now)
        if not record.has_begun:
            after = transitions.finished(after, "cancelled", CANCELLED, now)
        given_back = () if record.has_begun else budget.refund(record.tenant, request.id, record.budget)
        write = update(request, after)
        answer = await ports.store.commit(write, *given_back)
        if isinstance(answer, Conflict):
            continue
        effect = "ended unpaid"
        if record.has_begun:
            effect = "stopping its interaction" if record.is_awaiting else "noted: the attempt ends as it ends"
        ports.signals.emit(events.CANCELLED, request_id=key, effect=effect, trace_id=record.trace_id)
        if record.has_begun:
            await _stop(ports, request)
        else:
            if record.status == "released":
                tracing_waits.slot_ended(ports, request, now, lost="cancelled")
            ending = replace(committed(request, after, write, answer), read_at=now)
            await ended(ports, ending, was=record.status)
        return key


async def _stop(ports: Ports, request: Request) -> None:
    """Have its interaction looked at, if it waits for one: the look cancels it."""
    record = request.record
    if record.is_awaiting and record.interaction_id is not None:
        arrival = Arrival(record.interaction_id, request.id, record.attempt_count)
        await ports.topics.publish(RENDER_ARRIVALS, arrival.to_bytes())


async def failed_model(store: Store, request: RenderRequest) -> str | None:
    """The model of the image that this request escalates: the delivered one, else the planned one. None if that request
    is unknown (or no longer known): messages may overtake each other."""
    if request.escalates is None:
        return None
    first = await find_request(store, request.tenant, request.escalates)
    if isinstance(first, Absent):
        return None
    receipt = first.record.receipt
    return first.record.route.model if receipt is None else receipt.delivered.model


async def would_accept(ports: Ports, request: RenderRequest, now: datetime, above: str | None = None) -> Planned:
    """The route that a new request would be queued for. Raises InvalidRequest for one that would be rejected. `above`
    is the result of `failed_model`."""
    offers = await _offers(ports, request, now)
    return check(request, ports.catalogue, ports.references, ports.open_lanes, above, offers)


async def _offers(ports: Ports, request: RenderRequest, now: datetime) -> dict[str, Offer]:
    """What gateways offer to a request that may go there: its cost cap may suffice only for them."""
    if not request.allow_gateway or not ports.gateways:
        return {}
    from shared.core.admission import outlook  # few requests may go there: a start does not wait for it
    from shared.flows.operations.gateway_proofs import read_off

    off = await read_off(ports.store, ports.catalogue, ports.gateways, now)
    return outlook.offers(ports.catalogue, ports.gateways, off)


def check(
    request: RenderRequest,
    catalogue: Catalogue,
    references: References,
    lanes: Collection[str],
    above: str | None = None,
    offers: Mapping[str, Offer] = MappingProxyType({}),
) -> Planned:
    """The rules that need the catalogue or the configuration. Raises InvalidRequest."""
    problems: list[Problem] = []
    if request.floor != "exact" and request.floor.model is not None:
        try:
            catalogue.find(request.floor.model)
        except UnknownModel:
            allowed = ", ".join(catalogue.names)
            problems.append(Problem("floor.model", shown(request.floor.model), allowed, "Use one of them."))
            request = replace(request, floor=Floor())  # other problems are reported too
    for index, reference in enumerate(request.references):
        try:
            references.check(reference.uri, request.tenant)
        except ReferenceUnusable as error:
            allowed = "an address the worker may read (RENDERLANE_REFERENCES)"
            problems.append(
                Problem(f"references[{index}].uri", str(error), allowed, "Move the image, or allow its address.")
            )
    if request.output_quality is not None and request.output_format not in WITH_QUALITY:
        problems.append(
            Problem(
                "output_quality",
                f"{request.output_quality} with output_format {shown(request.output_format)}",
                f"only with output_format {' or '.join(WITH_QUALITY)}",
                "Set such a format, or leave the quality out.",
            )
        )
    planned = ladder.first_plan(Requirements.of(request, above), catalogue, lanes, offers)
    match planned:
        case Unroutable(problem):
            raise InvalidRequest((*problems, problem), request.request_id, request.tenant)
        case Planned():
            contradiction = None
            if request.floor != "exact" and not problems:
                contradiction = ladder.below_floor(planned.route, request.floor, catalogue)
            if contradiction is not None:
                problems.append(contradiction)
            if problems:
                raise InvalidRequest(tuple(problems), request.request_id, request.tenant)
            return planned


async def _reject(ports: Ports, reason: InvalidRequest, delivery: _Delivery) -> None:
    """Record the rejection, answer it, and acknowledge the message."""
    now, message, trace_id = ports.clock.now(), delivery.message, delivery.place.trace_id
    excerpt = message.data[:REJECTED_EXCERPT_BYTES].decode("utf-8", errors="replace")
    record = RejectedRecord(
        reason=str(reason),
        problems=reason.problems,
        request_id=reason.request_id,
        tenant=reason.tenant,
        message_id=message.id,
        excerpt=excerpt.encode("utf-8")[:REJECTED_EXCERPT_BYTES].decode("utf-8", errors="ignore"),
        trace_id=trace_id,
        traceparent=delivery.place.traceparent,
        created_at=now,
        expire_at=now + request_record.KEEP_FOR,
    )
    rejection = Create(f"rejected/{message.id}", record.to_json())
    await ports.store.commit(rejection)  # a conflict: a later delivery of the same
    fields = tuple(logged_field(problem.field) for problem in reason.problems)
    ports.signals.emit(
        events.REJECTED,
        request_id=reason.request_id,
        message_id=message.id,
        fields=list(fields),
        trace_id=trace_id,
    )
    _trace(ports, delivery, delivery.place, delivery.caller, reason.request_id, effect="rejected", problems=fields)
    if reason.request_id is not None or reason.tenant is not None:
        event = rejection_event(reason.request_id or "", reason, message.id, trace_id, now)
        await ports.topics.publish(RENDER_RESULTS, event.data, event.attributes)


def _cancel_path(tenant: str, request_id: str) -> str:
    return f"cancels/{key_of(tenant, request_id)}"


async def _cancel_document(ports: Ports) -> dict[str, object]:
    now = ports.clock.now()
    return {"created_at": now, "expire_at": now + timedelta(days=30)}
