"""A tree of spans as bars: the position of each, as a share of the whole. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct

from shared.core.observability.display import duration
from shared.core.observability.trace_tree import SpanView, tree


class Bar(Struct, frozen=True):
    """One span."""

    depth: int
    span: SpanView
    left: float
    """Per cent of the whole."""
    width: float
    """Per cent of the whole."""
    after: str
    """How long after the start of the whole it began."""
    took: str


class Waterfall(Struct, frozen=True):
    bars: tuple[Bar, ...]
    """Parents before children."""
    whole: timedelta


def waterfall(spans: Sequence[SpanView]) -> Waterfall:
    """At least one span."""
    began = min(span.started_at for span in spans)
    whole = max(span.ended_at for span in spans) - began
    total = whole.total_seconds() or 1.0
    bars = [
        Bar(
            depth=branch.depth,
            span=branch.span,
            left=(branch.span.started_at - began).total_seconds() / total * 100,
            width=branch.span.duration.total_seconds() / total * 100,
            after=f"+{duration(branch.span.started_at - began)}",
            took=duration(branch.span.duration) + (" …" if branch.span.open else ""),
        )
        for branch in tree(spans)
    ]
    return Waterfall(tuple(bars), whole)
