"""Lets entrants begin one after the other once all are ready, so that none is disturbed by the start of another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Sleep = Callable[[float], Awaitable[None]]
STAGGER = 3.0
"""Seconds between two entrants: what all do at once, such as the calls of a new minute, does not coincide."""


class Gate:
    def __init__(self, entrants: int, stagger: float = STAGGER, sleep: Sleep = asyncio.sleep) -> None:
        self._awaited, self._stagger, self._sleep = entrants, stagger, sleep
        self._passed = 0
        self._open = asyncio.Event()

    async def ready(self) -> None:
        """Returns when it is this entrant's turn to begin."""
        self.leave()
        await self._open.wait()
        turn, self._passed = self._passed, self._passed + 1
        await self._sleep(turn * self._stagger)

    def leave(self) -> None:
        """This entrant is not waited for: it is ready, or does not take part."""
        self._awaited -= 1
        if self._awaited <= 0:
            self._open.set()
