"""On what terms one model is served over a rehearsal: limits that change, hidden capacity, overload, latency."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from scripts.simulator.provider.quota_windows import WindowKind
from scripts.virtual_time.models.latency import PICTURES, BoundedLatency
from shared.core.limits.quota import Limits

SHARED_DEPTH = 10.0
"""Seconds of its rate that shared capacity lets through at once."""
OVERLOAD_DEPTH = 1.0


class LimitsFrom(Struct, frozen=True):
    """Limits that hold from an instant on."""

    at: float
    limits: Limits


class Narrow(Struct, frozen=True):
    """While it lasts the model serves an even rate and no more."""

    begins: float
    ends: float
    per_minute: float


class ProviderTerms(Struct, frozen=True):
    """Times in seconds since the start of the rehearsal."""

    limits: Sequence[LimitsFrom]
    """By time; the first holds from 0."""
    window: WindowKind = "sliding"
    shared: Sequence[Narrow] = ()
    """Capacity shared with others: what is beyond it is rejected without details and takes no quota."""
    overloads: Sequence[Narrow] = ()
    """503 for what is beyond; it has taken quota too."""
    latency: BoundedLatency = PICTURES

    @classmethod
    def fixed(cls, limits: Limits, window: WindowKind = "sliding") -> ProviderTerms:
        """Limits that never change."""
        return cls((LimitsFrom(0.0, limits),), window)

    def limits_at(self, seconds: float) -> Limits:
        limits = self.limits[0].limits
        for limit in self.limits:
            if limit.at <= seconds:
                limits = limit.limits
        return limits


class Throttle:
    """Lets an even rate through, and at once what `depth` seconds of quiet have saved up."""

    def __init__(self, depth: float) -> None:
        self._depth = depth
        self._free_at = 0.0

    def passes(self, now: float, per_minute: float) -> bool:
        free_at = max(self._free_at, now - self._depth)
        if free_at > now:
            return False
        self._free_at = free_at + 60.0 / per_minute
        return True
