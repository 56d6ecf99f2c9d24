"""A provider that says its limits as a test tells it, nothing at first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.core.limits.live_quota import LiveLimits, UsageByModel
from shared.ports.clock import Clock
from shared.ports.quota import NotAsked, QuotaUnreadable


@dataclass
class ScriptedLiveQuota:
    clock: Clock
    answer: Mapping[str, Mapping[str, int | None]] | NotAsked | QuotaUnreadable = field(default_factory=NotAsked)
    """By model and dimension."""
    used: UsageByModel | NotAsked | QuotaUnreadable = field(default_factory=NotAsked)
    readings: int = 0

    async def limits(self) -> Mapping[str, LiveLimits] | NotAsked:
        await asyncio.sleep(0)
        self.readings += 1
        match self.answer:
            case QuotaUnreadable() as error:
                raise error
            case NotAsked() as nobody:
                return nobody
            case by_model:
                return {model: LiveLimits(dims, self.clock.now()) for model, dims in by_model.items()}

    async def usage(self) -> UsageByModel | NotAsked:
        await asyncio.sleep(0)
        if isinstance(self.used, QuotaUnreadable):
            raise self.used
        return self.used
