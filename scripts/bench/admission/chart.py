"""The figures of `admission` as small multiples: a panel a measure, a line a situation, a mark a strategy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from msgspec import Struct

mpl.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scripts.bench.admission.figures import GoalRow, situation, spoken
from scripts.virtual_time.scenarios import GOODPUT, ScenarioMeasure
from scripts.virtual_time.strategies import LINE_UP, OURS

INK = "#1a1a1a"
GRID = "#d9d9d9"
LINE, TITLE, AXIS = 0.3, 0.42, 0.4
"""Inches: a situation, and the room of a panel for its title above and its axis below."""
WIDTH, LABELS, RIGHT, TOP = 15.0, 2.85, 0.35, 0.85
"""Inches: the figure, the room for the situations' names left of each panel, and the margins."""


class ChartMark(Struct, frozen=True):
    colour: str
    shape: str
    size: float


_COLOURS = ("#d55e00", "#e69f00", "#009e73", "#56b4e9", "#cc79a7", "#7f7f7f")
_SHAPES = ("s", "^", "v", "o", "X", "P")
MARKS: Mapping[str, ChartMark] = {OURS: ChartMark("#0b3d91", "D", 9.0)} | {
    name: ChartMark(_COLOURS[number % 6], _SHAPES[number % 6], 7.0)
    for number, name in enumerate(word for word in LINE_UP if word != OURS)
}


def draw(rows_by_measure: Mapping[ScenarioMeasure, Sequence[GoalRow]], path: str) -> None:
    """Writes an SVG or a PNG, by the name's ending."""
    columns = _two_columns(rows_by_measure)
    height = TOP + max(sum(_height(rows) for _, rows in column) for column in columns)
    figure = pyplot.figure(figsize=(WIDTH, height))
    for number, column in enumerate(columns):
        left, top = number * WIDTH / 2 + LABELS, height - TOP
        for measure, rows in column:
            top -= _height(rows)
            box = (left, top + AXIS, WIDTH / 2 - LABELS - RIGHT, LINE * len(rows))
            axes = figure.add_axes((box[0] / WIDTH, box[1] / height, box[2] / WIDTH, box[3] / height))
            _panel(axes, measure, rows)
    _legend(figure, height)
    figure.savefig(path, dpi=110, facecolor="white", metadata={"Date": None} if path.endswith(".svg") else None)
    pyplot.close(figure)


def _two_columns(
    rows_by_measure: Mapping[ScenarioMeasure, Sequence[GoalRow]],
) -> list[list[tuple[ScenarioMeasure, Sequence[GoalRow]]]]:
    """In reading order, the second column beginning where the first is half of all."""
    half = sum(_height(rows) for rows in rows_by_measure.values()) / 2
    columns: list[list[tuple[ScenarioMeasure, Sequence[GoalRow]]]] = [[], []]
    so_far = 0.0
    for measure, rows in rows_by_measure.items():
        columns[0 if so_far + _height(rows) / 2 <= half else 1].append((measure, rows))
        so_far += _height(rows)
    return columns


def _height(rows: Sequence[GoalRow]) -> float:
    return LINE * len(rows) + TITLE + AXIS


def _panel(axes: Axes, measure: ScenarioMeasure, rows: Sequence[GoalRow]) -> None:
    axes.set_title(f"{measure.name} ({measure.unit})", loc="left", fontsize=10.5, color=INK, fontweight="bold")
    figures = [figure for row in rows for figure in _worst(row).values() if math.isfinite(figure)]
    most = max([*figures, *(row.goal.bound for row in rows), 0.1])
    never = _scale(axes, measure, most, any(math.isinf(figure) for row in rows for figure in _worst(row).values()))
    for line, row in enumerate(rows):
        axes.plot([row.goal.bound] * 2, [line - 0.42, line + 0.42], color=INK, linewidth=2.2, zorder=2)
        for name, figure in reversed(_worst(row).items()):
            mark = MARKS[name]
            face = "none" if name in row.abandons else mark.colour
            axes.plot(
                min(figure, never), line, marker=mark.shape, markersize=mark.size, markerfacecolor=face,
                markeredgecolor=mark.colour, markeredgewidth=1.5, linestyle="none", clip_on=False, zorder=3,
            )  # fmt: skip
    axes.set_yticks(range(len(rows)), [situation(row) for row in rows], fontsize=9, color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="both", length=0, pad=8, labelsize=9, colors=INK)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def _scale(axes: Axes, measure: ScenarioMeasure, most: float, has_never: bool) -> float:
    """Sets the axis; returns where `never` stands."""
    if measure == GOODPUT:
        axes.set_xlim(min(70.0, most), 102.0)
        return 102.0
    least = 1.0 if most > 100 else 0.1
    axes.set_xscale("symlog", linthresh=least, linscale=0.4)
    decades = range(round(math.log10(least)), math.ceil(math.log10(most)) + 1)
    ticks = [0.0, *(10.0**decade for decade in decades)]
    names = [spoken(tick) for tick in ticks]
    never = ticks[-1] * 6
    if has_never:
        ticks, names = [*ticks, never], [*names, "never"]
    axes.set_xticks(ticks, names)
    axes.set_xticks([], minor=True)
    axes.set_xlim(0, never if has_never else ticks[-1])
    return never


def _worst(row: GoalRow) -> dict[str, float]:
    return {name: worst for name in row.by_strategy if (worst := row.worst(name)) is not None}


def _legend(figure: Figure, height: float) -> None:
    shown = [
        Line2D([], [], marker=mark.shape, color=mark.colour, markersize=mark.size, linestyle="none", label=name)
        for name, mark in MARKS.items()
        if LINE_UP[name] is not None
    ]
    shown.append(
        Line2D([], [], marker="o", markerfacecolor="none", color=INK, linestyle="none", label="hollow: lost some")
    )
    shown.append(Line2D([], [], color=INK, linewidth=2.2, label="goal"))
    figure.legend(handles=shown, loc="upper left", ncols=len(shown), frameon=False, fontsize=10, labelcolor=INK,
                  bbox_to_anchor=(0.01, 1 - 0.42 / height))  # fmt: skip
    figure.text(0.015, 1 - 0.12 / height, "Admission in virtual time: the worst of the seeds", va="top", fontsize=13,
                color=INK, fontweight="bold")  # fmt: skip
