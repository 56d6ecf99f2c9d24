"""kill -9 on a long backlog, and the next start: when it renders again, how fast, and what that takes."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from scripts.bench.floods import stage
from scripts.bench.floods.plan import FloodPlan, Promises
from scripts.bench.floods.watcher import Answers, Watcher, resident_bytes
from scripts.bench.harness import queued_requests, rig
from scripts.local.upstream import Upstream, until
from shared.core.values.documents import Query

MEASURED_FOR = 30.0
"""Seconds of renders after the first one."""
WITHIN = 180.0
LOOK_EVERY = 0.1
BEFORE_KILL = 20
"""Requests that have ended when the first process is killed."""


class RestartRun(Struct, frozen=True):
    backlog: int
    rpm: int
    ready_seconds: float
    """From exec until it prints its address."""
    first_render_seconds: float
    """From exec to the first call of a request that no earlier boot had begun."""
    starts_per_minute: float
    """In the time after that."""
    idle_bytes: int
    """Of a worker on an empty home."""
    peak_bytes: int
    lost: int
    answers: Mapping[str, Answers]

    def problems(self, promises: Promises) -> list[str]:
        problems = []
        if self.lost:
            problems.append(f"{self.lost} requests are not on record")
        if self.first_render_seconds > promises.first_render_seconds:
            problems.append(
                f"the first new call came after {self.first_render_seconds:.1f} s; promised: "
                f"{promises.first_render_seconds:.0f}"
            )
        if self.starts_per_minute < promises.rate_share * self.rpm:
            problems.append(f"{self.starts_per_minute:.0f} starts a minute of {self.rpm}; promised: 95 %")
        more = self.peak_bytes - self.idle_bytes
        if more > promises.memory_bytes:
            problems.append(f"memory grew by {more / 1e6:.0f} MB; promised: {promises.memory_bytes / 1e6:.0f} MB")
        return problems

    def to_json(self) -> dict[str, object]:
        return {
            "backlog": self.backlog,
            "ready_seconds": round(self.ready_seconds, 2),
            "first_render_seconds": round(self.first_render_seconds, 2),
            "starts_per_minute": round(self.starts_per_minute),
            "quota_rpm": self.rpm,
            "idle_mb": round(self.idle_bytes / 1e6, 1),
            "peak_mb": round(self.peak_bytes / 1e6, 1),
            "lost": self.lost,
            "pages": {name: answers.to_json() for name, answers in self.answers.items()},
        }


async def play(kind: rig.HomeKind, plan: FloodPlan, say: Callable[[str], None]) -> RestartRun:
    async with stage.built(kind, plan.rpm) as built:
        idle = await _killed_under_load(built.client, built.environment, plan, say)
        return await _started_again(built.client, built.environment, built.provider_url, plan, idle, say)


async def _killed_under_load(
    client: Upstream, environment: Mapping[str, str], plan: FloodPlan, say: Callable[[str], None]
) -> int:
    """What the worker takes on an empty home. The backlog is put on record as intake writes it."""
    popen = rig.begin([str(Path(sys.executable).parent / "renderlane"), "up", "--port", "0"], environment)
    try:
        rig.ready(popen)
        await asyncio.sleep(3)
        idle = resident_bytes(popen.pid)
        await queued_requests.write(client.store, plan.backlog, datetime.now(UTC))
        await client.publish([{"request_id": "wakes-the-pump", "prompt": "a lighthouse"}])
        say(f"{plan.backlog:,} are queued")
        await client.wait_for(BEFORE_KILL, WITHIN)
        say(f"{BEFORE_KILL} are rendered; kill -9")
        return idle
    finally:
        rig.kill(popen)


async def _started_again(
    client: Upstream,
    environment: Mapping[str, str],
    provider: str,
    plan: FloodPlan,
    idle: int,
    say: Callable[[str], None],
) -> RestartRun:
    before = rig.calls(provider)
    begun, number = {call["marker"] for call in before}, len(before)
    began, began_at = time.monotonic(), datetime.now(UTC)
    with rig.command("up", "--port", "0", environment=environment) as up:
        ready = time.monotonic() - began
        say(f"ready after {ready:.1f} s")
        pages = {"console overview": f"{up.url}/console/", "API status": f"{up.url}/v1/requests/q-1"}
        async with Watcher(up.popen.pid, pages) as watcher:
            first = await _first_new_call(provider, number, begun)
            say(f"the first new call after {(first - began_at).total_seconds():.1f} s")
            await asyncio.sleep(MEASURED_FOR)
        seconds = (datetime.now(UTC) - first).total_seconds()
        starts = sum(_received_at(call) >= first for call in rig.calls(provider, number))
        total = await client.store.count(Query("requests", limit=10**6))
    return RestartRun(
        plan.backlog, plan.rpm, ready, (first - began_at).total_seconds(), 60 * starts / seconds, idle,
        watcher.peak_bytes, plan.backlog + 1 - total, watcher.answers(),
    )  # fmt: skip


async def _first_new_call(provider: str, since: int, begun: set[str]) -> datetime:
    """When the provider received the first call of a request that no earlier boot had begun."""
    times: list[datetime] = []

    async def has_begun() -> bool:
        calls = await asyncio.to_thread(rig.calls, provider, since)
        times.extend(_received_at(call) for call in calls if call["marker"] not in begun)
        return bool(times)

    if not await until(has_begun, WITHIN, longest=LOOK_EVERY):
        raise TimeoutError(f"no new call within {WITHIN:.0f} s")
    return min(times)


def _received_at(call: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(call["received_at"])
