"""A clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 22, 13, 0, 0, 123456, tzinfo=UTC)


class FakeClock:
    """Sleepers wake when `advance` passes their moment."""

    def __init__(self) -> None:
        self._elapsed = timedelta(0)
        self._start = START
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + self._elapsed

    def set_back(self, by: timedelta) -> None:
        """The wall clock alone."""
        self._start -= by

    def monotonic(self) -> float:
        return self._elapsed.total_seconds()

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.monotonic() + seconds, future))
        await future

    async def someone_sleeps(self) -> None:
        while all(future.done() for _, future in self._sleepers):  # noqa: ASYNC110 - a test may poll
            await asyncio.sleep(0.001)

    def advance(self, by: timedelta) -> None:
        self._elapsed += by
        for wake_at, future in self._sleepers:
            if wake_at <= self.monotonic() and not future.done():
                future.set_result(None)
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[1].done()]
