"""A dead letter is a delivery that kept crashing: the request or document it was about is looked at and handled."""

from __future__ import annotations

from typing import TypeGuard

from msgspec.structs import replace

from shared.core.accounting import budget
from shared.core.lifecycle import request_record, transitions
from shared.core.messages.pubsub_messages import Arrival, BadMessage, BatchArrival, ReleaseMessage, parse_arrival
from shared.core.messages.topics import DEAD_LETTER_SOURCE, SUBSCRIPTIONS
from shared.core.observability import events
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.outcome import Outcome
from shared.core.records.versioned import Request, attempt_in, committed, request_in, update
from shared.core.values.documents import Absent, Committed, Document
from shared.flows.intake.fair_queue import FairTags
from shared.flows.intake.intake import accept_message, give_up
from shared.flows.render.limit_reports import Evidence
from shared.flows.render.render import render
from shared.flows.render.settle import settle
from shared.flows.requests.item_by_item import attempt, reason_of, report
from shared.flows.requests.message import Message
from shared.flows.requests.result_events import ended
from shared.flows.wakeups import Kicks
from shared.flows.webhooks.deliver import deliver
from shared.flows.webhooks.room import DeliveryRoom
from shared.ports import Ports
from shared.ports.images import ImagesUnavailable
from shared.ports.messaging import TopicsUnavailable
from shared.ports.store import StoreUnavailable

RUNBOOK = "dead-letter"
COME_AGAIN = (StoreUnavailable, TopicsUnavailable, ImagesUnavailable)


MOST_DEAD_LETTERS = 3
"""Releases that were still the request's newest; a living pump takes them back after seconds. Each stands for
MOST_DELIVERIES failures."""
KEPT_CRASHING = Outcome.of(
    FailureKind.CRASHED,
    "The worker kept crashing on it before a call left.",
    "Look for document_skipped and pump_tick_failed among the worker's events, then submit it under a new id.",
)


async def bury(
    ports: Ports, kicks: Kicks, tags: FairTags, evidence: Evidence, room: DeliveryRoom, message: Message
) -> None:
    """A delivery can also fail because the fleet is full: the message's own flow gets one more try and decides by the
    store. If that crashes too, the request is ended on record, and its publisher is told.

    Raises only errors that have the message redelivered: StoreUnavailable, TopicsUnavailable, ImagesUnavailable; and
    BadMessage.
    """
    source = message.attributes.get(DEAD_LETTER_SOURCE, "").rpartition("/")[2]
    function = next((subscription.function for subscription in SUBSCRIPTIONS if subscription.name == source), None)
    match function:
        case "intake":
            await _after_intake(ports, kicks, tags, message)
        case "collect":
            await _after_collect(ports, message)
        case "render":
            await _after_render(ports, kicks, evidence, message)
        case "deliver":
            await _after_deliver(ports, room, message)
        case _:
            raise BadMessage(f"a dead letter of {source or 'an unnamed subscription'}")


async def _after_intake(ports: Ports, kicks: Kicks, tags: FairTags, message: Message) -> None:
    """The escalation comes last: once per message, however often an unavailable store has it redelivered."""
    try:
        await accept_message(ports, kicks, tags, message)
    except COME_AGAIN:
        raise
    except Exception as error:  # noqa: BLE001  it crashed at every delivery, and is let go here
        report(ports, "take in a dead letter", f"messages/{message.id}", error)
        path = f"rejected/{message.id}"
        await attempt(ports, "reject a dead letter", path, give_up(ports, message, reason_of(error)))
    ports.signals.emit(
        events.ESCALATION, what="a request message kept crashing intake", request_id=None, runbook=RUNBOOK
    )


async def _after_render(ports: Ports, kicks: Kicks, evidence: Evidence, message: Message) -> None:
    release = ReleaseMessage.parse(message.data)
    request = await ports.store.get(request_record.path(release.request_id))
    if _is_stale(request, release):
        # The pump took this release back and granted another, perhaps many while no instance was free: nothing crashed.
        return
    trace_ids = {"trace_id": request_in(request).record.trace_id} if _is_readable(request) else {}
    try:
        await _once_more(ports, kicks, evidence, message, request)
    except (*COME_AGAIN, BadMessage):
        raise
    except Exception as error:  # noqa: BLE001  as above
        report(ports, "render a dead letter", request_record.path(release.request_id), error)
        await attempt(ports, "end a request", request_record.path(release.request_id), _end(ports, release.request_id))
    ports.signals.emit(
        events.ESCALATION, what="a release kept crashing render", request_id=release.request_id, runbook=RUNBOOK,
        **trace_ids,
    )  # fmt: skip


async def _after_collect(ports: Ports, message: Message) -> None:
    """The net publishes another arrival while its request waits, so one arrival ends nothing. If they all crash, the
    attempt is given up."""
    match parse_arrival(message.data):
        case Arrival(interaction_id, request_id) if request_id:
            document = await ports.store.get(request_record.path(request_id))
            if _is_readable(document) and _is_waiting(request := request_in(document), interaction_id):
                await _count_arrival(ports, request)
        case Arrival() | BatchArrival():
            request_id = ""
    ports.signals.emit(
        events.ESCALATION, what="an arrival kept crashing collect", request_id=request_id or None, runbook=RUNBOOK
    )


def _is_readable(document: Document | Absent) -> TypeGuard[Document]:
    return isinstance(document, Document) and document.is_readable


def _is_waiting(request: Request, interaction_id: str) -> bool:
    return request.record.is_awaiting and request.record.interaction_id == interaction_id


async def _count_arrival(ports: Ports, request: Request) -> None:
    if not await _count(ports, request):
        return
    number = request.record.attempt_count
    opened = await ports.store.get(request_record.attempt_path(request.id, number))
    if isinstance(opened, Document):
        ending = Failure(FailureKind.CRASHED, "The worker kept crashing on what the interaction came to.")
        await settle(ports, request, attempt_in(opened), ending, 0)


async def _count(ports: Ports, request: Request) -> bool:
    """Count one more dead letter; returns whether they are too many."""
    count = request.record.dead_letters + 1
    if count >= MOST_DEAD_LETTERS:
        return True
    # A conflict: another process changed it, so it is no dead letter any more, or the next one counts.
    await ports.store.commit(update(request, replace(request.record, dead_letters=count)))
    return False


def _is_stale(document: Document | Absent, release: ReleaseMessage) -> bool:
    """Whether a newer release of the request is under way: then this one means nothing."""
    if not _is_readable(document):
        return False
    record = request_in(document).record
    return record.status == "released" and record.release != release.number


async def _after_deliver(ports: Ports, room: DeliveryRoom, message: Message) -> None:
    """The result itself is announced and stays; only its webhook is missing, and `webhook replay` sends it."""
    try:
        await deliver(ports, room, message)
        return
    except (*COME_AGAIN, BadMessage):
        raise
    except Exception as error:  # noqa: BLE001  as above
        report(ports, "send a webhook", f"messages/{message.id}", error)
    ports.signals.emit(events.ESCALATION, what="a result kept crashing its webhook", request_id=None, runbook=RUNBOOK)


async def _once_more(
    ports: Ports, kicks: Kicks, evidence: Evidence, message: Message, document: Document | Absent
) -> None:
    request = request_in(document) if isinstance(document, Document) else None
    if request is None or request.record.status != "released":
        await render(ports, kicks, evidence, message)
    elif await _count(ports, request):
        await _end(ports, request.id)
    else:
        await kicks.kick()  # the pump takes it back to the front: unclaimed since its slot


async def _end(ports: Ports, request_id: str) -> None:
    """As failed and unpaid, if no call can be under way."""
    while True:
        document = await ports.store.get(request_record.path(request_id))
        if isinstance(document, Absent):
            return
        request = request_in(document)
        if request.record.is_final or request.record.has_begun:
            return
        after = transitions.finished(request.record, "failed", KEPT_CRASHING, request.read_at)
        given_back = budget.refund(request.record.tenant, request.id, request.record.budget)
        write = update(request, after)
        answer = await ports.store.commit(write, *given_back)
        if isinstance(answer, Committed):
            await ended(ports, committed(request, after, write, answer), was=request.record.status)
            return
