"""Which function publishes where, as seen in virtual time: requests made, refused, cancelled, overdue, crashed."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from datetime import timedelta
from functools import cache
from typing import Any

from shared.core.messages.topics import Subscription
from shared.core.provider.failure import FailureKind
from shared.core.webhooks.signature import SECRET_BYTES, secret_of
from shared.flows.webhooks import endpoints
from shared.ports.messaging import Delivery
from shared.ports.webhooks import Answer
from tests.world import World

HOOK = "https://shop.example/hook"
_acting: ContextVar[str] = ContextVar("acting")


@cache
def published_by() -> frozenset[tuple[str, str]]:
    """Pairs of a function and a topic."""
    world = _Watched(quota="*=rpm:60")
    asyncio.run(_rehearse(world))
    return frozenset(world.published)


class _Watched(World):
    def __init__(self, quota: str) -> None:
        super().__init__(quota)
        self.published: set[tuple[str, str]] = set()
        self.guard = lambda port, name: _Noting(port, self.published) if name == "topics" else port
        self.boot()

    async def _deliver(self, subscription: Subscription, delivery: Delivery) -> None:
        _acting.set(subscription.function)
        await super()._deliver(subscription, delivery)

    async def _watch(self) -> None:
        _acting.set("watch")
        await super()._watch()


class _Noting:
    def __init__(self, topics: Any, published: set[tuple[str, str]]) -> None:
        self._topics, self._published = topics, published

    def __getattr__(self, name: str) -> Any:
        return getattr(self._topics, name)

    async def publish(self, topic: str, *rest: Any) -> Any:
        if function := _acting.get(None):
            self._published.add((function, topic))
        return await self._topics.publish(topic, *rest)


async def _rehearse(world: World) -> None:
    soon = (world.clock.now() + timedelta(seconds=90)).isoformat()
    world.lane.then(FailureKind.REFUSED, FailureKind.TIMEOUT, FailureKind.OVERLOAD)
    await endpoints.add(
        world.store, world.webhooks, "default", HOOK, (), fresh_id="we_1", secret=secret_of(b"s" * SECRET_BYTES)
    )
    world.webhooks.replies[HOOK] = lambda number: Answer(500 if number < 9 else 204)
    for number in range(70):
        await world.submit(f"r-{number}")
    await world.submit("overdue", deadline=soon, priority="bulk")
    await world.publish(b'{"request_id": "wrong"}')
    await world.publish({"cancel": "r-69"})
    await world.submit("r-69")
    await world.run_for(timedelta(minutes=4))
    await world.submit("r-0")
    await world.run_for(timedelta(minutes=1))
