"""Processor time and memory of an entrant: of its processes and all below them, those that were killed included."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil


class Gauge:
    """Looked at again and again; what a process used after the last look before its end is missed."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, float], float] = {}
        self.peak_bytes = 0

    @property
    def cpu_seconds(self) -> float:
        return sum(self._seconds.values())

    def look(self, roots: Iterable[int]) -> None:
        memory = 0
        for process in _trees(roots):
            try:
                times = process.cpu_times()
                self._seconds[process.pid, process.create_time()] = times.user + times.system
                memory += proportional_bytes(process.pid)
            except (psutil.Error, OSError):
                continue  # it has just ended
        self.peak_bytes = max(self.peak_bytes, memory)


def _trees(roots: Iterable[int]) -> Iterable[psutil.Process]:
    for root in roots:
        try:
            process = psutil.Process(root)
            yield process
            yield from process.children(recursive=True)
        except psutil.Error:
            continue


def proportional_bytes(process: int) -> int:
    """Its own memory, and its share of what several processes have in common (Linux)."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise LookupError("the kernel reports no Pss")
