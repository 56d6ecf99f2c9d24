"""Announcing how a request ended: at least once, however often a process dies in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec.structs import replace

from shared.core.lifecycle.request_view import result_event
from shared.core.messages.topics import RENDER_RESULTS
from shared.core.observability import events, spans
from shared.core.records.request import RequestRecord
from shared.core.records.versioned import Request, update
from shared.flows import tracing, tracing_waits
from shared.ports import Ports

Tidy: TypeAlias = Callable[[Request], Awaitable[RequestRecord]]
"""What is cleaned up once a result is published, and the request after it: written together with the announcement."""


async def ended(ports: Ports, request: Request, was: str = "", tidy: Tidy | None = None) -> None:
    """Called once, after the final commit that won: close the trace, then announce. `was` is the status before."""
    record, finished_at, code = request.record, request.record.finished_at, request.record.outcome_code
    assert finished_at is not None, "it has ended"
    if was == "queued":
        tracing_waits.queue_left(ports, request.id, record, finished_at, record.status)
    root, succeeded = tracing.root_of(record), record.status == "succeeded"
    again = record.round > 1  # the first round's end is written: a later one is a part of it
    place = root.named(f"round {record.round}") if again else root
    caller = root.beside(record.caller_span_id) if record.caller_span_id else None
    tracing.write(
        ports, spans.REQUEST, place, root if again else caller,
        record.created_at if again else record.published_at or record.created_at, finished_at,
        failed=None if succeeded else code, request_id=request.id, tenant=record.tenant,
        priority=record.priority, status=record.status, outcome=code,
        route=str(record.route), flags=record.flags, reasons=record.route_reasons,
        attempt_count=record.attempt_count, round=record.round, cost_micros=record.cost_micros,
        cost_basis=record.cost_basis,
    )  # fmt: skip
    ports.signals.emit(
        events.FINISHED,
        request_id=request.id,
        status=record.status,
        outcome=code,
        cost_micros=record.cost_micros,
        trace_id=record.trace_id,
    )
    await announce(ports, request, tidy)


async def announce(ports: Ports, request: Request, tidy: Tidy | None = None) -> None:
    """Publish the result of a finished request, then clear its mark; watch handles a mark that was left."""
    event = result_event(request.id, request.record)
    root, began_at = tracing.root_of(request.record), ports.clock.now()
    place = tracing.below(ports, root)
    message_id = await ports.topics.publish(
        RENDER_RESULTS, event.data, {**event.attributes, "traceparent": place.traceparent}
    )
    tracing.write(
        ports, spans.RESULT, place, root, began_at, ports.clock.now(), topic=RENDER_RESULTS, message_id=message_id,
        request_id=request.id, status=request.record.status,
    )  # fmt: skip
    if request.record.announce == "pending":
        # A conflict means that another process changed it: the mark stays, and it is announced once more.
        tidied = request.record if tidy is None else await tidy(request)
        await ports.store.commit(update(request, replace(tidied, announce=None)))
