"""What a usual strategy asks before each call: a bucket of its instance, or a counter document of the minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from scripts.virtual_time.models.fleet_model import PushedDelivery
from scripts.virtual_time.run import World

MINUTE = 60.0
UNLIMITED_PER_MINUTE = 1_000_000

Gate: TypeAlias = Callable[[PushedDelivery, Callable[[], None]], None]
"""Calls back, once, when the delivery may make its call."""


def open_gate(world: World) -> Gate:
    return lambda delivery, go: go()


class InstanceBucket:
    """Each instance takes its static share, limit / most instances, from a token bucket one minute deep.

    That depth is what limiter libraries give who asks them for "so many in 60 seconds".
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._free_at: dict[tuple[int, str], float] = {}
        """When the bucket of an instance and model will be full again."""

    def __call__(self, delivery: PushedDelivery, go: Callable[[], None]) -> None:
        model = delivery.request.arrival.model
        share = _per_minute(self._world, model) / self._world.fleet.size.most_instances
        now = self._world.engine.now
        full_at = max(self._free_at.get((delivery.instance, model), now), now) + MINUTE / share
        self._free_at[delivery.instance, model] = full_at
        delivery.after(max(0.0, full_at - now - max(MINUTE, MINUTE / share)), go)


class CounterDocument:
    """One document counts the calls of each clock minute: a caller that finds it full waits for the next minute's."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._counts: Counter[str] = Counter()

    def __call__(self, delivery: PushedDelivery, go: Callable[[], None]) -> None:
        model = delivery.request.arrival.model
        wall = self._world.engine.wall().timestamp()
        path = f"counters/{model}-{int(wall // MINUTE)}"
        limit = _per_minute(self._world, model)

        def count() -> bool:
            if self._counts[path] >= limit:
                return False
            self._counts[path] += 1
            return True

        def counted(granted: bool) -> None:
            if granted:
                delivery.if_alive(go)
            else:
                passed = self._world.engine.wall().timestamp() % MINUTE
                delivery.after(MINUTE - passed + self._world.chance.random(), partial(self, delivery, go))

        self._world.documents.transact(path, count, counted)


def _per_minute(world: World, model: str) -> int:
    """The limit as it was known at the start: neither of them learns."""
    limit = world.limits[model].rpm
    return UNLIMITED_PER_MINUTE if limit is None else limit
