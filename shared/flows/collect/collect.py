"""An arrival: an interaction, or a batch, has ended, or may have. It is looked at, and its result is settled.

Settlements may come from any process, twice and late: closing the attempt's document books its cost exactly once.
"""

from __future__ import annotations

from datetime import timedelta

from shared.core.lifecycle import queries, request_record, transitions
from shared.core.lifecycle.settlement import Effect, is_given_up
from shared.core.messages.pubsub_messages import Arrival, BatchArrival, parse_arrival
from shared.core.observability import events
from shared.core.records.versioned import Request, attempt_in, request_in, update
from shared.core.values.documents import Absent, Committed, Document
from shared.flows.batch.poll import wake_batch
from shared.flows.collect.look import Call, Collector
from shared.flows.requests.message import Message
from shared.flows.requests.result_events import announce
from shared.flows.wakeups import Kicks
from shared.ports import Ports

FIND_AGAIN = (0.2, 0.5, 1.0)
"""Seconds. A webhook may arrive before the id that it names is on record: the start's own commit is under way."""


async def collect(ports: Ports, kicks: Kicks, collector: Collector, message: Message) -> None:
    """Raises StoreUnavailable, TopicsUnavailable, ImagesUnavailable or BadMessage; else it may be acknowledged."""
    match parse_arrival(message.data):
        case BatchArrival(name):
            await wake_batch(ports, name)
        case Arrival() as arrival:
            effect = await _collect_one(ports, collector, arrival, message)
            await kicks.after_render(effect, has_news=collector.take_news())


async def _collect_one(ports: Ports, collector: Collector, arrival: Arrival, message: Message) -> Effect:
    request, attempt = await _find(ports, arrival)
    if request is None:
        ports.signals.emit(events.ARRIVAL_UNKNOWN, interaction_id=arrival.interaction_id, message_id=message.id)
        return "settled before"  # the net finds what is on record; the rest is not ours
    if request.record.interaction_id == arrival.interaction_id:
        if request.record.is_awaiting:
            call = Call(request, request.record.attempt_count, arrival.interaction_id)
            return await collector.collect(call, message, attempt if call.attempt == arrival.attempt else None)
    elif arrival.attempt:
        return await _collect_late(ports, collector, request, attempt, arrival, message)
    if request.record.announce == "pending":
        await announce(ports, request)
    return "settled before"


async def _find(ports: Ports, arrival: Arrival) -> tuple[Request | None, Document | None]:
    """The request that the arrival is about, and the attempt's document, both in one read where the arrival names
    them.
    """
    if arrival.request_id:
        paths = [request_record.path(arrival.request_id)]
        if arrival.attempt:
            paths.append(request_record.attempt_path(arrival.request_id, arrival.attempt))
        document, *others = await ports.store.get_all(paths)
        attempt = others[0] if others and isinstance(others[0], Document) else None
        return (None if isinstance(document, Absent) else request_in(document)), attempt
    for pause in (0.0, *FIND_AGAIN):
        await ports.clock.sleep(pause)
        requests = await ports.store.query(queries.of_interaction(arrival.interaction_id))
        if requests:
            return request_in(requests[0]), None
    return None, None


async def _collect_late(
    ports: Ports,
    collector: Collector,
    request: Request,
    document: Document | None,
    arrival: Arrival,
    message: Message,
) -> Effect:
    """An interaction whose id is not on the request: its worker died before recording it, or the attempt was given
    up."""
    if document is None:
        return "settled before"
    attempt = attempt_in(document)
    is_open = attempt.record.outcome is None
    if not is_open and not is_given_up(attempt.record):
        return "settled before"
    is_current = request.record.status == "rendering" and request.record.attempt_count == arrival.attempt
    if is_open and is_current and request.record.interaction_id is not None:
        return "settled before"  # another one is waited for: the same attempt has no two
    effect = await collector.collect(Call(request, arrival.attempt, arrival.interaction_id, is_late=True), message)
    if effect == "awaiting" and is_open and is_current:
        await _adopt(ports, request, arrival)
    elif effect == "awaiting":
        now = request.read_at
        after = transitions.with_leftover(request.record, arrival.interaction_id, arrival.attempt, now + ADOPTED)
        await ports.store.commit(update(request, after))
    return effect


async def _adopt(ports: Ports, request: Request, arrival: Arrival) -> None:
    """Record the id that was lost with its worker: this look brought nothing, and the webhook is not sent again."""
    newest = request
    while newest.record.is_unnamed(arrival.attempt):
        after = transitions.awaiting(newest.record, arrival.interaction_id, newest.read_at, newest.read_at)
        if isinstance(await ports.store.commit(update(newest, after)), Committed):
            return
        document = await ports.store.get(request.path)
        if not isinstance(document, Document):
            return
        newest = request_in(document)


ADOPTED = timedelta(seconds=10)
"""Until the next look at an interaction that was found late and still runs."""
