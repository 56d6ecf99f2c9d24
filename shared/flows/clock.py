"""The store's own time, carried on by this process's monotonic clock between reads."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from msgspec import Struct

from shared.core.times.leases import CLOCK_TOLERANCE
from shared.ports.clock import Clock


class ClockSetBack(Exception):
    """The store's clock was set back by more than CLOCK_TOLERANCE: everything that depends on its time starts over."""


class ClockReading(Struct, frozen=True):
    """One reading of a ServerTime, in both forms."""

    now: datetime
    """The store's time, in which everything is stored."""
    monotonic: float
    """Seconds of this process, for the age of a read."""


READS_COUNT_FOR = 60.0
"""Seconds: meanwhile clocks drift apart by a millisecond."""


class ServerTime:
    """Workers and pump agree on slots although their own clocks may differ by seconds."""

    def __init__(self, clock: Clock, read_at: datetime) -> None:
        self._clock = clock
        self._read_at = read_at
        self._observed_at = clock.monotonic()

    def observe(self, read_at: datetime) -> None:
        """Take over a newer, better read. Raises ClockSetBack if the store's clock was set back."""
        if self.now() - read_at > CLOCK_TOLERANCE:
            raise ClockSetBack
        self._read_at = max(read_at, self.now())
        self._observed_at = self._clock.monotonic()

    def now(self) -> datetime:
        return self._read_at + timedelta(seconds=self._clock.monotonic() - self._observed_at)

    def moment(self) -> ClockReading:
        return ClockReading(self.now(), self._clock.monotonic())

    async def wait_until(self, moment: datetime) -> None:
        """Returns at once when the moment has passed."""
        delay = (moment - self.now()).total_seconds()
        if delay > 0:
            await self._clock.sleep(delay)


class Reads:
    """One per process. An answer that waited before it was processed shows an earlier time than the current one. Of the
    reads of the last minute, the one that waited least is nearest to the truth."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._reads: deque[tuple[float, datetime]] = deque()
        """Pairs of (monotonic time of a read, store time at monotonic zero). A monotonic queue: the second values
        decrease."""

    def time_after(self, read_at: datetime) -> ServerTime:
        """The store's time, with a read that has just come back."""
        now = self._clock.monotonic()
        began_at = read_at - timedelta(seconds=now)
        if self._reads and self._reads[0][1] - began_at > CLOCK_TOLERANCE:
            self._reads.clear()  # no answer waits that long: the store's clock was set back
        while self._reads and self._reads[0][0] < now - READS_COUNT_FOR:
            self._reads.popleft()
        while self._reads and self._reads[-1][1] <= began_at:
            self._reads.pop()
        self._reads.append((now, began_at))
        return ServerTime(self._clock, self._reads[0][1] + timedelta(seconds=now))
