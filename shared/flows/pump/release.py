"""Handing slots to workers, and taking back those that no worker took."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shared.core.accounting import budget
from shared.core.accounting.budget import Reservation
from shared.core.admission.allocation import Grant
from shared.core.admission.tick import LostSlot
from shared.core.lifecycle import head_changes, queries, request_record, transitions
from shared.core.lifecycle.request_record import Head
from shared.core.messages.pubsub_messages import ReleaseMessage
from shared.core.messages.topics import RENDER_RELEASES
from shared.core.observability import events, spans
from shared.core.records.versioned import committed, request_in, update
from shared.core.values.documents import Conflict, Document, Update
from shared.core.values.trace_context import Place
from shared.flows import tracing, tracing_waits
from shared.flows.background.ways import FOREGROUND, Chosen
from shared.flows.clock import ServerTime
from shared.flows.requests.item_by_item import attempt
from shared.ports import Ports
from shared.ports.messaging import TopicsUnavailable
from shared.ports.store import StoreUnavailable

UNCLAIMED_AFTER = timedelta(seconds=10)
PAGE = 100


class OnRecord(Struct, frozen=True):
    """The request carries the release and its reservation. If publishing failed, it is taken back as unclaimed."""


class RequestChanged(Struct, frozen=True):
    """The request changed meanwhile: nothing was handed out."""

    slot: LostSlot


class Unconfirmed(Struct, frozen=True):
    """The store did not confirm whether the release is on record: the next look at its request finds out."""


ReleaseResult: TypeAlias = OnRecord | RequestChanged | Unconfirmed


class Turn(Struct, frozen=True):
    """The granting tick, as its requests' traces show it."""

    place: Place
    began_at: datetime
    time: ServerTime


async def release(
    ports: Ports, grant: Grant, turn: Turn, reservation: Reservation | None = None, chosen: Chosen = FOREGROUND
) -> ReleaseResult:
    """Each on its own: one cancelled request must not waste a tick."""
    head, planned = grant.candidate.head, grant.candidate.planned
    decided_at = turn.time.now()
    changes = head_changes.released(
        head, planned, grant.slot_at, grant.slot_until, decided_at, reservation, chosen.way, chosen.usual_ms
    )
    try:
        committed = await ports.store.commit(Update(request_record.path(head.request_id), changes, head.version))
    except StoreUnavailable as error:
        _escalate(ports, head, error)
        return Unconfirmed()
    if isinstance(committed, Conflict):
        return RequestChanged(LostSlot.of(grant.candidate, grant.slot_at))
    try:
        message = ReleaseMessage(head.request_id, head.release + 1).to_bytes()
        await ports.topics.publish(RENDER_RELEASES, message, {"traceparent": head.traceparent})
    except TopicsUnavailable as error:
        _escalate(ports, head, error)
        return OnRecord()
    ports.signals.emit(
        events.RELEASED,
        request_id=head.request_id,
        release=head.release + 1,
        route=str(planned.route),
        slot_at=grant.slot_at,
        trace_id=head.trace_id,
    )
    _trace(ports, grant, turn, decided_at)
    return OnRecord()


def _escalate(ports: Ports, head: Head, error: Exception) -> None:
    ports.signals.emit(
        events.ESCALATION, what=f"a release could not be handed out: {error}", request_id=head.request_id,
        runbook="release-not-handed-out", trace_id=head.trace_id,
    )  # fmt: skip


def _trace(ports: Ports, grant: Grant, turn: Turn, decided_at: datetime) -> None:
    """The wait that this ended, the tick's share in the request, and the handing out."""
    head, planned, slot_at = grant.candidate.head, grant.candidate.planned, grant.slot_at.isoformat()
    root = Place.parse(head.traceparent)
    assert root is not None, "intake wrote it"
    assert head.queued_at is not None
    seen_at, now, pump = max(turn.began_at, head.queued_at), turn.time.now(), tracing.below(ports, root)
    tracing_waits.queue_ended(ports, head, seen_at, turn.place)
    tracing.write(
        ports, spans.PUMP, pump, root, seen_at, now, links=(turn.place,), request_id=head.request_id,
        route=str(planned.route), flags=tuple(planned.flags), reasons=tuple(planned.reasons), slot_at=slot_at,
        estimate_micros=planned.estimate_micros, probe=planned.probe,
    )  # fmt: skip
    tracing.write(
        ports, spans.RELEASE, tracing.release_of(root, head.release + 1), pump, decided_at, now, topic=RENDER_RELEASES,
        request_id=head.request_id, release=head.release + 1, slot_at=slot_at,
    )  # fmt: skip


async def take_back_unclaimed(ports: Ports, time: ServerTime) -> list[Head]:
    """Releases whose delivery was lost: back to the front, their slots given back."""
    now = time.now()
    taken: list[Head] = []
    for request in await ports.store.query(queries.unclaimed(now - UNCLAIMED_AFTER, PAGE)):
        head = await attempt(ports, "take back a release", request.path, _take_back(ports, request, now))
        if head is not None:
            taken.append(head)
    return taken


async def _take_back(ports: Ports, document: Document, now: datetime) -> Head | None:
    """None if another process had it."""
    request = request_in(document)
    reason = "its release was not taken up"
    after = replace(
        transitions.return_to_queue(request.record, reason, now), unclaimed_count=request.record.unclaimed_count + 1
    )
    given_back = budget.refund(request.record.tenant, request.id, request.record.budget)
    write = update(request, after)
    answer = await ports.store.commit(write, *given_back)
    if isinstance(answer, Conflict):
        return None
    ports.signals.emit(events.REQUEUED, request_id=request.id, reason=reason, trace_id=request.record.trace_id)
    tracing_waits.slot_ended(ports, request, now, lost="not_taken_up")
    taken = committed(request, after, write, answer)
    return Head.of_record(taken.id, taken.version, taken.record)
