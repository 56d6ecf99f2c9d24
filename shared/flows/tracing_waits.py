"""The two waits of a request as spans, written by the process that ends the wait, with the start from the document."""

from __future__ import annotations

from datetime import datetime

from shared.core.lifecycle.request_record import Head
from shared.core.observability import spans
from shared.core.observability.spans import QueueEnd, SlotLoss
from shared.core.provider.failure import FailureKind
from shared.core.records.request import RequestRecord
from shared.core.records.versioned import Request
from shared.core.values.status import Status
from shared.core.values.trace_context import Place
from shared.flows import tracing
from shared.ports import Ports


def queue_left(ports: Ports, request_id: str, request: RequestRecord, at: datetime, ended_by: Status) -> None:
    """A wait in the queue that did not end with a slot."""
    root = tracing.root_of(request)
    tracing.write(
        ports, spans.QUEUE_WAIT, tracing.below(ports, root), root, request.queued_at, at, request_id=request_id,
        priority=request.priority, model=request.model, round=request.round, ended_by=ended_by,
    )  # fmt: skip


def queue_ended(ports: Ports, head: Head, at: datetime, tick: Place | None = None, ended_by: QueueEnd = "slot") -> None:
    """A wait that the pump ended: by a slot of this tick, or by putting the request aside for a batch."""
    root = Place.parse(head.traceparent)
    assert root is not None, "intake wrote it"
    assert head.queued_at is not None
    tracing.write(
        ports, spans.QUEUE_WAIT, tracing.below(ports, root), root, head.queued_at, at,
        links=() if tick is None else (tick,), request_id=head.request_id, priority=head.priority, model=head.model,
        round=head.round, ended_by=ended_by,
    )  # fmt: skip


def slot_ended(ports: Ports, released: Request, at: datetime, lost: SlotLoss | FailureKind | None = None) -> None:
    """A wait for a slot; `released` as the release left it. `lost` says why nothing started in it."""
    data = released.record
    root = tracing.root_of(data)
    tracing.write(
        ports, spans.SLOT_WAIT, tracing.below(ports, root), root, data.updated_at, at,
        links=(tracing.release_of(root, data.release),), failed=lost, request_id=released.id,
        release=data.release, slot_at=data.slot_start.isoformat(),
    )  # fmt: skip
