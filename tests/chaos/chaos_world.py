"""The worker in memory whose processes really die: nothing that a dead one still does reaches a port, and what it had
begun at the provider goes on there and is billed."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine
from datetime import timedelta
from typing import TypeVar

from shared.core.provider.call import Answer, Order
from shared.core.provider.interaction import Begun
from shared.ports.lanes import AtSlot
from tests.chaos.faults import Faults
from tests.fakes.interactions import ScriptedInteractions
from tests.fakes.lane import ScriptedLane
from tests.fakes.virtual_clock import VirtualClock
from tests.world import World

T = TypeVar("T")


class FarLane(ScriptedLane):
    """At the provider a call goes on that its caller has forgotten."""

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        left = await at_slot()

        async def as_it_was() -> timedelta:
            return left

        return await _goes_on(super().generate(order, timeout, as_it_was))


class FarInteractions(ScriptedInteractions):
    async def start(self, order: Order, at_slot: AtSlot) -> Begun:
        left = await at_slot()

        async def as_it_was() -> timedelta:
            return left

        return await _goes_on(super().start(order, as_it_was))


async def _goes_on(call: Coroutine[None, None, T]) -> T:
    return await asyncio.shield(asyncio.ensure_future(call))


class ChaosWorld(World):
    def __init__(self, quota: str = "", seed: int = 1, latency: timedelta = timedelta(seconds=1)) -> None:
        clock = VirtualClock()
        self.faults = Faults(clock)
        super().__init__(quota, seed, latency, clock)
        self.guard = self.faults
        self.lane = FarLane(clock, latency)
        self.interactions = FarInteractions(self.lane)
        self.boot()

    def fellow(self) -> ChaosWorld:
        """Another machine on the same store, topics and provider, without faults."""
        other = copy.copy(self)
        other.faults = other.guard = Faults(self.clock)
        other.boots = self.boots + 1000
        other.boot()
        return other

    def boot(self) -> None:
        self.faults.begin_life()
        super().boot()
