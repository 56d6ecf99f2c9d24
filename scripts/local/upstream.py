"""What an upstream app does: it publishes requests, waits until they have ended, and reads results and documents.

The one place of scripts and tests that does so beside a worker, over the topics and the store of its home. Three speak
for themselves, because that is their point: `./scripts/smoke` imports nothing of the product, the peers of
`bench/race` are other people's workers, and docs/examples show the clients.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.config import Settings
from shared.core.lifecycle import queries, request_record
from shared.core.messages.render_request import DEFAULT_TENANT
from shared.core.messages.request_key import id_of
from shared.core.messages.topics import RENDER_REQUESTS, RENDER_RESULTS, SUBSCRIPTIONS, Subscription
from shared.core.records.versioned import Request, request_in
from shared.core.values.documents import Document, Query
from shared.core.values.status import FINAL
from shared.ports.messaging import Topics, TopicsUnavailable
from shared.ports.store import Store
from shared.wiring import Messaging

AT_ONCE = 100
"""Publishes in flight."""
PAGE = 300
"""Documents looked up at once, and results pulled at once."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds between two looks: at first, and in the end."""
GROWTH = 1.25
RESULTS = Subscription("upstream", RENDER_RESULTS, "intake", timedelta(seconds=60), max_deliveries=0)
"""Pulled by the app that listens, never pushed."""


class Upstream:
    """An upstream app of one home."""

    def __init__(self, store: Store, topics: Messaging) -> None:
        self.store, self.topics = store, topics
        self._has_subscriptions = False
        self._ensuring = asyncio.Lock()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Upstream:
        """With connections of its own to the home that a worker with this environment has; `close` ends them."""
        os.environ.update(
            {name: environment[name] for name in environment if name.endswith("_EMULATOR_HOST")}
        )  # the Google clients read nothing else
        settings = Settings.read(environment, Path.cwd())
        return cls(wiring.store(settings, SystemClock()), wiring.topics(settings, SystemClock()))

    async def publish(self, requests: Sequence[Mapping[str, Any]]) -> list[str]:
        """The message ids. Raises TopicsUnavailable."""
        return await self.send([message(request) for request in requests])

    async def send(self, messages: Sequence[bytes]) -> list[str]:
        """As `publish`, of messages that may be anything."""
        async with self._ensuring:
            if not self._has_subscriptions:  # a message is kept for the subscriptions that are there
                await self.topics.ensure(SUBSCRIPTIONS)
                self._has_subscriptions = True
        return await publish(self.topics, messages)

    async def ended(self, most: int) -> dict[str, int]:
        """How many requests stand in each final status; beyond `most` they are not counted."""
        counts = await asyncio.gather(
            *(self.store.count(Query("requests", equal=(("status", status),), limit=most + 1)) for status in FINAL)
        )
        return {status: count for status, count in zip(FINAL, counts, strict=True) if count}

    async def wait_for(
        self,
        expected: int,
        within: float,
        on_progress: Callable[[int], None] = lambda _count: None,
        longest: float = 0.25,
    ) -> dict[str, int]:
        """Until so many requests have ended, with at most `longest` seconds between two looks. TimeoutError after
        `within` seconds.
        """
        ended: dict[str, int] = {}

        async def are_over() -> bool:
            nonlocal ended
            ended = await self.ended(expected)
            on_progress(sum(ended.values()))
            return sum(ended.values()) >= expected

        if not await until(are_over, within, longest=longest):
            raise TimeoutError(f"{sum(ended.values())} of {expected} ended in {within:.0f} s: {ended}")
        return ended

    async def requests(self, tenants: Mapping[str, str], within: float) -> dict[str, Request]:
        """By id, the requests as of their ends or, after `within` seconds, as they are then; one that is not on record
        is left out. `tenants` has the tenant of each id.
        """
        requests: dict[str, Request] = {}
        unfinished = list(tenants)

        async def are_over() -> bool:
            nonlocal unfinished
            for start in range(0, len(unfinished), PAGE):
                page = unfinished[start : start + PAGE]
                read = await self.store.get_all([request_record.path_of(tenants[name], name) for name in page])
                requests.update(
                    {id_of(document.id): request_in(document) for document in read if isinstance(document, Document)}
                )
            unfinished = [name for name in unfinished if name not in requests or not requests[name].record.is_final]
            return not unfinished

        await until(are_over, within, longest=0.25)
        return requests

    async def request(self, request_id: str, within: float, tenant: str = DEFAULT_TENANT) -> Request:
        """At its end. TimeoutError where it has not ended after `within` seconds."""
        request = (await self.requests({request_id: tenant}, within)).get(request_id)
        if request is None or not request.record.is_final:
            status = request.record.status if request is not None else "not on record"
            raise TimeoutError(f"{request_id} is {status} after {within:.0f} s")
        return request

    async def documents(self, limit: int) -> list[dict[str, Any]]:
        """The newest requests as they are stored, each with its `id`."""
        return [
            dict(document.data) | {"id": document.id}
            for document in await self.store.query(queries.newest(None, limit))
        ]

    async def listen(self) -> None:
        """Have results kept for `results`, from here on."""
        await self.topics.ensure([*SUBSCRIPTIONS, RESULTS])

    async def results(self, wait: timedelta = timedelta(0)) -> list[dict[str, Any]]:
        """The result events since the last call, each with `published_at`. `wait`: for each page, at most."""
        events: list[dict[str, Any]] = []
        while deliveries := await self.topics.pull(RESULTS.name, PAGE, wait):
            events += [json.loads(one.data) | {"published_at": one.published_at} for one in deliveries]
            await self.topics.acknowledge(RESULTS.name, [one.handle for one in deliveries])
        return events

    async def close(self) -> None:
        await self.topics.close()
        await self.store.close()


def message(request: Mapping[str, Any]) -> bytes:
    """A request as it is published."""
    return json.dumps(request).encode()


async def publish(
    topics: Topics, messages: Sequence[bytes], report: Callable[[int], None] = lambda _count: None
) -> list[str]:
    """Publish in order, AT_ONCE at a time; returns the message ids. `report` gets how many more have left.

    Raises TopicsUnavailable with how many had been published, and ValueError for a message that no topic takes.
    """
    ids: list[str] = []
    for start in range(0, len(messages), AT_ONCE):
        page = messages[start : start + AT_ONCE]
        publishes = (topics.publish(RENDER_REQUESTS, data) for data in page)
        results = await asyncio.gather(*publishes, return_exceptions=True)
        ids += [result for result in results if isinstance(result, str)]
        for result in results:
            if isinstance(result, TopicsUnavailable):
                raise TopicsUnavailable(f"{result} ({len(ids)} of {len(messages)} messages were published)") from result
            if isinstance(result, BaseException):
                raise result
        report(len(page))
    return ids


async def until(
    is_so: Callable[[], Awaitable[bool]],
    within: float | None,
    *,
    pause: float = FIRST_PAUSE,
    longest: float = LONGEST_PAUSE,
) -> bool:
    """Look again and again until it is so, or `within` seconds have passed: False. The last look is after that."""
    give_up_at = None if within is None else time.monotonic() + within
    while True:
        is_late = give_up_at is not None and time.monotonic() >= give_up_at
        if await is_so():
            return True
        if is_late:
            return False
        left = longest if give_up_at is None else max(0.0, give_up_at - time.monotonic())
        await asyncio.sleep(min(pause, longest, left))
        pause = min(GROWTH * pause, longest)


async def paced(offsets: Iterable[float]) -> AsyncIterator[int]:
    """The number of each offset, from 0, when so many seconds have passed since the first step."""
    began = time.monotonic()
    for number, offset in enumerate(offsets):
        await asyncio.sleep(max(0.0, began + offset - time.monotonic()))
        yield number
