"""An event loop whose time leaps to the next timer when nothing can go on: real sockets, no waiting.

A call over a socket is under way while `busy` is not 0. Then the loop gives the kernel a moment before it leaps, since
bytes on the loopback interface may still be moving.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

GRACE = 0.05
"""Real seconds without a single byte, during a call, after which the call itself must be waiting for a timer."""
LONGEST_JOB = 5.0
"""Real seconds that a thread's work is waited for at a time."""


class _Selector(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if self.loop.jobs:
            return super().select(LONGEST_JOB)
        if self.loop.busy or timeout is None:
            events = super().select(GRACE)
        if not events and timeout is not None:
            self.loop.leap(timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.busy = 0
        self.jobs = 0
        """Work of threads that has not come back."""
        self._elapsed = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._elapsed

    def leap(self, seconds: float) -> None:
        self._elapsed += seconds + 1e-6

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        future = super().run_in_executor(executor, func, *args)
        self.jobs += 1
        future.add_done_callback(self._came_back)
        return future

    def _came_back(self, _: object) -> None:
        self.jobs -= 1


class LoopClock:
    """The Clock port on the loop's own time, with the means of `VirtualClock`."""

    def __init__(self, loop: VirtualLoop, start: datetime) -> None:
        self._loop = loop
        self._start = start - timedelta(seconds=loop.time())
        self._began = loop.time()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        return self._loop.time() - self._began

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))

    def advance(self, by: timedelta) -> None:
        self._loop.leap(by.total_seconds())

    async def run(self, story: Awaitable[T]) -> T:
        return await story
