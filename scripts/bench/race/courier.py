"""A push subscription: each message is posted to a function until it answers 2xx or has been delivered too often."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

from msgspec import Struct

SETTINGS = (
    "push subscription with retries after 1 to 60 s, a dead letter after 10 deliveries, "
    "and no limit to deliveries under way"
)
Post = Callable[[bytes], Awaitable[bool]]
"""One delivery; whether it was acknowledged."""
Sleep = Callable[[float], Awaitable[None]]


class RetryPolicy(Struct, frozen=True):
    """As a subscription has it."""

    least: timedelta = timedelta(seconds=1)
    most: timedelta = timedelta(seconds=60)
    deliveries: int = 10

    def pause(self, delivery: int) -> float:
        """Seconds after the delivery of this number, from 1."""
        return min(self.most.total_seconds(), self.least.total_seconds() * 2.0 ** (delivery - 1))


class PushSubscription:
    def __init__(self, post: Post, policy: RetryPolicy, sleep: Sleep = asyncio.sleep) -> None:
        self._post, self._policy, self._sleep = post, policy, sleep
        self._deliveries: set[asyncio.Task[None]] = set()
        self.acknowledged: set[str] = set()
        self.dead_letters: set[str] = set()

    def publish(self, message_id: str, data: bytes) -> asyncio.Task[None]:
        """Returns at once; the task ends with the last delivery."""
        task = asyncio.create_task(self._deliver(message_id, data))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)
        return task

    async def _deliver(self, message_id: str, data: bytes) -> None:
        for delivery in range(1, self._policy.deliveries + 1):
            if await self._post(data):
                self.acknowledged.add(message_id)
                return
            if delivery < self._policy.deliveries:
                await self._sleep(self._policy.pause(delivery))
        self.dead_letters.add(message_id)

    async def close(self) -> None:
        for task in self._deliveries:
            task.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)


def envelope(data: bytes) -> dict[str, object]:
    """As Pub/Sub pushes a message."""
    return {"message": {"data": base64.b64encode(data).decode()}, "subscription": "projects/race/subscriptions/render"}


async def post(port: int, data: bytes) -> bool:
    """Plain HTTP on a connection of its own: hundreds of them must not keep the bench busy."""
    body = json.dumps(envelope(data)).encode()
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(head.encode() + body)
            await writer.drain()
            status = (await reader.readline()).split()
        finally:
            writer.close()
    except OSError:
        return False
    return len(status) > 1 and status[1].startswith(b"2")
