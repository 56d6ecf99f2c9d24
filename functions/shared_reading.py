"""One read of the store for everyone who looks at the same time; if the store is slow, the previous one.

During a flood a read takes seconds, and each open page asks every five. They share the read under way, and a page that
has waited WITHIN for it shows the last one, unless that is older than OLDEST.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

WITHIN = 0.2
"""Seconds."""
OLDEST = 5.0
"""Seconds."""


class SharedReading(Generic[T]):
    def __init__(
        self, read: Callable[[], Awaitable[T]], monotonic: Callable[[], float], within: float = WITHIN
    ) -> None:
        self._read = read
        self._monotonic = monotonic
        self._within = within
        self._reading: asyncio.Future[T] | None = None
        self._last: tuple[float, T] | None = None
        """When it began, and its result."""

    async def look(self) -> T:
        """Raises what the read raises, if there is no earlier one to show."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read_once())
            self._reading.add_done_callback(self._end)
        reading = self._reading
        last = self._last
        if last is None or self._monotonic() - last[0] > OLDEST:
            return await asyncio.shield(reading)
        await asyncio.wait([reading], timeout=self._within)
        return reading.result() if reading.done() else last[1]

    async def _read_once(self) -> T:
        began_at = self._monotonic()
        answer = await self._read()
        self._last = began_at, answer
        return answer

    def _end(self, reading: asyncio.Future[T]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # waiting callers get it; without any it is ignored
