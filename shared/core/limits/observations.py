"""What one worker process observed of the provider's limits: its evidence document as a value.

Counts are kept by the second in which the calls started, for half a minute. So a report that is read twice, late or not
at all does no harm: the next one corrects it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.values.codec import Stored
from shared.core.values.documents import Fields

REMEMBERED = timedelta(seconds=30)
"""Longer than any rule looks back, plus the delay of a report."""
DRIFT_BUCKETS = 4 * 121
"""Half-seconds for which drift is remembered: a window, plus a long call before its answer."""


class StartSignal(StrEnum):
    """What a start that brought no answer says about a limit."""

    MINUTE = "minute"
    """A 429 for a per-minute quota."""
    UNEXPLAINED = "unexplained"
    """A 429 that does not say which quota: spend window, shared capacity."""
    OVERLOAD = "overload"
    """A 503: the model is overloaded."""
    LATE = "late"
    """Not a call: the slot had passed before it could leave."""
    DELIVERED_LATE = "delivered_late"
    """Not a call: the slot had passed before its release arrived."""
    TIGHT = "tight"
    """A call, but half of its slot's leeway had passed."""


_SIGNS = {start_signal.value for start_signal in StartSignal}


class Closing(Struct, frozen=True):
    until: datetime
    why: str
    """The failure's kind."""


class NamedLimit(Struct, frozen=True):
    """A limit that a 429 named."""

    value: int
    at: datetime


Seconds = Mapping[int, int]
"""A count by second since the epoch."""


class ModelObservations(Stored, frozen=True):
    """Of one model."""

    counts: Mapping[StartSignal, Seconds] = field(default_factory=dict)
    closing: Closing | None = None
    named: Mapping[str, NamedLimit] = field(default_factory=dict)
    """By dimension."""
    drift: Mapping[int, int] = field(default_factory=dict)
    """Input tokens that answers used beyond (or below) the estimate, by the half-second of their slots."""

    def with_sign(self, sign: StartSignal, started_at: datetime, now: datetime) -> ModelObservations:
        oldest = int((now - REMEMBERED).timestamp())
        counts = {
            start_signal: {s: n for s, n in seconds.items() if s >= oldest}
            for start_signal, seconds in self.counts.items()
        }
        second = int(started_at.timestamp())
        counts.setdefault(sign, {})[second] = counts.get(sign, {}).get(second, 0) + 1
        return replace(self, counts=counts)

    def with_drift(self, bucket: int, tokens: int) -> ModelObservations:
        """`bucket` as calendars number them; what no window contains any more is dropped."""
        kept = {number: count for number, count in self.drift.items() if number > bucket - DRIFT_BUCKETS}
        return replace(self, drift={**kept, bucket: kept.get(bucket, 0) + tokens})

    def with_closing(self, closing: Closing, now: datetime) -> ModelObservations:
        """The one that lasts longer is kept."""
        kept = self.closing is not None and self.closing.until > max(closing.until, now)
        return self if kept else replace(self, closing=closing)

    @classmethod
    def from_json(cls, data: Fields) -> Self:
        """Without the signals of a newer release."""
        counts = {sign: seconds for sign, seconds in data["counts"].items() if sign in _SIGNS}
        return super().from_json({**data, "counts": counts})


NOTHING_SEEN = ModelObservations()


def summed(reports: Iterable[ModelObservations]) -> ModelObservations:
    """What all processes observed of one model: counts and drift added, the longest closing, the newest named
    limits."""
    counts: dict[StartSignal, dict[int, int]] = {}
    closing: Closing | None = None
    named: dict[str, NamedLimit] = {}
    drift: dict[int, int] = {}
    for report in reports:
        for sign, seconds in report.counts.items():
            total = counts.setdefault(sign, {})
            for second, count in seconds.items():
                total[second] = total.get(second, 0) + count
        if report.closing is not None and (closing is None or report.closing.until > closing.until):
            closing = report.closing
        for dimension, named_limit in report.named.items():
            if dimension not in named or named_limit.at > named[dimension].at:
                named[dimension] = named_limit
        for bucket, tokens in report.drift.items():
            drift[bucket] = drift.get(bucket, 0) + tokens
    return ModelObservations(counts, closing, named, drift)


def counted(observed: ModelObservations, sign: StartSignal, since: datetime, until: datetime) -> int:
    """How many starts in the seconds from `since` to before `until` gave that signal."""
    first, last = since.timestamp(), until.timestamp()
    return sum(count for second, count in observed.counts.get(sign, {}).items() if first <= second < last)
