"""Publishes at a rate, as upstream apps do, from a process of its own: the worker's processor is not its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection

from msgspec import Struct

from scripts.bench.harness import queued_requests
from scripts.local.upstream import Upstream, message

STEP = 0.05
"""Seconds."""


class Published(Struct, frozen=True):
    count: int
    """Acknowledged by the topic."""
    seconds: float

    @property
    def rate(self) -> float:
        return self.count / max(1e-9, self.seconds)


def request(name: str, priority: str) -> bytes:
    return message({"request_id": name, "prompt": f"{queued_requests.PROMPT}{name}", "priority": priority})


def begin(environment: Mapping[str, str], prefix: str, rate: int, seconds: float) -> Connection:
    """In a process of its own; what was published comes by the connection when it has ended."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    multiprocessing.get_context("spawn").Process(
        target=_publish, args=(dict(environment), prefix, rate, seconds, theirs), daemon=True
    ).start()
    return ours


def _publish(environment: dict[str, str], prefix: str, rate: int, seconds: float, pipe: Connection) -> None:
    pipe.send(asyncio.run(_at_rate(environment, prefix, rate, seconds)))


async def _at_rate(environment: Mapping[str, str], prefix: str, rate: int, seconds: float) -> Published:
    """`rate * seconds` messages, evenly; where the topic is slower, they take longer. Priorities as in life."""
    client = Upstream.of(environment)
    began, sent, total = time.monotonic(), 0, round(rate * seconds)
    under_way: set[asyncio.Task[list[str]]] = set()
    try:
        while sent < total:
            due = min(total, round((time.monotonic() - began + STEP) * rate))
            for number in range(sent, due):
                priority = "bulk" if number % 3 else "normal"
                data = request(f"{prefix}-{number:06}", priority)
                under_way.add(asyncio.create_task(client.send([data])))
            sent = max(sent, due)
            done = {task for task in under_way if task.done()}
            for task in done:
                task.result()
            under_way -= done
            await asyncio.sleep(STEP)
        for task in under_way:
            await task
        return Published(total, time.monotonic() - began)
    finally:
        await client.close()
