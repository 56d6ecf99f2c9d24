"""What a worker's process takes, and how long its pages need, while something else goes on."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping

import httpx2
import psutil
from msgspec import Struct

from scripts.bench.harness.percentile import percentile

LOOK_EVERY = 0.25
PATIENCE = 30.0
"""Seconds for a page. What takes longer counts as that long, and as unanswered."""


class Answers(Struct, frozen=True):
    """Of one page, while it was asked again and again."""

    count: int
    p50_ms: float
    p99_ms: float
    unanswered: int

    @classmethod
    def of(cls, milliseconds: list[float], unanswered: int) -> Answers:
        times = milliseconds or [0.0]
        return cls(
            len(milliseconds), percentile(times, 0.5), percentile(times, 0.99),
            unanswered,
        )  # fmt: skip

    def to_json(self) -> dict[str, float]:
        return {
            "asked": self.count, "p50_ms": round(self.p50_ms, 1), "p99_ms": round(self.p99_ms, 1),
            "unanswered": self.unanswered,
        }  # fmt: skip


def resident_bytes(process: int) -> int:
    """Of the process alone, now."""
    return int(psutil.Process(process).memory_info().rss)


class Watcher:
    """Asks for each page, one after the other, until `stop`. Each page is asked by a task of its own."""

    def __init__(self, process: int, pages: Mapping[str, str]) -> None:
        """`pages`: address by name."""
        self._process = process
        self._pages = pages
        self._times: dict[str, list[float]] = defaultdict(list)
        self._unanswered: dict[str, int] = defaultdict(int)
        self._tasks: list[asyncio.Task[None]] = []
        self.peak_bytes = 0

    async def __aenter__(self) -> Watcher:
        self._client = httpx2.AsyncClient(timeout=PATIENCE, trust_env=False)
        self._tasks = [asyncio.create_task(self._ask(name, address)) for name, address in self._pages.items()]
        self._tasks.append(asyncio.create_task(self._weigh()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def answers(self) -> dict[str, Answers]:
        return {name: Answers.of(self._times[name], self._unanswered[name]) for name in self._pages}

    async def _ask(self, name: str, address: str) -> None:
        while True:
            began = time.perf_counter()
            try:
                answer = await self._client.get(address)
                answered = answer.status_code == 200
            except httpx2.HTTPError:
                answered = False
            self._times[name].append((time.perf_counter() - began) * 1_000)
            self._unanswered[name] += not answered
            await asyncio.sleep(LOOK_EVERY)

    async def _weigh(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, resident_bytes(self._process))
            await asyncio.sleep(LOOK_EVERY)
