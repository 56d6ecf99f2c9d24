"""What happened, by the minute for a day and by the hour for 30 days, in one document: `series/series`. Pure.

A column is a text of comma-separated numbers, the oldest first; an empty place is a time about which nothing is known,
because no worker ran. So the document stays small (some 100 kB).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.accounting import traffic
from shared.core.accounting.traffic import Tally
from shared.core.values.codec import Stored

PATH = "series/series"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
MINUTES_KEPT, HOURS_KEPT = 24 * 60, 30 * 24
MOST_CIRCUITS = 12
"""Circuits with columns of their own; others only show in the totals."""
MOST_MARKS = 200
NAMES = (
    "images", "attempts", "failed", "cost_micros", "queued", "running", "wait_50", "wait_95", "model_50", "model_95",
)  # fmt: skip
"""Columns that always exist. Times are in tenths of a second; `queued` and `running` are the values at the end of the
step."""

Values = Sequence[int | None]


Phase: TypeAlias = Literal["", "begin", "longer", "end"]


class Mark(Struct, frozen=True):
    """Something that happened at a moment: a flag, a breaker, a limit, a deployment."""

    at: datetime
    kind: str
    """`flag`, `breaker`, `limit` or `deploy`."""
    text: str
    about: str = ""
    """The flag's id: its marks belong together. Empty for a mark that stands alone or that an older release made."""
    phase: Phase = ""
    """Whether a period begins or ends here, or has a new end."""
    ends_at: datetime | None = None
    """When that period ends automatically, unless a later mark ends it."""


class Band(Struct, frozen=True):
    """A period between two marks: a breaker was open, a flag was tripped."""

    begin: datetime
    end: datetime
    kind: str
    text: str
    """The kind of the mark that began it."""
    is_open: bool
    """It had not ended at the time of the reading."""


class Point(Struct, frozen=True):
    """One minute or hour."""

    values: Mapping[str, int | None]
    """By column; a missing column is unknown."""


class Track(Struct, frozen=True):
    """Columns of one step size, all of equal length."""

    first: int = 0
    """Number of the first step since the epoch."""
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        some = next(iter(self.columns.values()), None)
        return 0 if some is None else some.count(",") + 1

    def with_point(self, number: int, point: Point, keep: int) -> Track:
        """With that step's point. An existing one is added to; one older than the last is lost."""
        length = self.length
        if length and number < self.first + length - 1:
            return self  # a clock was set back
        first = max(self.first, number - keep + 1) if length else number
        columns = {}
        for name in {*self.columns, *point.values}:
            row: list[int | None] = [None] * length
            if name in self.columns:
                row = list(_values(self.columns[name]))
            row += [None] * (number - self.first + 1 - len(row) if length else 1)
            row = row[first - self.first :] if length else row
            new = point.values.get(name)
            row[-1] = new if row[-1] is None else _both(name, row[-1], new)
            if any(value is not None for value in row):
                columns[name] = ",".join("" if value is None else str(value) for value in row)
        return Track(first, columns)

    def column(self, name: str, first: int, count: int) -> list[int | None]:
        """This many steps from `first` on; None where nothing is known."""
        if name not in self.columns:
            return [None] * count
        items, begin = self.columns[name].split(","), first - self.first
        part = items[max(0, begin) : max(0, begin + count)]
        before = min(count, max(0, -begin))
        row: list[int | None] = [None] * before
        row += [int(item) if item else None for item in part]
        return row + [None] * (count - len(row))

    def is_zero(self, name: str) -> bool:
        """Nothing was ever counted there."""
        return not self.columns.get(name, "").strip("0,")

    def circuits(self) -> list[str]:
        return sorted(name.removeprefix("attempts ") for name in self.columns if name.startswith("attempts "))


class Series(Stored, frozen=True):
    at: datetime | None = None
    minutes: Track = field(default_factory=Track)
    hours: Track = field(default_factory=Track)
    marks: tuple[Mark, ...] = ()
    """The oldest first."""

    def with_minute(self, at: datetime, minute: Point, marks: Sequence[Mark] = ()) -> Series:
        kept = [item for item in self.marks if at - item.at < HOUR * HOURS_KEPT]
        fresh = [item for item in marks if item not in kept]
        ordered = sorted([*kept, *fresh], key=lambda item: item.at)
        minutes = self.minutes.with_point(number(at, MINUTE), within(self.minutes, minute), MINUTES_KEPT)
        return replace(self, at=at, minutes=minutes, marks=tuple(_newest(ordered)))

    def with_hour(self, at: datetime, hour: Point) -> Series:
        """With the point of the hour that contains the moment; its routes are the sum of its minutes."""
        step = number(at, HOUR)
        whole = Point({**hour.values, **self._routes_of_hour(step)})
        return replace(self, hours=self.hours.with_point(step, within(self.hours, whole), HOURS_KEPT))

    def _routes_of_hour(self, step: int) -> dict[str, int | None]:
        first, count = number(moment(step, HOUR), MINUTE), HOUR // MINUTE
        values: dict[str, int | None] = {}
        for circuit in self.minutes.circuits():
            for what in ("attempts", "failed"):
                counted = [
                    value for value in self.minutes.column(f"{what} {circuit}", first, count) if value is not None
                ]
                if counted:
                    values[f"{what} {circuit}"] = sum(counted)
        return values

    def bands(self, now: datetime) -> list[Band]:
        """The periods that marks begin and end, the oldest first. One whose end was lost ends when it would have ended
        automatically."""
        opened: dict[str, Mark] = {}
        ends: dict[str, datetime | None] = {}
        bands = []
        for mark in self.marks:
            if mark.phase == "begin" and mark.about not in opened:
                opened[mark.about], ends[mark.about] = mark, mark.ends_at
            elif mark.phase == "longer":
                ends[mark.about] = mark.ends_at
            elif mark.phase == "end" and mark.about in opened:
                bands.append(_band(opened.pop(mark.about), mark.at, is_open=False))
        for about, mark in opened.items():
            end = ends[about]
            over = end is not None and end <= now
            bands.append(_band(mark, end if over and end is not None else now, is_open=not over))
        return sorted(bands, key=lambda band: band.begin)


def _band(mark: Mark, end: datetime, *, is_open: bool) -> Band:
    return Band(mark.at, max(end, mark.at), mark.kind, mark.text, is_open)


def _newest(marks: Sequence[Mark]) -> list[Mark]:
    """Reduced to MOST_MARKS: limits change most often and are dropped first."""
    surplus = len(marks) - MOST_MARKS
    if surplus <= 0:
        return list(marks)
    gone = {id(mark) for mark in [mark for mark in marks if mark.kind == "limit"][:surplus]}
    return [mark for mark in marks if id(mark) not in gone][-MOST_MARKS:]


def number(at: datetime, step: timedelta) -> int:
    """The number of the step that contains the moment, since the epoch."""
    return int(at.timestamp() // step.total_seconds())


def moment(number: int, step: timedelta) -> datetime:
    """When that step began."""
    return datetime.fromtimestamp(number * step.total_seconds(), UTC)


def point(tally: Tally, queued: int, running: int, circuits: Mapping[str, Tally] | None = None) -> Point:
    """From what happened in a step, and the state at its end."""
    values: dict[str, int | None] = {
        "images": tally.get("images", 0),
        "attempts": tally.get("attempts", 0),
        "failed": sum(traffic.failures(tally).values()),
        "cost_micros": tally.get("cost_micros", 0),
        "queued": queued,
        "running": running,
        "wait_50": _tenths(traffic.percentile(tally, "wait", 0.5)),
        "wait_95": _tenths(traffic.percentile(tally, "wait", 0.95)),
        "model_50": _tenths(traffic.percentile(tally, "model", 0.5)),
        "model_95": _tenths(traffic.percentile(tally, "model", 0.95)),
    }
    busiest = sorted((circuits or {}).items(), key=lambda item: (-item[1].get("attempts", 0), item[0]))
    for name, item in busiest[:MOST_CIRCUITS]:
        values[f"attempts {name}"] = item.get("attempts", 0)
        values[f"failed {name}"] = sum(traffic.failures(item).values())
    return Point(values)


def within(track: Track, point: Point) -> Point:
    """Without circuits beyond MOST_CIRCUITS, keeping those that the track already has."""
    names = set(track.circuits())
    values: dict[str, int | None] = {}
    for name, value in point.values.items():
        _, space, circuit = name.partition(" ")
        if space and circuit not in names:
            if len(names) >= MOST_CIRCUITS:
                continue
            names.add(circuit)
        values[name] = value
    return Point(values)


def _tenths(seconds: float | None) -> int | None:
    return None if seconds is None else round(10 * seconds)


def _both(name: str, one: int, other: int | None) -> int:
    """Two points of one step merged: counts add up, the longer time is kept, the newer state wins."""
    if other is None:
        return one
    if name in ("queued", "running"):
        return other
    return max(one, other) if name.startswith(("wait_", "model_")) else one + other


def _values(column: str) -> Values:
    return [int(item) if item else None for item in column.split(",")]
