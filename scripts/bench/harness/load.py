"""What the machine's processors did during a scene, and how much of it was ours."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping

import psutil
from msgspec import Struct

ROLES = (("counted_up", "workers"), ("java", "emulators"), ("simulator", "simulator"))
"""A word of a process's command line, and what the process is. Others below us are `bench`."""


class Busy(Struct, frozen=True):
    """Shares are of all processors, 0-1."""

    machine: float
    ours: float
    """Of this bench, its workers, its emulators and its simulator."""
    seconds: Mapping[str, float]
    """Processor seconds by role. A process that was killed meanwhile is left out."""


class MachineLoad:
    """From its making on."""

    def __init__(self) -> None:
        self._times = psutil.cpu_times()
        self._began = time.monotonic()
        self._spent = _spent()

    def share(self) -> float:
        """0-1, of all that runs on the machine."""
        now = psutil.cpu_times()
        idle = now.idle - self._times.idle
        return 1 - idle / max(1e-9, sum(now) - sum(self._times))

    def busy(self) -> Busy:
        seconds: defaultdict[str, float] = defaultdict(float)
        for process, (role, spent) in _spent().items():
            seconds[role] += spent - self._spent.get(process, (role, 0.0))[1]
        capacity = (time.monotonic() - self._began) * (psutil.cpu_count() or 1)
        return Busy(self.share(), sum(seconds.values()) / capacity, dict(seconds))


def _spent() -> dict[int, tuple[str, float]]:
    """Role and processor seconds of this process and of all below it, by process id."""
    spent: dict[int, tuple[str, float]] = {}
    own = psutil.Process()
    for process in [own, *own.children(recursive=True)]:
        try:
            words = " ".join(process.cmdline())
            times = process.cpu_times()
        except psutil.Error:
            continue  # it has just ended
        role = next((role for word, role in ROLES if word in words and process != own), "bench")
        spent[process.pid] = role, times.user + times.system
    return spent
