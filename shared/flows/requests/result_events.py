"""Telling the world how a request ended: at least once, however often a process dies in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from shared.core.messages.pubsub_messages import result_event
from shared.core.messages.topics import RENDER_RESULTS
from shared.core.observability import events, spans
from shared.core.values.documents import Document, Fields, Update
from shared.core.values.route import Route
from shared.flows import tracing, tracing_waits
from shared.ports import Ports

Tidy: TypeAlias = Callable[[Document], Awaitable[Fields]]
"""What is tidied up once a result is out, and what it changes on the request: written with the announcement."""


async def ended(ports: Ports, request: Document, was: str = "", tidy: Tidy | None = None) -> None:
    """Called once, by whoever won the final commit: close the trace, then announce. `was` is the status before."""
    data = request.data
    if was == "queued":
        tracing_waits.queue_left(ports, request.id, data, data["finished_at"], data["status"])
    root, succeeded = tracing.root_of(data), data["status"] == "succeeded"
    again = data["round"] > 1  # the first round's end is written: a later one is a part of it
    place = root.named(f"round {data['round']}") if again else root
    caller = root.beside(data["caller_span_id"]) if data["caller_span_id"] else None
    tracing.write(
        ports, spans.REQUEST, place, root if again else caller,
        data["created_at"] if again else data["published_at"], data["finished_at"],
        failed=None if succeeded else data["outcome"]["code"], request_id=request.id, tenant=data["tenant"],
        priority=data["priority"], status=data["status"], outcome=data["outcome"]["code"],
        route=str(Route.from_json(data["route"])), flags=tuple(data["flags"]), reasons=tuple(data["route_reasons"]),
        attempt_count=data["attempt_count"], round=data["round"], cost_micros=data["cost_micros"],
        cost_basis=data["cost_basis"],
    )  # fmt: skip
    ports.signals.emit(
        events.FINISHED,
        request_id=request.id,
        status=data["status"],
        outcome=data["outcome"]["code"],
        cost_micros=data["cost_micros"],
        trace_id=data["trace_id"],
    )
    await announce(ports, request, tidy)


async def announce(ports: Ports, request: Document, tidy: Tidy | None = None) -> None:
    """Publish the result of a finished request, then clear its mark; a mark left standing is seen to by watch."""
    event = result_event(request.id, request.data)
    root, began_at = tracing.root_of(request.data), ports.clock.now()
    place = tracing.below(ports, root)
    message_id = await ports.topics.publish(
        RENDER_RESULTS, event.data, {**event.attributes, "traceparent": place.traceparent}
    )
    tracing.write(
        ports, spans.RESULT, place, root, began_at, ports.clock.now(), topic=RENDER_RESULTS, message_id=message_id,
        request_id=request.id, status=request.data["status"],
    )  # fmt: skip
    if request.data["announce"] == "pending":
        # A conflict means that somebody else changed it meanwhile: the mark stays, and one more announcement follows.
        changes = {} if tidy is None else await tidy(request)
        await ports.store.commit(Update(request.path, {"announce": None, **changes}, request.version))
