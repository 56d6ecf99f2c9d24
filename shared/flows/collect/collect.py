"""An arrival: an interaction, or a batch, has ended, or may have. It is looked at, and what it came to is settled.

A settlement may come from anybody, twice and late: closing the attempt's document books its cost exactly once.
"""

from __future__ import annotations

from datetime import timedelta

from shared.core.lifecycle import queries, request_record
from shared.core.lifecycle.settlement import Effect, is_given_up
from shared.core.messages.pubsub_messages import Arrival, BatchArrival, parse_arrival
from shared.core.observability import events
from shared.core.values.documents import Absent, Committed, Document, Update
from shared.flows.batch.poll import wake_batch
from shared.flows.collect.look import Call, Collector
from shared.flows.requests.message import Message
from shared.flows.requests.result_events import announce
from shared.flows.wakeups import Kicks
from shared.ports import Ports

FIND_AGAIN = (0.2, 0.5, 1.0)
"""Seconds. A webhook may come before the id that it names is on record: the start's own commit is on its way."""


async def collect(ports: Ports, kicks: Kicks, collector: Collector, message: Message) -> None:
    """Raises StoreUnavailable, TopicsUnavailable, ImagesUnavailable or BadMessage; else it may be acknowledged."""
    match parse_arrival(message.data):
        case BatchArrival(name):
            await wake_batch(ports, name)
        case Arrival() as arrival:
            await kicks.after_render(await _collect_one(ports, collector, arrival, message))


async def _collect_one(ports: Ports, collector: Collector, arrival: Arrival, message: Message) -> Effect:
    request = await _find(ports, arrival)
    if request is None:
        ports.signals.emit(events.ARRIVAL_UNKNOWN, interaction_id=arrival.interaction_id, message_id=message.id)
        return "settled before"  # the net finds what is on record; nothing else is ours
    if request.data.get("interaction_id") == arrival.interaction_id:
        if request_record.is_awaiting(request.data):
            call = Call(request, request.data["attempt_count"], arrival.interaction_id)
            return await collector.collect(call, message)
    elif arrival.attempt:
        return await _collect_late(ports, collector, request, arrival, message)
    if request.data["announce"] == "pending":
        await announce(ports, request)
    return "settled before"


async def _find(ports: Ports, arrival: Arrival) -> Document | None:
    """The request that the arrival is about."""
    if arrival.request_id:
        request = await ports.store.get(request_record.path(arrival.request_id))
        return None if isinstance(request, Absent) else request
    for pause in (0.0, *FIND_AGAIN):
        await ports.clock.sleep(pause)
        requests = await ports.store.query(queries.of_interaction(arrival.interaction_id))
        if requests:
            return requests[0]
    return None


async def _collect_late(
    ports: Ports, collector: Collector, request: Document, arrival: Arrival, message: Message
) -> Effect:
    """An interaction whose id is not on the request: its worker died before it was, or the attempt was given up."""
    attempt = await ports.store.get(request_record.attempt_path(request.id, arrival.attempt))
    if isinstance(attempt, Absent):
        return "settled before"
    is_open = attempt.data["outcome"] is None
    if not is_open and not is_given_up(attempt.data):
        return "settled before"
    is_current = request.data["status"] == "rendering" and request.data["attempt_count"] == arrival.attempt
    if is_open and is_current and request.data.get("interaction_id") is not None:
        return "settled before"  # another one is waited for: the same attempt has no two
    effect = await collector.collect(Call(request, arrival.attempt, arrival.interaction_id, is_late=True), message)
    if effect == "awaiting" and is_open and is_current:
        await _adopt(ports, request, arrival)
    elif effect == "awaiting":
        now = request.read_at
        changes = request_record.with_leftover(request.data, arrival.interaction_id, arrival.attempt, now + ADOPTED)
        await ports.store.commit(Update(request.path, changes, request.version))
    return effect


async def _adopt(ports: Ports, request: Document, arrival: Arrival) -> None:
    """The id that died with its worker goes on record: this look brought nothing, and the webhook comes no more."""
    newest: Document | Absent = request
    while isinstance(newest, Document) and request_record.is_unnamed(newest.data, arrival.attempt):
        changes = request_record.awaiting(arrival.interaction_id, newest.read_at, newest.read_at)
        if isinstance(await ports.store.commit(Update(newest.path, changes, newest.version)), Committed):
            return
        newest = await ports.store.get(request.path)


ADOPTED = timedelta(seconds=10)
"""Until somebody looks at an interaction that was found late and goes on."""
