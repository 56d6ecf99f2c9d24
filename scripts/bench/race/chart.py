"""The chart of a race: a panel for each figure that decides, a bar for each entrant. Plain SVG, without a library."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from msgspec import Struct

from scripts.bench.race.entrants import OURS
from scripts.bench.race.report import COLUMNS, Row


class RacePanel(Struct, frozen=True):
    scene: str
    figure: str
    field: str
    """Of the JSON: what the bar is as long as."""
    title: str


PANELS = (
    RacePanel("burst", "makespan", "makespan", "Burst: time to all images"),
    RacePanel("burst", "rejected", "rejected", "Burst: calls rejected with 429"),
    RacePanel("saturation", "goodput", "goodput", "Saturation: images, of the limit (more is better)"),
    RacePanel("outage", "sick_calls", "sick_calls", "Outage: calls to the sick model"),
    RacePanel("outage", "worst", "wait_worst", "Outage: longest wait"),
    RacePanel("interactive", "interactive_p99", "interactive_p99", "Interactive behind bulk: p99 wait"),
    RacePanel("kill", "paid_twice", "paid_twice", "Kill -9: images paid twice"),
    RacePanel("poison", "wasted", "wasted_micros", "Poison: money wasted"),
    RacePanel("halves", "rejected", "rejected", "Limit halves: calls rejected with 429"),
)
COLUMNS_OF_PANELS = 3
WIDTH, PANEL_WIDTH = 1080, 360
BAR, GAP, TITLE, FOOT = 16, 8, 34, 18
NAMES, ROOM = 104, 92
"""Points for an entrant's name left of its bar, and for its figure right of it."""
SHORTEST = 1.5
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1a1a1a }
.title { font-weight: 600 }
.bar { fill: #9aa3ad }
.ours { fill: #0b3d91 }
.none { fill: #b00020; font-style: italic }
@media (prefers-color-scheme: dark) {
text { fill: #e6e6e6 }
.bar { fill: #6b7480 }
.ours { fill: #7aa7ff }
.none { fill: #ff8a80 }
}
"""


def draw(race: Mapping[str, Any]) -> str:
    panels = [panel for panel in PANELS if panel.scene in race["scenes"]]
    height = TITLE + len(race["entrants"]) * (BAR + GAP) + FOOT
    lines = math.ceil(len(panels) / COLUMNS_OF_PANELS)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {lines * height}" role="img"'
        ' aria-label="The race, by scene and entrant">',
        f"<style>{STYLE}</style>",
    ]
    for number, panel in enumerate(panels):
        down, across = divmod(number, COLUMNS_OF_PANELS)
        parts.append(f'<g transform="translate({across * PANEL_WIDTH} {down * height})">')
        parts += [f'<text class="title" x="4" y="20">{escape(panel.title)}</text>', *_bars(race, panel), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bars(race: Mapping[str, Any], panel: RacePanel) -> list[str]:
    rows: Mapping[str, Row] = race["scenes"][panel.scene]["entrants"]
    lengths = {name: row.get(panel.field) for name, row in rows.items()}
    longest = max([length for length in lengths.values() if length is not None], default=0) or 1
    parts = []
    for line, (name, row) in enumerate(rows.items()):
        y = TITLE + line * (BAR + GAP)
        middle = y + BAR - 4
        label = escape(race["entrants"][name]["label"])
        parts.append(f'<text x="4" y="{middle}">{label}</text>')
        length = lengths[name]
        if length is None:
            text = "not measured" if "missing" in row else "never"
            parts.append(f'<text class="none" x="{NAMES + 30}" y="{middle}">{text}</text>')
            continue
        start = NAMES + 30
        width = max(SHORTEST, (PANEL_WIDTH - start - ROOM) * length / longest)
        kind = "bar ours" if name == OURS else "bar"
        text = escape(COLUMNS[panel.figure].text(row).partition(" (")[0])
        parts.append(f'<rect class="{kind}" x="{start}" y="{y}" width="{width:.1f}" height="{BAR}"/>')
        parts.append(f'<text x="{start + width + 6:.1f}" y="{middle}">{text}</text>')
    return parts
