"""The provider's side of quota: windows per model that accept a call or say how long until they would.

Pure: no I/O, no clock. Times come in as a `WindowMoment`; amounts are whole numbers of requests, images, tokens or
micro-dollars.
"""

from __future__ import annotations

import math
from collections import deque
from datetime import date, datetime, timedelta
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct

from shared.core.limits.quota import Limits

WindowKind = Literal["sliding", "fixed", "bucket"]
Dimension = Literal["rpm", "ipm", "tpm", "rpd", "concurrency", "spend10m"]

WINDOW_KINDS: tuple[WindowKind, ...] = ("sliding", "fixed", "bucket")
PACIFIC = ZoneInfo("America/Los_Angeles")
MINUTE = 60.0
TEN_MINUTES = 600.0
NEVER = math.inf


class WindowMoment(Struct, frozen=True):
    at: datetime
    """Aware wall time: clock minutes and Pacific days are cut by it."""
    seconds: float
    """Monotonic seconds: rolling windows and buckets run on it."""


class Window(Protocol):
    """Remembers what was used even without a limit, so that a limit set later is judged on the truth."""

    def wait(self, moment: WindowMoment, amount: int, limit: int) -> float:
        """Seconds until `amount` fits under `limit`: 0 when it does now, NEVER when it cannot."""

    def record(self, moment: WindowMoment, amount: int) -> None: ...


class SlidingWindow:
    """Exact rolling window: any span of `length` seconds, closed at one end, holds at most the limit."""

    def __init__(self, length: float = MINUTE) -> None:
        self._length = length
        self._used: deque[tuple[float, int]] = deque()
        self._total = 0

    def wait(self, moment: WindowMoment, amount: int, limit: int) -> float:
        self._forget(moment)
        if amount > limit:
            return NEVER
        excess = self._total + amount - limit
        if excess <= 0:
            return 0.0
        for at, used in self._used:
            excess -= used
            if excess <= 0:
                return at + self._length - moment.seconds
        raise AssertionError("an emptied window has room for any amount within the limit")

    def record(self, moment: WindowMoment, amount: int) -> None:
        self._used.append((moment.seconds, amount))
        self._total += amount

    def _forget(self, moment: WindowMoment) -> None:
        while self._used and self._used[0][0] + self._length <= moment.seconds:
            self._total -= self._used.popleft()[1]


class FixedWindow:
    """The clock minute: twice the limit fits around its border."""

    def __init__(self) -> None:
        self._minute = -1
        self._used = 0

    def wait(self, moment: WindowMoment, amount: int, limit: int) -> float:
        if amount > limit:
            return NEVER
        minute, into = divmod(moment.at.timestamp(), MINUTE)
        used = self._used if int(minute) == self._minute else 0
        return 0.0 if used + amount <= limit else MINUTE - into

    def record(self, moment: WindowMoment, amount: int) -> None:
        minute = int(moment.at.timestamp() // MINUTE)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += amount


class Bucket:
    """A bucket as deep as the minute's limit that refills evenly: a burst of the limit, then limit/60 a second."""

    def __init__(self) -> None:
        self._limit = 0
        self._debt = 0.0
        self._at = -math.inf

    def wait(self, moment: WindowMoment, amount: int, limit: int) -> float:
        if amount > limit:
            return NEVER
        debt = min(self._debt_at(moment), limit)  # what was used while nothing was limited is forgiven
        self._limit, self._debt, self._at = limit, debt, moment.seconds
        # A millionth of a unit: float noise must not turn the promised instant into another rejection.
        return max(0.0, (debt + amount - limit) * MINUTE / limit) if debt + amount - limit > 1e-6 else 0.0

    def record(self, moment: WindowMoment, amount: int) -> None:
        self._debt = self._debt_at(moment) + amount
        self._at = moment.seconds

    def _debt_at(self, moment: WindowMoment) -> float:
        if self._debt == 0.0:
            return 0.0
        return max(0.0, self._debt - (moment.seconds - self._at) * self._limit / MINUTE)


class PacificDay:
    """Requests of the day, gone at midnight in Los Angeles, summer time included."""

    def __init__(self) -> None:
        self._day: date | None = None
        self._used = 0

    def wait(self, moment: WindowMoment, amount: int, limit: int) -> float:
        if amount > limit:
            return NEVER
        local = moment.at.astimezone(PACIFIC)
        used = self._used if local.date() == self._day else 0
        return 0.0 if used + amount <= limit else seconds_to_midnight(moment.at)

    def record(self, moment: WindowMoment, amount: int) -> None:
        day = moment.at.astimezone(PACIFIC).date()
        if day != self._day:
            self._day, self._used = day, 0
        self._used += amount


def seconds_to_midnight(at: datetime) -> float:
    """Seconds to the next midnight in Los Angeles: 82,800 to 90,000 from the last one."""
    tomorrow = at.astimezone(PACIFIC).date() + timedelta(days=1)
    midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=PACIFIC)
    return midnight.timestamp() - at.timestamp()


class ExceededWindow(Struct, frozen=True):
    dimension: Dimension
    limit: int
    wait: float
    """Seconds until this dimension has room; NEVER when it never will."""


class Admitted(Struct, frozen=True):
    pass


class QuotaRejection(Struct, frozen=True):
    violations: tuple[ExceededWindow, ...]
    """At least one."""

    @property
    def wait(self) -> float:
        return max(violation.wait for violation in self.violations)


class ModelQuota:
    """All dimensions of one model: a call fits in all of them or uses none."""

    def __init__(self, kind: WindowKind, *, rejected_counts: bool = False) -> None:
        self._windows: dict[Dimension, Window] = {
            "rpm": minute_window(kind),
            "ipm": minute_window(kind),
            "tpm": minute_window(kind),
            "rpd": PacificDay(),
            "spend10m": SlidingWindow(TEN_MINUTES),
        }
        self._rejected_counts = rejected_counts
        self.in_flight = 0

    def admit(
        self, limits: Limits, moment: WindowMoment, *, images: int, input_tokens: int
    ) -> Admitted | QuotaRejection:
        """Admitted calls are in flight until `leave`."""
        amounts: dict[Dimension, int] = {"rpm": 1, "ipm": images, "tpm": input_tokens, "rpd": 1}
        violations = [
            ExceededWindow(dimension, limit, wait)
            for dimension, limit in _bounded(limits)
            if (wait := self._windows[dimension].wait(moment, amounts.get(dimension, 1), limit)) > 0
        ]
        if limits.concurrency is not None and self.in_flight >= limits.concurrency:
            violations.append(ExceededWindow("concurrency", limits.concurrency, 0.0))
        if violations:
            if self._rejected_counts:
                self._windows["rpm"].record(moment, 1)
            return QuotaRejection(tuple(violations))
        for dimension, amount in amounts.items():
            self._windows[dimension].record(moment, amount)
        self.in_flight += 1
        return Admitted()

    def leave(self, moment: WindowMoment, *, spent_micros: int) -> None:
        self.in_flight -= 1
        if spent_micros:
            self._windows["spend10m"].record(moment, spent_micros)


def minute_window(kind: WindowKind) -> Window:
    match kind:
        case "sliding":
            return SlidingWindow()
        case "fixed":
            return FixedWindow()
        case "bucket":
            return Bucket()


def _bounded(limits: Limits) -> list[tuple[Dimension, int]]:
    rows: list[tuple[Dimension, int | None]] = [
        ("rpm", limits.rpm),
        ("ipm", limits.ipm),
        ("tpm", limits.tpm),
        ("rpd", limits.rpd),
        ("spend10m", limits.spend10m_micros),
    ]
    return [(dimension, limit) for dimension, limit in rows if limit is not None]
