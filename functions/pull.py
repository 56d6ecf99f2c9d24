"""A function that takes its messages by pull, for a Cloud Run worker pool: `python -m functions.pull render`.

Pull has no push window that grows by one for each acknowledgement, no back-off of the whole subscription, and no 429
while instances start: the right choice where a delivery is held for a whole call (docs/deployment/deliveries.md).
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeAlias

from functions import push
from functions.drain import GRACE_SECONDS
from functions.unacknowledged import UnacknowledgedDelivery, deferred
from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.config import InvalidSetting
from shared.core.catalogue.toml_errors import BrokenCatalogue
from shared.core.messages.topics import SUBSCRIPTIONS, Subscription
from shared.flows.requests.message import Message
from shared.ports.messaging import Delivery as Pulled
from shared.ports.messaging import Subscriptions, TopicsUnavailable
from shared.wiring import Worker

Flow: TypeAlias = Callable[[Worker, Message], Awaitable[None]]

PULL_WAIT = timedelta(seconds=5)
MOST_A_PULL = 100
PAUSE_SECONDS = 1.0
"""Before pulling again if Pub/Sub could not be reached."""
TELL_EVERY = 60.0
"""Seconds between two log lines about that."""


class Puller:
    """Takes at most `at_once` deliveries of one subscription, and acknowledges each when its next step is on record."""

    def __init__(
        self, worker: Worker, subscriptions: Subscriptions, subscription: Subscription, flow: Flow, at_once: int
    ) -> None:
        self._worker = worker
        self._subscriptions = subscriptions
        self._subscription = subscription
        self._flow = flow
        self._at_once = at_once
        self._deliveries: set[asyncio.Task[None]] = set()
        self._told_at = float("-inf")

    async def run(self, end: asyncio.Event) -> None:
        """Until `end` is set; then deliveries in progress have GRACE_SECONDS, and the rest is redelivered."""
        ending = asyncio.ensure_future(end.wait())
        while not end.is_set():
            room = self._at_once - len(self._deliveries)
            if room == 0:
                await asyncio.wait({ending, *self._deliveries}, return_when=asyncio.FIRST_COMPLETED)
                continue
            pulling = asyncio.ensure_future(self._pull(min(room, MOST_A_PULL)))
            await asyncio.wait({ending, pulling}, return_when=asyncio.FIRST_COMPLETED)
            if not pulling.done():
                pulling.cancel()  # the adapter gives back what it brings after this
                await asyncio.wait({pulling})
            if not pulling.cancelled():
                self._begin(pulling.result())
        ending.cancel()
        await self._drain()

    def _begin(self, pulled: list[Pulled]) -> None:
        for delivery in pulled:
            task = asyncio.create_task(self._deliver(delivery))
            self._deliveries.add(task)
            task.add_done_callback(self._deliveries.discard)

    async def _drain(self) -> None:
        self._worker.leave()
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=GRACE_SECONDS)
        self._worker.flights.cut_off()
        await asyncio.gather(*self._deliveries, return_exceptions=True)

    async def _pull(self, limit: int) -> list[Pulled]:
        try:
            return await self._subscriptions.pull(self._subscription.name, limit, PULL_WAIT)
        except TopicsUnavailable as error:
            self._tell(error)
            await asyncio.sleep(PAUSE_SECONDS)
            return []

    def _tell(self, error: TopicsUnavailable) -> None:
        now = self._worker.ports.clock.monotonic()
        if now - self._told_at >= TELL_EVERY:
            self._told_at = now
            unread = UnacknowledgedDelivery(self._subscription.function)
            deferred(self._worker.ports.signals, unread, push.DELIVER_AGAIN, f"nothing can be pulled: {error}")

    async def _deliver(self, pulled: Pulled) -> None:
        """One delivery; acknowledged or rejected by how its flow ends. The ack deadline is longer than any flow."""
        name = self._subscription.name
        message = Message(
            pulled.message_id, pulled.data, pulled.attributes, name, pulled.published_at, pulled.number or None
        )
        answer = await push.settled(
            self._worker, UnacknowledgedDelivery(self._subscription.function), message, self._flow
        )
        acknowledged = answer.status_code == push.ACKNOWLEDGED
        finish = self._subscriptions.acknowledge if acknowledged else self._subscriptions.reject
        try:
            await finish(name, [pulled.handle])
        except TopicsUnavailable:
            pass  # it comes again after the ack deadline, and its flow finds the first one's trace


async def render(worker: Worker, message: Message) -> None:
    from shared.flows.render import render as story

    await story.render(worker.ports, worker.kicks, worker.evidence, message)


FLOWS: dict[str, Flow] = {"render": render}


async def serve(function: str) -> None:
    """Pull for a function until SIGTERM or SIGINT. Raises InvalidSetting or BrokenCatalogue."""
    settings = wiring.environment()
    messaging = wiring.topics(settings, SystemClock())
    worker = Worker.of(wiring.build(settings, sys.stderr, messaging))
    subscription = next(one for one in SUBSCRIPTIONS if one.function == function)
    end, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    try:
        await Puller(worker, messaging, subscription, FLOWS[function], settings.deliveries).run(end)
    finally:
        await worker.close()


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in FLOWS:
        print(f"found {' '.join(arguments) or 'nothing'}; allowed: {', '.join(FLOWS)}", file=sys.stderr)
        return 2
    try:
        asyncio.run(serve(arguments[0]))
    except (InvalidSetting, BrokenCatalogue) as error:
        deferred(wiring.bare_signals(), UnacknowledgedDelivery(arguments[0]), push.CRASHED, str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
