"""The waterfall of one request in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from shared.core.trace_tree import Branch, Seen, tree
from shared.core.words import duration

BAR = 40
LEAST_BAR = 8
BESIDE_THE_BAR = 64
"""Columns that names, times and remarks need at least."""
FULL, SPOT = "━", "╸"


def sheet(request_id: str, trace_id: str, spans: Sequence[Seen]) -> RenderableType:
    """One line a span: where it lies in the whole, when it began, how long it took, what came of it."""
    branches = tree(spans)
    began = min(span.started_at for span in spans)
    whole = max(span.ended_at for span in spans) - began
    head = Text.assemble((request_id, "bold"), f"  trace {trace_id}  {duration(whole)}")
    return Group(head, Text(), _Waterfall(branches, began, whole))


class _Waterfall:
    """The bars take what the terminal leaves them."""

    def __init__(self, branches: Sequence[Branch], began: datetime, whole: timedelta) -> None:
        self._branches = branches
        self._began = began
        self._whole = whole

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(LEAST_BAR, min(BAR, options.max_width - BESIDE_THE_BAR))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_column(no_wrap=True, width=width)
        grid.add_column(no_wrap=True, justify="right")
        grid.add_column(no_wrap=True, justify="right")
        grid.add_column(no_wrap=True, overflow="ellipsis", style="dim")
        for branch in self._branches:
            span = branch.span
            took = f"{duration(span.duration)} …" if span.open else duration(span.duration)
            style = "red" if span.failed else ""
            grid.add_row(
                Text("  " * branch.depth + span.name, style),
                Text(bar(span, self._began, self._whole, width), style or "cyan"),
                f"+{duration(span.started_at - self._began)}",
                took,
                span.remark,
            )
        yield grid


def bar(span: Seen, began: datetime, whole: timedelta, width: int) -> str:
    """Its part of the whole, at least a spot."""
    total = whole.total_seconds() or 1.0
    start = (span.started_at - began).total_seconds() / total * width
    end = (span.ended_at - began).total_seconds() / total * width
    first = min(int(start), width - 1)
    length = round(end) - first
    return " " * first + (FULL * length if length > 0 else SPOT)
