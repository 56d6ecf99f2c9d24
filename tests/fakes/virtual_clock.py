"""Virtual time: it stands still while anything can go on, and leaps to the next sleeper when nothing can."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

T = TypeVar("T")

START = datetime(2026, 11, 22, 18, 0, 0, tzinfo=UTC)
IDLE_TURNS = 90
"""So many turns of the event loop without an end, and everything waits for the clock: no fake waits for real."""
MOST_IDLE = 100
"""So often that may be with nobody who sleeps: a story can go on among fakes for long without the clock."""


class VirtualClock:
    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), woken))
        await woken

    def set_back(self, by: timedelta) -> None:
        """The wall clock alone, as a person or NTP does; forward where negative."""
        self._start -= by

    def advance(self, by: timedelta) -> None:
        """Leap without waking anybody before the next `run`."""
        self._elapsed += by.total_seconds()

    async def run(self, story: Awaitable[T]) -> T:
        """Drive time until the story ends."""
        task = asyncio.ensure_future(story)
        idle = 0
        while not task.done():
            for _ in range(IDLE_TURNS):
                await asyncio.sleep(0)
                if task.done():
                    break
            else:
                idle = 0 if self._wake_next() else idle + 1
                assert idle < MOST_IDLE, "everything waits, and nobody for the clock"
        return await task

    def _wake_next(self) -> bool:
        """Whether anybody slept."""
        while self._sleepers:
            moment, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                self._elapsed = max(self._elapsed, moment)
                woken.set_result(None)
                return True
        return False
