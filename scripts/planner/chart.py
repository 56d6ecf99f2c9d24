"""A plan as a picture: above, how many requests wait; below, how many begin in a minute, against the limit."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib as mpl
from msgspec import Struct

mpl.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from scripts.planner.forecast import Forecast, ForecastBasis
from scripts.planner.limits import numbers
from scripts.planner.results import tightest

INK, GRID = "#1a1a1a", "#e2e2e2"
COLOURS = ("#0b3d91", "#d55e00", "#009e73", "#cc79a7", "#7f7f7f")
LEGEND_LINE = 0.045
"""Of the height."""
POINTS = 600
"""Of a queue's curve."""
STEPS = (60.0, 300.0, 900.0, 3600.0, 21_600.0)
"""Seconds over which starts are averaged: the first of which a chart needs at most 200."""
UNITS = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"))


class PlanPanel(Struct, frozen=True):
    name: str
    played: Forecast


def draw(panels: Sequence[PlanPanel], stage: ForecastBasis, path: str, title: str) -> None:
    """Writes an SVG or a PNG, by the name's ending. One column for each alternative that was rehearsed."""
    lasts = max(item.played.rehearsal.ended_at for item in panels)
    unit, unit_name = next((pair for pair in UNITS if lasts >= 2 * pair[0]), UNITS[-1])
    with mpl.rc_context({"font.size": 10, "svg.hashsalt": "renderlane", "text.color": INK}):
        figure, axes = pyplot.subplots(
            2, len(panels), figsize=(1.6 + 5.4 * len(panels), 6.6), sharex=True, sharey="row", squeeze=False
        )
        for column, panel in enumerate(panels):
            _queue(axes[0][column], panel, unit, lasts)
            _starts(axes[1][column], panel, stage, unit, lasts)
            axes[0][column].set_title(panel.name, loc="left", fontweight="bold")
            axes[1][column].set_xlabel(unit_name)
        axes[0][0].set_ylabel("requests waiting")
        axes[1][0].set_ylabel("starts a minute")
        lines, names = axes[1][0].get_legend_handles_labels()
        figure.legend(lines, names, loc="lower left", ncols=4, fontsize=9, frameon=False)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        figure.tight_layout(rect=(0.0, LEGEND_LINE * math.ceil(len(lines) / 4), 1.0, 1.0))
        figure.savefig(path, dpi=110, facecolor="white", metadata={"Date": None} if path.endswith(".svg") else None)
        pyplot.close(figure)


def _queue(axes: Axes, panel: PlanPanel, unit: float, lasts: float) -> None:
    for number, (model, (published, begun)) in enumerate(_by_model(panel.played).items()):
        times = [lasts * point / POINTS for point in range(POINTS + 1)]
        waiting = [bisect_right(published, at) - bisect_right(begun, at) for at in times]
        axes.plot([at / unit for at in times], waiting, color=COLOURS[number % 5], label=_short(model), linewidth=1.8)
    _dress(axes)


def _starts(axes: Axes, panel: PlanPanel, stage: ForecastBasis, unit: float, lasts: float) -> None:
    step = next((value for value in STEPS if lasts / value <= 200), STEPS[-1])
    edges = [step * number for number in range(math.ceil(lasts / step) + 1)]
    for number, (model, (_, begun)) in enumerate(_by_model(panel.played).items()):
        colour = COLOURS[number % 5]
        counts = [(bisect_right(begun, end) - bisect_right(begun, begin)) * 60 / step for begin, end in pairwise(edges)]
        axes.stairs(counts, [edge / unit for edge in edges], color=colour, label=_short(model), linewidth=1.8)
        tokens = [wanted.planned.input_tokens for wanted in panel.played.wanted if wanted.route.model == model]
        rate = tightest(numbers(stage.limits.get(model, {})), sum(tokens) / len(tokens))
        if rate is not None:
            label = f"{_short(model)} may: {rate[1]:,.0f} ({rate[0]})"
            axes.axhline(rate[1], color=colour, linestyle="--", linewidth=1.1, label=label)
    _dress(axes)
    if step > 60:
        axes.set_title(f"mean of {step / 60:.0f} minutes", loc="right", fontsize=8.5, color="#666666")


def _by_model(played: Forecast) -> Mapping[str, tuple[list[float], list[float]]]:
    """When each model's requests were published, and when they left the queue."""
    times: dict[str, tuple[list[float], list[float]]] = {}
    for request in played.rehearsal.requests:
        published, begun = times.setdefault(request.arrival.model, ([], []))
        published.append(request.arrival.at)
        left = request.began_at if request.began_at is not None else request.ended_at
        begun += [] if left is None else [left]
    for published, begun in times.values():
        published.sort()
        begun.sort()
    return times


def _dress(axes: Axes) -> None:
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _short(model: str) -> str:
    return model.removeprefix("gemini-").removesuffix("-image")
