"""The waterfall of one request, in the terminal and as a page that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from shared.core.observability.display import duration
from shared.core.observability.trace_tree import Branch, SpanView, tree
from shared.core.observability.waterfall import waterfall

BAR = 40
LEAST_BAR = 8
BESIDE_THE_BAR = 64
"""Columns that names, times and remarks need at least."""
FULL, SPOT = "━", "╸"
STYLE = """
:root { color-scheme: light dark; --line: light-dark(#ddd, #444); --bar: light-dark(#2a6fb0, #6db1f0);
  --bad: light-dark(#b3261e, #ff8a80) }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
td { border-top: 1px solid var(--line); padding: .2rem .6rem .2rem 0; vertical-align: top }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
td.bar { width: 40%; min-width: 8rem }
td.bar div { background: var(--bar); height: .8rem; margin-top: .35rem; min-width: 2px; border-radius: 2px }
tr.failed td.bar div { background: var(--bad) } tr.failed td.name { color: var(--bad) }
"""


def sheet(request_id: str, trace_id: str, spans: Sequence[SpanView]) -> RenderableType:
    """One line a span: where it lies in the whole, when it began, how long it took, how it ended."""
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


def bar(span: SpanView, began: datetime, whole: timedelta, width: int) -> str:
    """Its part of the whole, at least a spot."""
    total = whole.total_seconds() or 1.0
    start = (span.started_at - began).total_seconds() / total * width
    end = (span.ended_at - began).total_seconds() / total * width
    first = min(int(start), width - 1)
    length = round(end) - first
    return " " * first + (FULL * length if length > 0 else SPOT)


def page(request_id: str, trace_id: str, spans: Sequence[SpanView]) -> str:
    drawn = waterfall(spans)
    rows = [
        f"<tr{' class=failed' if bar.span.failed else ''}>"
        f'<td class="name" style="padding-left:{bar.depth * 1.2}rem">{escape(bar.span.name)}</td>'
        f'<td class="bar"><div style="margin-left:{bar.left:.3f}%;width:{bar.width:.3f}%"></div></td>'
        f'<td class="number">{bar.after}</td>'
        f'<td class="number">{bar.took}</td>'
        f"<td>{escape(bar.span.remark)}</td></tr>"
        for bar in drawn.bars
    ]
    name = escape(request_id)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style><h1>{name}</h1><p>trace {escape(trace_id)}, {duration(drawn.whole)}</p>"
        f"<table>{''.join(rows)}</table></html>\n"
    )
