"""Events beside the time lines: breakers and flags as bands, limits and deployments as lines, and a list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from shared.core.observability import display
from shared.core.observability.series import Band, Mark, Series

WIDTH = 1_000
"""Of a drawing, in its own units."""
MOST_DRAWN = 60
"""Marks, and as many bands, per time line: the newest."""
MOST_LISTED = 8
LEAST_WIDTH = 2.0
"""The least width, so that a band of seconds is still visible."""


class MarkLine(Struct, frozen=True):
    """A mark on a time line."""

    x: float
    kind: str
    text: str
    at: datetime


class BandRect(Struct, frozen=True):
    """A band on a time line."""

    x: float
    width: float
    kind: str
    text: str
    begin: datetime
    end: datetime


class TimelineEntry(Struct, frozen=True):
    """One line of the list below the time lines."""

    at: datetime
    kind: str
    text: str
    lasted: str
    """How long it lasted, or that it still does; empty for an event without a duration."""


class Happened(Struct, frozen=True):
    """Within one span of time."""

    marks: tuple[MarkLine, ...]
    bands: tuple[BandRect, ...]
    events: tuple[TimelineEntry, ...]
    """The newest first."""


def happened(series: Series, begin: datetime, end: datetime, now: datetime) -> Happened:
    bands = [band for band in series.bands(now) if band.end >= begin and band.begin < end]
    starts = {(band.begin, band.kind, band.text) for band in bands}
    ends = {(band.end, band.kind) for band in bands}
    marks = [mark for mark in series.marks if begin <= mark.at < end]
    events = [_event_of(band) for band in bands]
    events += [
        TimelineEntry(mark.at, mark.kind, mark.text, "")
        for mark in marks
        if (mark.at, mark.kind, mark.text) not in starts and not (mark.phase == "end" and (mark.at, mark.kind) in ends)
    ]
    return Happened(
        tuple(MarkLine(_x(mark.at, begin, end), mark.kind, mark.text, mark.at) for mark in _newest(marks)),
        tuple(_rect(band, begin, end) for band in bands[-MOST_DRAWN:]),
        tuple(sorted(events, key=lambda event: event.at, reverse=True)[:MOST_LISTED]),
    )


def _newest(marks: Sequence[Mark]) -> Sequence[Mark]:
    return marks[-MOST_DRAWN:]


def _event_of(band: Band) -> TimelineEntry:
    lasted = display.left(band.end - band.begin)
    return TimelineEntry(band.begin, band.kind, band.text, f"still, for {lasted}" if band.is_open else f"for {lasted}")


def _rect(band: Band, begin: datetime, end: datetime) -> BandRect:
    left, right = _x(max(band.begin, begin), begin, end), _x(min(band.end, end), begin, end)
    lasted = _event_of(band).lasted
    return BandRect(
        left, max(LEAST_WIDTH, round(right - left, 1)), band.kind, f"{band.text} ({lasted})", band.begin, band.end
    )


def _x(at: datetime, begin: datetime, end: datetime) -> float:
    return round(WIDTH * (at - begin) / (end - begin), 1)
