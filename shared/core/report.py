"""What one worker process saw of the provider's limits: its evidence document as a value.

Counts stand by the second in which the calls started, for half a minute, so that a report that is read twice, late or
not at all changes nothing that the next one does not mend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

REMEMBERED = timedelta(seconds=30)
"""Longer than any rule looks back, with what a report may be late."""


class Sign(StrEnum):
    """What a start that did not become an answer says about a limit."""

    MINUTE = "minute"
    """A 429 that speaks of a per-minute quota."""
    UNEXPLAINED = "unexplained"
    """A 429 that does not say which quota: spend window, shared capacity."""
    OVERLOAD = "overload"
    """A 503: the model is overloaded."""
    LATE = "late"
    """Not a call: the slot had passed before it could leave."""
    DELIVERED_LATE = "delivered_late"
    """Not a call: the slot had passed before its release arrived."""


_SIGNS = {each.value for each in Sign}


@dataclass(frozen=True, slots=True)
class Closing:
    until: datetime
    why: str
    """The failure's kind."""


@dataclass(frozen=True, slots=True)
class Named:
    """A limit that a 429 named."""

    value: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Tokens:
    """Input tokens of all answers of this process so far."""

    estimated: int = 0
    actual: int = 0

    @property
    def drift(self) -> int:
        return self.actual - self.estimated


Seconds = Mapping[int, int]
"""A count by second since the epoch."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one model."""

    counts: Mapping[Sign, Seconds] = field(default_factory=dict)
    closing: Closing | None = None
    named: Mapping[str, Named] = field(default_factory=dict)
    """By dimension."""
    tokens: Tokens = Tokens()

    def with_sign(self, sign: Sign, started_at: datetime, now: datetime) -> Seen:
        oldest = int((now - REMEMBERED).timestamp())
        counts = {each: {s: n for s, n in seconds.items() if s >= oldest} for each, seconds in self.counts.items()}
        second = int(started_at.timestamp())
        counts.setdefault(sign, {})[second] = counts.get(sign, {}).get(second, 0) + 1
        return replace(self, counts=counts)

    def with_closing(self, closing: Closing, now: datetime) -> Seen:
        """The one that lasts longer stays."""
        kept = self.closing is not None and self.closing.until > max(closing.until, now)
        return self if kept else replace(self, closing=closing)

    def to_json(self) -> dict[str, Any]:
        return {
            "counts": {sign.value: {str(s): n for s, n in seconds.items()} for sign, seconds in self.counts.items()},
            "closing": {"until": self.closing.until, "why": self.closing.why} if self.closing else None,
            "named": {dimension: {"value": each.value, "at": each.at} for dimension, each in self.named.items()},
            "tokens": [self.tokens.estimated, self.tokens.actual],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Seen:
        closing = data["closing"]
        return cls(
            counts={
                Sign(sign): {int(s): n for s, n in seconds.items()}
                for sign, seconds in data["counts"].items()
                if sign in _SIGNS
            },
            closing=Closing(closing["until"], closing["why"]) if closing else None,
            named={dimension: Named(each["value"], each["at"]) for dimension, each in data["named"].items()},
            tokens=Tokens(*data["tokens"]),
        )


NOTHING_SEEN = Seen()


def summed(reports: Iterable[Seen]) -> Seen:
    """What all processes saw of one model: counts and tokens added, the longest closing, the newest names."""
    counts: dict[Sign, dict[int, int]] = {}
    closing: Closing | None = None
    named: dict[str, Named] = {}
    estimated = actual = 0
    for report in reports:
        for sign, seconds in report.counts.items():
            total = counts.setdefault(sign, {})
            for second, count in seconds.items():
                total[second] = total.get(second, 0) + count
        if report.closing is not None and (closing is None or report.closing.until > closing.until):
            closing = report.closing
        for dimension, each in report.named.items():
            if dimension not in named or each.at > named[dimension].at:
                named[dimension] = each
        estimated, actual = estimated + report.tokens.estimated, actual + report.tokens.actual
    return Seen(counts, closing, named, Tokens(estimated, actual))


def counted(seen: Seen, sign: Sign, since: datetime, until: datetime) -> int:
    """How many starts in the seconds from `since` to before `until` gave that sign."""
    first, last = since.timestamp(), until.timestamp()
    return sum(count for second, count in seen.counts.get(sign, {}).items() if first <= second < last)


def first_of(seen: Seen, sign: Sign, since: datetime) -> datetime | None:
    """The second of the first such start from `since` on."""
    seconds = [second for second in seen.counts.get(sign, {}) if second >= since.timestamp()]
    return datetime.fromtimestamp(min(seconds), UTC) if seconds else None
