"""Hands messages to the functions as HTTP requests in the push envelope, as Pub/Sub's push would, without sockets."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta

from starlette.types import ASGIApp

from scripts.local.door import SECRET
from scripts.local.in_process import post
from shared.core.messages.topics import SUBSCRIPTIONS, Subscription
from shared.ports.messaging import Delivery, Subscriptions, TopicsUnavailable

ACKNOWLEDGING = (102, 200, 201, 202, 204)
"""The answers that Pub/Sub takes as an acknowledgement."""
PULL_WAIT = timedelta(seconds=5)
TAKEN_IN_AT_ONCE = 32
"""New requests. Here they share a processor with calls in flight, and a backlog of them must not slow those down."""
PAUSE_AFTER_TROUBLE = 1.0
"""Seconds before pulling again if the topics could not be reached."""


class Courier:
    """One puller for each subscription; a delivery is in flight until its function has answered."""

    def __init__(
        self, subscriptions: Subscriptions, functions: ASGIApp, in_flight: int, project: str, secret: str = ""
    ) -> None:
        """`functions` has them at `/functions/NAME`; `in_flight` limits the deliveries of one subscription. `secret` is
        accepted by the functions' door."""
        self._headers = {"content-type": "application/json", SECRET: secret}
        self._subscriptions = subscriptions
        self._project = project
        self._in_flight = in_flight
        self._functions = functions
        self._pullers: list[asyncio.Task[None]] = []
        self._deliveries: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._subscriptions.ensure(SUBSCRIPTIONS)
        self._pullers = [asyncio.create_task(self._pull(subscription)) for subscription in SUBSCRIPTIONS]

    async def stop(self, patience: timedelta) -> int:
        """Pull no more, wait for what is in flight. Returns how many deliveries were abandoned (they are
        redelivered)."""
        for puller in self._pullers:
            puller.cancel()
        await asyncio.gather(*self._pullers, return_exceptions=True)
        abandoned: set[asyncio.Task[None]] = set()
        if self._deliveries:
            _, abandoned = await asyncio.wait(self._deliveries, timeout=patience.total_seconds())
        for delivery in abandoned:
            delivery.cancel()
        await asyncio.gather(*abandoned, return_exceptions=True)
        return len(abandoned)

    @property
    def deliveries(self) -> int:
        """In flight now."""
        return len(self._deliveries)

    async def _pull(self, subscription: Subscription) -> None:
        most = min(TAKEN_IN_AT_ONCE, self._in_flight) if subscription.function == "intake" else self._in_flight
        free = asyncio.Semaphore(most)
        while True:
            await free.acquire()
            spare = 1
            while spare < 100 and not free.locked():
                await free.acquire()
                spare += 1
            try:
                pulled = await self._subscriptions.pull(subscription.name, spare, PULL_WAIT)
            except TopicsUnavailable:
                await asyncio.sleep(PAUSE_AFTER_TROUBLE)
                pulled = []
            for _ in range(spare - len(pulled)):
                free.release()
            for delivery in pulled:
                task = asyncio.create_task(self._deliver(subscription, delivery, free))
                self._deliveries.add(task)
                task.add_done_callback(self._deliveries.discard)

    async def _deliver(self, subscription: Subscription, delivery: Delivery, free: asyncio.Semaphore) -> None:
        """Post one delivery; acknowledge or reject it by the answer. The ack deadline is the request's time limit."""
        try:
            body = envelope(delivery, subscription.name, self._project)
            path = f"/functions/{subscription.function}"
            status = await post(self._functions, path, body, self._headers, subscription.ack_deadline)
            accepted = status in ACKNOWLEDGING
        except Exception:  # noqa: BLE001  the framework has answered it with 500, and raises it once more
            accepted = False
        finally:
            free.release()
        try:
            if accepted:
                await self._subscriptions.acknowledge(subscription.name, [delivery.handle])
            else:
                await self._subscriptions.reject(subscription.name, [delivery.handle])
        except TopicsUnavailable:
            pass  # unacknowledged, it comes again, and its flow finds the first one's trace


def envelope(delivery: Delivery, subscription: str, project: str) -> bytes:
    """The body of a wrapped push (Pub/Sub documentation, 'Receive push messages')."""
    body: dict[str, object] = {
        "message": {
            "data": base64.b64encode(delivery.data).decode(),
            "attributes": dict(delivery.attributes),
            "messageId": delivery.message_id,
            "message_id": delivery.message_id,
            "publishTime": delivery.published_at.isoformat(),
        },
        "subscription": f"projects/{project}/subscriptions/{subscription}",
    }
    if delivery.number:
        body["deliveryAttempt"] = delivery.number
    return json.dumps(body).encode()
