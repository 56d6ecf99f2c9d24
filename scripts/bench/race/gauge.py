"""Processor time and memory of an entrant: of its processes and all below them, killed ones included (Linux).

Read from /proc directly: a look must be cheap, since the bench that looks also publishes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
MEMORY_EVERY = 1.0
"""Seconds."""


class Gauge:
    """Looked at again and again; what a process used after the last look before its end is missed."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, str], float] = {}
        self._weighed_at = float("-inf")
        self.peak_bytes = 0

    @property
    def cpu_seconds(self) -> float:
        return sum(self._seconds.values())

    def look(self, roots: Iterable[int]) -> None:
        processes = [process for root in roots for process in tree(root)]
        for process in processes:
            try:
                seconds, started = processor_seconds(process)
            except OSError:
                continue  # it has just ended
            self._seconds[process, started] = seconds
        if time.monotonic() - self._weighed_at >= MEMORY_EVERY:
            self._weighed_at = time.monotonic()
            self.peak_bytes = max(self.peak_bytes, sum(map(proportional_bytes, processes)))


def tree(process: int) -> Iterator[int]:
    """The process and those that its first thread and theirs have started."""
    yield process
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from tree(int(child))


def processor_seconds(process: int) -> tuple[float, str]:
    """And the moment of its start, since numbers of processes are used again."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS, fields[19]


def proportional_bytes(process: int) -> int:
    """Its own memory, and its share of what several processes have in common; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
