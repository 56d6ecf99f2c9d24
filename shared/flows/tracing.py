"""Writes the spans of a request: each when its stage ends, by the process that ended it."""

from __future__ import annotations

from datetime import datetime

from shared.core.observability.spans import Attribute, Span, Stage
from shared.core.records.request import RequestRecord
from shared.core.values.trace_context import Place
from shared.ports import Ports


def root_of(request: RequestRecord) -> Place:
    """The position of a request's root span; every other span of it lies below."""
    place = Place.parse(request.traceparent)
    assert place is not None, "intake wrote it"
    return place


def attempt_of(request: RequestRecord, number: int) -> Place:
    """The same for every process that may settle the attempt."""
    return root_of(request).named(f"attempt {number}")


def release_of(root: Place, number: int) -> Place:
    return root.named(f"release {number}")


def begun(ports: Ports) -> Place:
    """The root of a new trace."""
    digits = ports.fresh(48)
    return Place.fresh(digits, sampled=ports.signals.samples(digits[:32], None))


def going_on(ports: Ports, caller: Place) -> Place:
    """A new span in the caller's trace. Whether it is kept is our decision, not the caller's flag's."""
    return Place(caller.trace_id, ports.fresh(16), ports.signals.samples(caller.trace_id, caller))


def below(ports: Ports, parent: Place) -> Place:
    """A new span of the same trace."""
    return parent.beside(ports.fresh(16))


def write(
    ports: Ports,
    stage: Stage,
    place: Place,
    parent: Place | None,
    started_at: datetime,
    ended_at: datetime,
    *,
    links: tuple[Place, ...] = (),
    failed: str | None = None,
    **fields: Attribute | None,
) -> None:
    """The clocks of two processes may differ: a span never ends before it starts."""
    parent_id = None if parent is None else parent.span_id
    ended_at = max(started_at, ended_at)
    ports.signals.span(Span(stage, place, parent_id, started_at, ended_at, fields, links, failed))
