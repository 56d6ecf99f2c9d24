"""How large a flood is, and what is promised meanwhile."""

from __future__ import annotations

from msgspec import Struct


class FloodPlan(Struct, frozen=True):
    backlog: int
    """Requests that are queued before the flood, or at the restart."""
    rate: int
    """Messages a second that are published in the flood."""
    seconds: int
    rpm: int
    """The quota: far less than what arrives."""
    interactive_every: float = 0.5
    """Seconds between two interactive requests, sent by HTTP while the flood comes and is taken in."""


class Promises(Struct, frozen=True):
    """What must hold; a run that breaks one ends with 1."""

    memory_bytes: int
    """Of the worker's process at its peak, above what it takes when idle."""
    interactive_seconds: float
    """From its publication to its image, for the slowest interactive request: a window of the quota, and a call. Bulk
    may have had the whole window when the first one comes; room is reserved for the next ones as soon as one was seen.
    """
    page_p50_ms: float
    page_p99_ms: float
    first_render_seconds: float
    """From exec to the first new call, with the backlog of the restart."""
    rate_share: float = 0.95
    """Of the quota, once the restarted worker renders."""


FULL = FloodPlan(backlog=10_000, rate=2_000, seconds=10, rpm=240)
QUICK = FloodPlan(backlog=1_000, rate=400, seconds=5, rpm=240)
EMULATOR = FloodPlan(backlog=2_000, rate=500, seconds=10, rpm=240)
RESTART_BACKLOG, RESTART_BACKLOG_QUICK = 20_000, 2_000
PROMISES = Promises(
    memory_bytes=150_000_000, interactive_seconds=62.0, page_p50_ms=250.0, page_p99_ms=2_000.0,
    first_render_seconds=30.0,
)  # fmt: skip
