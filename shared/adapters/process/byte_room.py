"""A semaphore of bytes: everything that the calls of this process hold at once fits into its memory."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from pathlib import Path

OWN = 200_000_000
"""What the process uses without any call (README.md, `./scripts/bench/run memory`), and a little for what is not
counted."""
SHARE = 0.7
"""Share of the rest, for calls; the cache of references gets a quarter as much in addition."""
LEAST = 50_000_000
CGROUP_FILES = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Version 2 and version 1."""


class ByteRoom:
    """The Room port; of one event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    def is_full_for(self, size: int) -> bool:
        return bool(self._queue) or self._taken + min(size, self.limit) > self.limit

    async def take(self, size: int) -> None:
        size = min(size, self.limit)
        if not self.is_full_for(size):
            self._taken += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size, turn)
        self._queue.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if entry in self._queue:
                self._queue.remove(entry)
            elif not turn.cancelled():
                self._taken -= size
            self._admit()
            raise

    def give_back(self, size: int) -> None:
        self._taken -= min(size, self.limit)
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._taken + self._queue[0][0] <= self.limit:
            size, turn = self._queue.popleft()
            if not turn.done():
                self._taken += size
                turn.set_result(None)


def room_of(memory: int) -> int:
    """Bytes for calls in a process with that much memory. Pure."""
    return max(int((memory - OWN) * SHARE), LEAST)


def memory_of_this_process() -> int:
    """Bytes: of its control group, or of the machine."""
    of_machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in CGROUP_FILES:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            return min(int(text), of_machine)
    return of_machine
