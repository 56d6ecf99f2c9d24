"""A message on render-requests becomes one queued request, a cancellation, or an answered rejection."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from shared.core import budget, ladder, record, signals
from shared.core.ask import Ask
from shared.core.catalogue import Catalogue, UnknownModel
from shared.core.documents import Absent, Conflict, Create, Document, Update
from shared.core.ladder import Planned, Unroutable
from shared.core.messages import rejection_event
from shared.core.outcome import CANCELLED, EXPIRED
from shared.core.request import Cancel, Floor, InvalidRequest, RenderRequest, parse_message
from shared.core.shape import Problem, shown
from shared.core.topology import RENDER_RESULTS
from shared.core.trace import trace_id_of, traceparent_of
from shared.flows.announce import announce
from shared.flows.fair_tags import FairTags
from shared.flows.kicks import Kicks
from shared.flows.message import Message
from shared.ports import Ports, References, ReferenceUnusable, Store

REJECTED_EXCERPT_BYTES = 4096


async def take_in(ports: Ports, kicks: Kicks, tags: FairTags, message: Message) -> None:
    """Raises StoreUnavailable or TopicsUnavailable when the next step is not on record."""
    traceparent = traceparent_of(message.attributes, ports.fresh(48))
    try:
        match parse_message(message.data):
            case Cancel(request_id):
                await cancel(ports, request_id)
            case RenderRequest() as request:
                await _queue(ports, kicks, tags, request, message, traceparent)
    except InvalidRequest as reason:
        await _reject(ports, reason, message, traceparent)


async def _queue(
    ports: Ports, kicks: Kicks, tags: FairTags, request: RenderRequest, message: Message, traceparent: str
) -> None:
    existing = await ports.store.get(record.path(request.request_id))
    if isinstance(
        existing, Document
    ):  # looked at first: a repeated request is answered whatever the catalogue says now
        await _repeat(ports, kicks, request, existing)
        return
    above = await failed_model(ports.store, request)
    planned = check(request, ports.catalogue, ports.references, ports.open_lanes, above)
    now = existing.read_at
    document = record.new_document(
        request,
        planned,
        fair_tag=await tags.next(request.tenant, planned.route.model, request.priority),
        message_id=message.id,
        trace_id=trace_id_of(traceparent),
        traceparent=traceparent,
        now=now,
        above=above,
    )
    if request.deadline is not None and request.deadline <= now:
        document |= record.finished("expired", EXPIRED, now)
    path = record.path(request.request_id)
    created = await ports.store.commit(Create(path, document))
    if isinstance(created, Conflict):
        current = await ports.store.get(path)
        assert isinstance(current, Document), "requests are never deleted within their time"
        await _repeat(ports, kicks, request, current)
        return
    ports.signals.emit(
        signals.ACCEPTED,
        request_id=request.request_id,
        tenant=request.tenant,
        route=str(planned.route),
        trace_id=trace_id_of(traceparent),
    )
    await _see_to_it(ports, kicks, Document(path, document, created.versions[0], created.at))


async def _repeat(ports: Ports, kicks: Kicks, request: RenderRequest, existing: Document) -> None:
    """The same id again: the same content is the same request; other content is refused and the first one kept."""
    if existing.data["content_hash"] != request.content_hash:
        problem = Problem(
            "request_id",
            shown(request.request_id),
            "an id that no other request has had in the last 30 days",
            "This id stands for other content, which stays as it is. Use a new id.",
        )
        raise InvalidRequest((problem,), request.request_id)
    ports.signals.emit(signals.REPEATED, request_id=request.request_id, status=existing.data["status"])
    await _see_to_it(ports, kicks, existing)


async def _see_to_it(ports: Ports, kicks: Kicks, request: Document) -> None:
    """What a request on record needs now, on its first delivery and on any later one."""
    if request.data["status"] in record.FINAL:
        await announce(ports, request)
        return
    if request.data["status"] != "queued":
        return
    # A cancellation is kept before it looks for its request, a request before it looks for its cancellation.
    if isinstance(await ports.store.get(_cancel_path(request.id)), Document):
        await cancel(ports, request.id)
        return
    await kicks.after_queueing(request.data["model"], request.data["priority"])


async def cancel(ports: Ports, request_id: str) -> None:
    """End a request that has not begun; keep the wish for one that has not come; note it on one that has begun."""
    await ports.store.commit(Create(_cancel_path(request_id), await _cancel_document(ports)))
    while True:
        request = await ports.store.get(record.path(request_id))
        if isinstance(request, Absent):
            ports.signals.emit(signals.CANCELLED, request_id=request_id, effect="kept for its arrival")
            return
        now = request.read_at
        if request.data["status"] in record.FINAL:
            if request.data["announce"] == "pending":
                await announce(ports, request)
            return
        begun = record.has_begun(request.data)
        if begun and request.data["cancel_requested_at"] is not None:
            return
        changes = {"cancel_requested_at": now, "updated_at": now}
        if not begun:
            changes |= record.finished("cancelled", CANCELLED, now)
        given_back = () if begun else budget.given_back(request.id, request.data)
        committed = await ports.store.commit(Update(request.path, changes, request.version), *given_back)
        if isinstance(committed, Conflict):
            continue
        effect = "noted: the attempt ends as it ends" if begun else "ended unpaid"
        ports.signals.emit(signals.CANCELLED, request_id=request_id, effect=effect)
        if not begun:
            await announce(ports, Document(request.path, {**request.data, **changes}, committed.versions[0], now))
        return


async def failed_model(store: Store, request: RenderRequest) -> str | None:
    """The model of the image that this request is the dearer second try of: delivered, else planned so far.

    None where the first one is not known (any more): messages may overtake each other.
    """
    if request.escalates is None:
        return None
    first = await store.get(record.path(request.escalates))
    if isinstance(first, Absent) or first.data["tenant"] != request.tenant:
        return None
    receipt = first.data["receipt"]
    return str(receipt["delivered"]["model"] if receipt else first.data["route"]["model"])


def check(
    request: RenderRequest,
    catalogue: Catalogue,
    references: References,
    lanes: Collection[str],
    above: str | None = None,
) -> Planned:
    """The rules that need the catalogue or the configuration. Raises InvalidRequest."""
    problems: list[Problem] = []
    if request.floor != "exact" and request.floor.model is not None:
        try:
            catalogue.find(request.floor.model)
        except UnknownModel:
            allowed = ", ".join(catalogue.names)
            problems.append(Problem("floor.model", shown(request.floor.model), allowed, "Use one of them."))
            request = replace(request, floor=Floor())  # what else is wrong is told too
    for index, reference in enumerate(request.references):
        try:
            references.check(reference.uri)
        except ReferenceUnusable as error:
            allowed = "a place the worker may read (RENDERLANE_REFERENCES)"
            problems.append(Problem(f"references[{index}].uri", str(error), allowed, "Move it, or have it allowed."))
    planned = ladder.first_plan(Ask.of(request, above), catalogue, lanes)
    match planned:
        case Unroutable(problem):
            raise InvalidRequest((*problems, problem), request.request_id)
        case Planned():
            contradiction = None
            if request.floor != "exact" and not problems:
                contradiction = ladder.below_floor(planned.route, request.floor, catalogue)
            if contradiction is not None:
                problems.append(contradiction)
            if problems:
                raise InvalidRequest(tuple(problems), request.request_id)
            return planned


async def _reject(ports: Ports, reason: InvalidRequest, message: Message, traceparent: str) -> None:
    """Record it, answer it, and let the message go."""
    now = ports.clock.now()
    excerpt = message.data[:REJECTED_EXCERPT_BYTES].decode("utf-8", errors="replace")
    document = {
        "reason": str(reason),
        "problems": [
            {"field": each.field, "found": each.found, "allowed": each.allowed, "remedy": each.remedy}
            for each in reason.problems
        ],
        "request_id": reason.request_id,
        "message_id": message.id,
        "excerpt": excerpt.encode("utf-8")[:REJECTED_EXCERPT_BYTES].decode("utf-8", errors="ignore"),
        "trace_id": trace_id_of(traceparent),
        "created_at": now,
        "expire_at": now + record.KEEP_FOR,
    }
    await ports.store.commit(Create(f"rejected/{message.id}", document))  # a conflict: a later delivery of the same
    ports.signals.emit(
        signals.REJECTED,
        request_id=reason.request_id,
        message_id=message.id,
        fields=[problem.field for problem in reason.problems],
    )
    if reason.request_id is not None:
        event = rejection_event(reason.request_id, reason, message.id, trace_id_of(traceparent), now)
        await ports.topics.publish(RENDER_RESULTS, event.data, event.attributes)


def _cancel_path(request_id: str) -> str:
    return f"cancels/{request_id}"


async def _cancel_document(ports: Ports) -> dict[str, object]:
    now = ports.clock.now()
    return {"created_at": now, "expire_at": now + timedelta(days=30)}
