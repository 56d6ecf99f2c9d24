"""A backlog, and then far more messages a second than are rendered: what the worker takes, answers and keeps.

The backlog is in the store as intake leaves it; the flood comes through the topic.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from multiprocessing.connection import Connection

import httpx2
from msgspec import Struct

from scripts.bench.floods import stage
from scripts.bench.floods.plan import FloodPlan, Promises
from scripts.bench.floods.publisher import Published, begin
from scripts.bench.floods.watcher import Answers, Watcher, resident_bytes
from scripts.bench.harness import queued_requests, rig
from scripts.bench.harness.percentile import percentile
from scripts.local.upstream import Upstream, until
from shared.core.lifecycle import request_record
from shared.core.records.versioned import request_in
from shared.core.values.documents import Absent, Query

IDLE_FOR = 5.0
LOOK_EVERY = 1.0
WITHIN = 900.0
PAGE = 400


class FloodRun(Struct, frozen=True):
    plan: FloodPlan
    idle_bytes: int
    peak_bytes: int
    flood: Published
    taken_in_seconds: float
    """From the beginning of the flood until every message of it is on record."""
    missing: int
    """Acknowledged messages of which the store knows nothing."""
    interactive: list[float]
    """Seconds from the call of the API to the image, of each that has ended; oldest first."""
    unserved: int
    answers: Mapping[str, Answers]
    rendered: int

    def problems(self, promises: Promises) -> list[str]:
        problems = []
        if self.missing:
            problems.append(f"{self.missing} acknowledged messages are not on record")
        if self.unserved:
            problems.append(f"{self.unserved} interactive requests have no image")
        if self.interactive and max(self.interactive) > promises.interactive_seconds:
            problems.append(
                f"an interactive request waited {max(self.interactive):.1f} s; promised: "
                f"{promises.interactive_seconds:.0f} s"
            )
        more = self.peak_bytes - self.idle_bytes
        if more > promises.memory_bytes:
            problems.append(
                f"memory grew by {more / 1e6:.0f} MB; promised: {promises.memory_bytes / 1e6:.0f} MB above idle"
            )
        for name, answers in self.answers.items():
            if answers.unanswered:
                problems.append(f"{name}: {answers.unanswered} of {answers.count} calls were not answered")
            if answers.p50_ms > promises.page_p50_ms or answers.p99_ms > promises.page_p99_ms:
                problems.append(
                    f"{name}: p50 {answers.p50_ms:.0f} ms, p99 {answers.p99_ms:.0f} ms; promised: "
                    f"{promises.page_p50_ms:.0f} and {promises.page_p99_ms:.0f}"
                )
        return problems

    def to_json(self) -> dict[str, object]:
        ordered = sorted(self.interactive)
        return {
            "backlog": self.plan.backlog,
            "flood_messages": self.flood.count,
            "flood_wanted_per_second": self.plan.rate,
            "flood_reached_per_second": round(self.flood.rate),
            "taken_in_seconds": round(self.taken_in_seconds, 1),
            "taken_in_per_second": round(self.flood.count / max(self.taken_in_seconds, 1e-9)),
            "missing": self.missing,
            "idle_mb": round(self.idle_bytes / 1e6, 1),
            "peak_mb": round(self.peak_bytes / 1e6, 1),
            "interactive": len(ordered),
            "interactive_unserved": self.unserved,
            "interactive_p50_s": round(percentile(ordered, 0.5), 2) if ordered else None,
            "interactive_max_s": round(ordered[-1], 2) if ordered else None,
            "rendered": self.rendered,
            "pages": {name: answers.to_json() for name, answers in self.answers.items()},
        }


async def play(kind: rig.HomeKind, plan: FloodPlan, say: Callable[[str], None]) -> FloodRun:
    async with stage.built(kind, plan.rpm) as built:
        with rig.command("up", "--port", "0", environment=built.environment) as up:
            return await _flooded(built.client, built.environment, up, plan, say)


async def _flooded(
    client: Upstream, environment: Mapping[str, str], up: rig.Process, plan: FloodPlan, say: Callable[[str], None]
) -> FloodRun:
    await client.publish([{"request_id": "first", "prompt": "a picture of the idle worker"}])
    await client.wait_for(1, 60)
    pages = {"console overview": f"{up.url}/console/", "API status": f"{up.url}/v1/requests/first"}
    async with Watcher(up.popen.pid, pages):
        await asyncio.sleep(IDLE_FOR)  # templates are compiled, the store's pages are read
    idle = resident_bytes(up.popen.pid)
    say(f"idle: {idle / 1e6:.0f} MB; {plan.backlog:,} requests are queued")
    await queued_requests.write(client.store, plan.backlog, datetime.now(UTC))
    say(f"the flood: {plan.rate:,} a second for {plan.seconds} s")
    began = time.monotonic()
    async with Watcher(up.popen.pid, pages) as watcher:
        calling = asyncio.create_task(_interactive(up.url, plan.interactive_every))
        flood = await _result(begin(environment, "flood", plan.rate, plan.seconds))
        say(f"{flood.count:,} published at {flood.rate:,.0f} a second")
        await _taken_in(client, 1 + plan.backlog + flood.count, say)
        taken_in = time.monotonic() - began
        calling.cancel()
        sent = await calling
        await _ended(client, sent)
    names = [f"q-{n}" for n in range(plan.backlog)] + [f"flood-{n:06}" for n in range(flood.count)]
    waits, unserved = await _waits(client, sent)
    return FloodRun(
        plan, idle, watcher.peak_bytes, flood, taken_in, await _missing(client, [*names, *sent]), waits,
        unserved, watcher.answers(), (await client.ended(10**6)).get("succeeded", 0),
    )  # fmt: skip


async def _result(pipe: Connection) -> Published:
    published: Published = await asyncio.to_thread(pipe.recv)
    return published


async def _taken_in(client: Upstream, expected: int, say: Callable[[str], None]) -> None:
    last_line_at = time.monotonic()

    async def are_on_record() -> bool:
        nonlocal last_line_at
        count = await client.store.count(Query("requests", limit=expected))
        if count < expected and time.monotonic() - last_line_at >= 10:
            last_line_at = time.monotonic()
            say(f"{count:,} of {expected:,} are on record")
        return count >= expected

    await until(are_on_record, WITHIN, pause=LOOK_EVERY)  # what is missing in the end is counted by name


async def _interactive(url: str, every: float) -> dict[str, datetime]:
    """One interactive request after the other by the API, until cancelled: when each was sent, by id."""
    sent: dict[str, datetime] = {}
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as http:
        try:
            while True:
                name, now = f"person-{len(sent):05}", datetime.now().astimezone()
                body = {"request_id": name, "prompt": f"for {name}", "priority": "interactive"}
                answer = await http.post(f"{url}/v1/requests", json=body)
                if answer.is_success:
                    sent[name] = now
                await asyncio.sleep(every)
        except asyncio.CancelledError:
            return sent


async def _ended(client: Upstream, sent: Mapping[str, datetime], within: float = 120) -> None:

    async def are_served() -> bool:
        _, unserved = await _waits(client, sent)
        return not unserved

    await until(are_served, within, pause=LOOK_EVERY)


async def _waits(client: Upstream, sent: Mapping[str, datetime]) -> tuple[list[float], int]:
    documents = await client.store.query(Query("requests", equal=(("priority", "interactive"),), limit=10_000))
    records = [request_in(row).record for row in documents]
    finished = {
        record.request_id: record.finished_at
        for record in records
        if record.status == "succeeded" and record.finished_at is not None
    }
    waits = [(finished[name] - at).total_seconds() for name, at in sent.items() if name in finished]
    return waits, len(sent) - len(waits)


async def _missing(client: Upstream, names: list[str]) -> int:
    """How many of these the store does not know: as requests, or as rejected."""
    missing = 0
    for first in range(0, len(names), PAGE):
        paths = [request_record.path(name) for name in names[first : first + PAGE]]
        missing += sum(isinstance(item, Absent) for item in await client.store.get_all(paths))
    return missing
