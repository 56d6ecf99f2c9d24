"""The start of a background call: once the provider has accepted it, its id is recorded and the worker is free.

From that commit on any worker can finish the attempt. Only a crash within the one round trip before it is ambiguous.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.core.lifecycle import awaiting, transitions
from shared.core.lifecycle.settlement import Effect
from shared.core.messages.pubsub_messages import Arrival
from shared.core.messages.topics import RENDER_ARRIVALS
from shared.core.observability import events, spans
from shared.core.provider.call import Order
from shared.core.provider.interaction import Started
from shared.core.records.versioned import Attempt, Request, request_in, update
from shared.core.values.documents import Committed, Document
from shared.flows import tracing
from shared.ports import Ports
from shared.ports.store import StoreUnavailable

TRIES = 40
"""Tries to record an id, over about a minute: the call is paid for, and only this process knows its id."""
LONGEST_PAUSE = 2.0


async def put_on_record(
    ports: Ports, request: Request, attempt: Attempt, started: Started, order: Order, began_at: datetime
) -> Effect:
    """Record the id in one commit. Raises StoreUnavailable if the store stays unavailable."""
    usual_ms = request.record.usual_ms
    usual = None if usual_ms is None else timedelta(milliseconds=usual_ms)
    number = attempt.record.number
    tries = 0
    while True:
        now = max(ports.clock.now(), request.read_at)
        is_current = request.record.status == "rendering" and request.record.attempt_count == number
        if is_current:
            due_at = awaiting.first_look(began_at, usual, has_webhooks=ports.has_webhooks)
            after = transitions.awaiting(request.record, started.interaction_id, due_at, now)
        else:  # its lease had lapsed, and it was given up: its result is found with the leftovers
            after = transitions.with_leftover(request.record, started.interaction_id, number, now)
        tries += 1
        try:
            if isinstance(await ports.store.commit(update(request, after)), Committed):
                break
            newer = await ports.store.get(request.path)
        except StoreUnavailable:
            if tries >= TRIES:
                raise
            await ports.clock.sleep(min(0.1 * 2.0**tries, LONGEST_PAUSE))
            continue
        assert isinstance(newer, Document), "requests are never deleted within their time"
        request = request_in(newer)
    _tell(ports, request, attempt, started, order, began_at)
    if not is_current:
        return "booked"
    if request.record.cancel_requested_at is not None:  # it came while the call was on its way
        await publish(ports, started.interaction_id, request.id, number)
    return "awaiting"


async def publish(ports: Ports, interaction_id: str, request_id: str, attempt: int) -> None:
    """Have the interaction looked at. Raises TopicsUnavailable."""
    await ports.topics.publish(RENDER_ARRIVALS, Arrival(interaction_id, request_id, attempt).to_bytes())


def _tell(ports: Ports, request: Request, attempt: Attempt, started: Started, order: Order, began_at: datetime) -> None:
    number, way = attempt.record.number, request.record.way
    parent = tracing.attempt_of(request.record, number)
    tracing.write(
        ports, spans.START, tracing.below(ports, parent), parent, began_at, ports.clock.now(), request_id=request.id,
        attempt=number, interaction_id=started.interaction_id, way=way, lane=order.lane, image_size=order.image_size,
    )  # fmt: skip
    ports.signals.emit(
        events.INTERACTION_STARTED, request_id=request.id, attempt=number,
        route=str(request.record.route), interaction_id=started.interaction_id, way=way,
        trace_id=request.record.trace_id,
    )  # fmt: skip
