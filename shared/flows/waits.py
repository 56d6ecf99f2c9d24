"""The two waits of a request as spans, each written by whoever ends it, with its start as the document has it."""

from __future__ import annotations

from datetime import datetime

from shared.core import spans
from shared.core.documents import Document, Fields
from shared.core.record import Head
from shared.core.trace import Place
from shared.flows import traced
from shared.ports import Ports


def queue_left(ports: Ports, request_id: str, request: Fields, at: datetime, ended_by: str) -> None:
    """A wait in the queue that no slot ended."""
    root = traced.root_of(request)
    traced.write(
        ports, spans.QUEUE_WAIT, traced.below(ports, root), root, request["queued_at"], at, request_id=request_id,
        priority=request["priority"], model=request["model"], round=request["round"], ended_by=ended_by,
    )  # fmt: skip


def queue_ended(ports: Ports, head: Head, root: Place, tick: Place, at: datetime) -> None:
    """A wait that a slot of this tick ended."""
    assert head.queued_at is not None
    traced.write(
        ports, spans.QUEUE_WAIT, traced.below(ports, root), root, head.queued_at, at, links=(tick,),
        request_id=head.request_id, priority=head.priority, model=head.model, round=head.round, ended_by="slot",
    )  # fmt: skip


def slot_ended(ports: Ports, released: Document, at: datetime, lost: str | None = None) -> None:
    """A wait for a slot; `released` as the release left it. `lost` says why nothing started in it."""
    data = released.data
    root = traced.root_of(data)
    traced.write(
        ports, spans.SLOT_WAIT, traced.below(ports, root), root, data["updated_at"], at,
        links=(traced.release_of(root, data["release"]),), failed=lost, request_id=released.id,
        release=data["release"], slot_at=data["slot_at"].isoformat(),
    )  # fmt: skip
