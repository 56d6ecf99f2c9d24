"""The time lines of the overview: columns of the series as lines in SVG, with axes, marks and values to hover over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Literal, TypeAlias

from msgspec import Struct

from functions.console.time_marks import WIDTH, Happened, happened
from shared.core.observability import display
from shared.core.observability.series import HOUR, MINUTE, Series, Track, moment, number

Values: TypeAlias = Sequence[float | None]
Span: TypeAlias = Literal["1h", "24h", "30d"]
Unit: TypeAlias = Literal["count", "percent", "seconds", "dollars"]

HEIGHT = 100
"""Of a drawing, in its own units; its width is time_marks.WIDTH."""
MOST_FAILING = 3
"""Routes with a line of their own in the chart of failed calls."""


class SpanKind(Struct, frozen=True):
    """How much time a chart shows, and how many steps of the series make a bin."""

    label: str
    step: timedelta
    bins: int
    steps: int
    """In one bin."""
    tick_every: timedelta


SPANS: Mapping[Span, SpanKind] = {
    "1h": SpanKind("1 hour", MINUTE, 60, 1, timedelta(minutes=15)),
    "24h": SpanKind("24 hours", MINUTE, 288, 5, timedelta(hours=6)),
    "30d": SpanKind("30 days", HOUR, 240, 3, timedelta(days=7)),
}


class ChartLine(Struct, frozen=True):
    name: str
    style: str
    """The colour, by its name in the style sheet."""
    paths: tuple[str, ...]
    """Points of poly-lines; a gap separates them."""
    values: tuple[float | None, ...]


class Chart(Struct, frozen=True):
    id: str
    title: str
    unit: Unit
    lines: tuple[ChartLine, ...]
    top: float
    """The value at the upper edge."""
    now_text: str
    """The newest value of each line, in words."""

    @property
    def top_text(self) -> str:
        return words(self.unit, self.top)

    @property
    def is_empty(self) -> bool:
        """It has only zeros."""
        return not any(value for line in self.lines for value in line.values)

    @property
    def data(self) -> str:
        """For the cross-hair: each line's name and its values in words, with bars between them."""
        return "\n".join("|".join([line.name, *_in_words(self.unit, line.values)]) for line in self.lines)


class Tick(Struct, frozen=True):
    x: float
    """A percentage."""
    text: str


class TimeLine(Struct, frozen=True):
    span: Span
    charts: tuple[Chart, ...]
    ticks: tuple[Tick, ...]
    happened: Happened
    first_at: datetime
    bin_seconds: int
    knows_anything: bool


def time_line(series: Series, now: datetime, span: Span) -> TimeLine:
    """All charts of one span, up to now."""
    kind = SPANS[span]
    track = series.minutes if kind.step == MINUTE else series.hours
    last = number(now, kind.step)
    if kind.steps > 1:
        last += kind.steps - 1 - last % kind.steps  # bins begin at whole times
    first = last - kind.bins * kind.steps + 1
    begin, end = moment(first, kind.step), moment(last + 1, kind.step)
    read = _Reader(track, first, kind)
    per_minute = 1 / (kind.steps * (kind.step / MINUTE))
    made = [
        _chart("images", "Images per minute", "count", ("images", "good", read.rate("images", per_minute))),
        _chart("errors", "Failed calls", "percent", *_errors(track, read)),
        _chart(
            "waits", "Wait for a slot", "seconds",
            ("p95", "soft", read.highest("wait_95", 0.1)), ("p50", "main", read.highest("wait_50", 0.1)),
        ),
        _chart(
            "times", "Model time", "seconds",
            ("p95", "soft", read.highest("model_95", 0.1)), ("p50", "main", read.highest("model_50", 0.1)),
        ),
        _chart(
            "queue", "Queue", "count",
            ("waiting", "main", read.last("queued")), ("in flight", "soft", read.last("running")),
        ),
        _chart("empty", "Time to empty the queue", "seconds", ("time", "main", _to_empty(read, per_minute))),
        _chart("cost", "Cost per minute", "dollars", ("cost", "main", read.rate("cost_micros", per_minute / 1e6))),
    ]  # fmt: skip
    return TimeLine(
        span=span,
        charts=tuple(made),
        ticks=tuple(_ticks(begin, end, kind.tick_every)),
        happened=happened(series, begin, end, now),
        first_at=begin,
        bin_seconds=int((end - begin).total_seconds() // kind.bins),
        knows_anything=track.length > 0,
    )


class _Reader:
    """Columns of one track, combined into bins."""

    def __init__(self, track: Track, first: int, kind: SpanKind) -> None:
        self._track, self._first, self._kind = track, first, kind

    def sums(self, name: str) -> list[float | None]:
        return self._binned(name, sum)

    def total(self, name: str) -> int:
        """Over all bins."""
        if self._track.is_zero(name):
            return 0
        steps = self._kind.bins * self._kind.steps
        return sum(value for value in self._track.column(name, self._first, steps) if value)

    def rate(self, name: str, factor: float) -> list[float | None]:
        """Per minute, over the steps of a bin for which something is known."""

        def mean(values: Sequence[int]) -> float:
            return sum(values) * self._kind.steps / len(values) * factor

        return self._binned(name, mean)

    def highest(self, name: str, factor: float) -> list[float | None]:
        return self._binned(name, lambda values: max(values) * factor)

    def last(self, name: str) -> list[float | None]:
        return self._binned(name, lambda values: values[-1])

    def _binned(self, name: str, of: Callable[[Sequence[int]], float]) -> list[float | None]:
        steps = self._kind.steps
        row = self._track.column(name, self._first, self._kind.bins * steps)
        bins = ([value for value in row[at : at + steps] if value is not None] for at in range(0, len(row), steps))
        return [round(of(values), 6) if values else None for values in bins]


def _to_empty(read: _Reader, per_minute: float) -> list[float | None]:
    """Seconds at the rate of each bin; nothing where a queue waited and no image came."""
    waiting, rates = read.last("queued"), read.rate("images", per_minute)
    return [
        None if count is None or (count and not rate) else round(60 * count / rate, 1) if count and rate else 0.0
        for count, rate in zip(waiting, rates, strict=True)
    ]


def _errors(track: Track, read: _Reader) -> list[tuple[str, str, Values]]:
    """For all calls, and for the three routes with the most failures."""
    lines: list[tuple[str, str, Values]] = []
    totals = {circuit: read.total(f"failed {circuit}") for circuit in track.circuits()}
    failing = sorted(
        (circuit for circuit in totals if totals[circuit]), key=lambda circuit: (-totals[circuit], circuit)
    )
    for rank, circuit in enumerate(failing[:MOST_FAILING]):
        shares = _shares(read.sums(f"failed {circuit}"), read.sums(f"attempts {circuit}"))
        lines.append((circuit, f"bad{rank}", shares))
    if len(lines) != 1:
        lines.insert(0, ("all calls", "main", _shares(read.sums("failed"), read.sums("attempts"))))
    return lines


def _shares(failed: Values, attempts: Values) -> list[float | None]:
    """A percentage; without calls there are no failures."""
    return [
        None if total is None else round(100 * (part or 0) / total, 1) if total else 0.0
        for part, total in zip(failed, attempts, strict=True)
    ]


def _chart(name: str, title: str, unit: Unit, *lines: tuple[str, str, Values]) -> Chart:
    top = (
        100.0 if unit == "percent" else _round_up(max((value or 0 for _, _, row in lines for value in row), default=0))
    )
    newest = []
    for label, _, row in lines:
        value = next((item for item in reversed(row) if item is not None), None)
        if value is not None:
            newest.append(f"{label} {words(unit, value)}" if len(lines) > 1 else words(unit, value))
    drawn = tuple(ChartLine(label, style, tuple(_paths(row, top)), tuple(row)) for label, style, row in lines)
    return Chart(name, title, unit, drawn, top, " · ".join(newest[:2]))


def _round_up(value: float) -> float:
    """To 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value)


def _paths(row: Values, top: float) -> list[str]:
    """Poly-lines between gaps; a single value is a short dash, and a level stretch has two points."""
    edges = _edges(len(row))
    paths: list[list[tuple[str, float]]] = [[]]
    for place, value in enumerate(row):
        points = paths[-1]
        if value is None:
            if points:
                paths.append([])
            continue
        y = round(HEIGHT - min(value, top) / top * HEIGHT, 1)
        if not points:
            points.append((edges[place], y))
        if len(points) > 1 and points[-1][1] == points[-2][1] == y:
            points.pop()
        points.append((edges[place + 1], y))
    return [" ".join(f"{x},{y}" for x, y in points) for points in paths if points]


@cache
def _edges(bins: int) -> list[str]:
    """Where each bin begins, and the last one ends."""
    return [f"{place * WIDTH / max(1, bins):.1f}" for place in range(bins + 1)]


def _ticks(begin: datetime, end: datetime, every: timedelta) -> list[Tick]:
    step = every.total_seconds()
    at = datetime.fromtimestamp((begin.timestamp() // step + 1) * step, begin.tzinfo)
    ticks = []
    while at < end:
        text = f"{at:%H:%M}" if every < timedelta(days=1) else f"{at:%d %b}"
        ticks.append(Tick(round(100 * (at - begin) / (end - begin), 2), text))
        at += every
    return ticks


def _in_words(unit: Unit, values: Values) -> list[str]:
    """Each value is put into words once: most come again."""
    texts = {value: words(unit, value) for value in set(values) if value is not None}
    return ["" if value is None else texts[value] for value in values]


def words(unit: Unit, value: float) -> str:
    match unit:
        case "percent":
            return f"{value:.0f} %"
        case "seconds":
            return f"{value:.1f} s" if value < 120 else display.left(timedelta(seconds=value))
        case "dollars":
            return f"${value:,.2f}" if value >= 0.1 or not value else f"${value:.4f}"
        case "count":
            return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def span_of(text: str) -> Span:
    return next((span for span in SPANS if span == text), "24h")
