"""The waterfall of one request as a page that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from shared.core.trace_tree import Seen
from shared.core.waterfall import waterfall
from shared.core.words import duration

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


def page(request_id: str, trace_id: str, spans: Sequence[Seen]) -> str:
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
