"""How long before its slot a worker has to record an attempt, learned from how long that recently took here."""

from __future__ import annotations

from collections import deque
from datetime import timedelta

from shared.ports.clock import Clock

LEAST_AHEAD, MOST_AHEAD = timedelta(milliseconds=200), timedelta(seconds=2)
REMEMBERED = 15.0
"""Seconds."""
CUSHION = 1.25


class ClaimTimes:
    """One per process: on a busy machine, or far from the store, a claim takes longer than the tolerance of a slot."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._durations: deque[tuple[float, float]] = deque(maxlen=50)
        """When a claim was done, and how long it took; seconds."""

    def took(self, seconds: float) -> None:
        self._durations.append((self._clock.monotonic(), seconds))

    @property
    def ahead(self) -> timedelta:
        """As long as the longest recent one, plus a margin."""
        since = self._clock.monotonic() - REMEMBERED
        longest = max((seconds for at, seconds in self._durations if at >= since), default=0.0)
        return min(max(timedelta(seconds=CUSHION * longest), LEAST_AHEAD), MOST_AHEAD)
