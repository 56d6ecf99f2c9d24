"""The store's own time, carried on by this process's monotonic clock between reads."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.ports import Clock


class ServerTime:
    """Workers and pump agree on slots though their own clocks may differ by seconds."""

    def __init__(self, clock: Clock, read_at: datetime) -> None:
        self._clock = clock
        self._read_at = read_at
        self._seen = clock.monotonic()

    def observe(self, read_at: datetime) -> None:
        """A newer read: its time is the better one."""
        self._read_at = max(read_at, self.now())
        self._seen = self._clock.monotonic()

    def now(self) -> datetime:
        return self._read_at + timedelta(seconds=self._clock.monotonic() - self._seen)

    async def wait_until(self, moment: datetime) -> None:
        """Returns at once when the moment has passed."""
        delay = (moment - self.now()).total_seconds()
        if delay > 0:
            await self._clock.sleep(delay)
