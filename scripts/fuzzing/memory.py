"""How much memory a case took at its peak, as the kernel counts it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Growth(Struct):
    megabytes: int = 0
    """Beyond what was resident before; 0 where the kernel does not tell (any but Linux)."""


@contextmanager
def grown() -> Iterator[Growth]:
    growth = Growth()
    gc.collect()
    before = _start()
    yield growth
    growth.megabytes = max(0, _kilobytes("VmHWM") - before) // 1024


def _start() -> int:
    """Forget the peak so far (`5` resets it, man 5 proc)."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        pass
    return _kilobytes("VmRSS")


def _kilobytes(name: str) -> int:
    if not _STATUS.exists():
        return 0
    lines = _STATUS.read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
