"""What a scene plays on: a simulator with an enforced limit, a fleet of workers, and an upstream app that publishes."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import psutil
from msgspec import Struct, field

from scripts.bench.harness import rig
from scripts.bench.quota_live.fleet import WorkerFleet
from scripts.bench.quota_live.measures import ObservedCall
from scripts.local.upstream import Upstream, until
from shared.core.records.pump import PumpRecord
from shared.core.values.documents import Query
from shared.flows.pump_status import PUMP

MODEL = "gemini-nano-banana-2.1"
LOOK_EVERY = 1.0
"""Seconds between two looks at the simulator's calls."""
PULLS_OUTLIVE = 6.0
"""Seconds for which the Pub/Sub emulator answers the pulls of a process that is gone, at most: a message that it hands
to one is lost until its ack deadline."""
TELL_EVERY = 15.0
"""Seconds between two lines of progress."""


class RunSetting(Struct, frozen=True):
    """What all scenes of a run share."""

    kind: rig.HomeKind
    workers: int
    pumps: int
    """How many of the workers get kicks: one in production, where the pump has a single instance."""
    rpm: int
    latency: str
    """The simulator's, as `renderlane simulator` takes it."""
    hosts: Mapping[str, str]
    """FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST; empty for the embedded home."""
    say: Callable[[str], None]

    @property
    def limits(self) -> str:
        return f"{MODEL}=rpm:{self.rpm}"


class QuotaStage(Struct):
    setting: RunSetting
    scene: str
    provider: httpx2.AsyncClient
    """Speaks to the simulator."""
    fleet: WorkerFleet
    upstream: Upstream
    calls: list[ObservedCall] = field(default_factory=list)
    """As of the last look; a call that was under way then is taken up again by `all_calls`."""
    published: dict[str, float] = field(default_factory=dict)
    """When each request was published, in seconds since 1970."""
    leads: list[float] = field(default_factory=list)
    """Seconds from a decision to the earliest slot, as the pump had learned them at each look."""
    told_at: float = 0.0

    async def publish(self, request_id: str, priority: str) -> None:
        request = {"request_id": request_id, "prompt": f"a picture for {request_id}", "model": MODEL}
        request |= {"priority": priority, "tenant": "bench"}
        self.published[request_id] = time.time()
        await self.upstream.publish([request])

    async def publish_backlog(self, count: int, priority: str) -> None:
        await asyncio.gather(*(self.publish(f"{self.scene}-{number}", priority) for number in range(count)))

    async def queue(self, count: int, priority: str) -> None:
        """Have so many requests taken in while nobody pumps: arrivals are over when the scene begins."""
        await self.publish_backlog(count, priority)
        await self.fleet.start("intake")

        async def are_queued() -> bool:
            queued = await self.count("queued", count)
            self.tell(f"{queued} of {count} queued")
            self.fleet.check()
            return queued >= count

        await until(are_queued, None, pause=LOOK_EVERY)
        await self.fleet.stop()
        await asyncio.sleep(PULLS_OUTLIVE)

    async def count(self, status: str, most: int) -> int:
        return await self.upstream.store.count(Query("requests", equal=(("status", status),), limit=most))

    async def look(self) -> int:
        """How many calls the simulator has seen. Raises RuntimeError where a worker has died by itself."""
        self.fleet.check()
        self.calls += await self._calls(len(self.calls))
        pump = await self.upstream.store.get(PUMP)
        if (fleet := PumpRecord.of(pump).fleet) is not None:
            self.leads.append(fleet.lead_seconds)
        self.tell(f"{len(self.calls)} calls")
        return len(self.calls)

    async def first_call(self, within: float = 90.0) -> float:
        """When the first call arrived. TimeoutError where none does."""

        async def is_there() -> bool:
            return await self.look() > 0

        if not await until(is_there, within, longest=0.1):
            raise TimeoutError(f"no call within {within:.0f} s")
        return self.calls[0].at

    async def look_until(self, moment: float) -> None:
        while time.time() < moment:
            await self.look()
            await asyncio.sleep(max(0.0, min(LOOK_EVERY, moment - time.time())))

    async def look_for(self, calls: float, until: float) -> None:
        """Until the simulator has seen so many calls, or time is up."""
        while await self.look() < calls and time.time() < until:
            await self.look_until(time.time() + LOOK_EVERY)

    async def all_calls(self) -> list[ObservedCall]:
        """As they ended: one that was under way at an earlier look has its answer by now, or none."""
        return await self._calls(0)

    async def _calls(self, since: int) -> list[ObservedCall]:
        answer = await self.provider.get("/control/calls", params={"since": since})
        return [ObservedCall.of(call) for call in answer.json()["calls"]]

    async def ended(self, expected: int, within: float) -> dict[str, int]:
        """How many requests stand in each final status when all `expected` have ended, or when time is up."""

        def on_progress(count: int) -> None:
            self.tell(f"{count} of {expected} ended")
            self.fleet.check()

        with contextlib.suppress(TimeoutError):
            return await self.upstream.wait_for(expected, within, on_progress)
        return await self.upstream.ended(expected)

    def tell(self, what: str) -> None:
        """A line of progress, now and then."""
        if time.time() - self.told_at >= TELL_EVERY:
            self.told_at = time.time()
            self.setting.say(f"{self.scene}: {what}, processors {psutil.cpu_percent():.0f} % busy")


@contextlib.asynccontextmanager
async def stage(setting: RunSetting, scene: str) -> AsyncIterator[QuotaStage]:
    """A fresh store, fresh topics and a fresh simulator; on the emulators by a project of their own."""
    with (
        tempfile.TemporaryDirectory(prefix="renderlane-bench-") as folder,
        rig.simulator(latency=setting.latency, limits=setting.limits) as provider,
    ):
        environment = _environment(setting, scene, Path(folder), provider.url)
        fleet = WorkerFleet(environment, Path(folder), setting.workers, setting.pumps)
        upstream = Upstream.of({**environment, "RENDERLANE_HOME": str(fleet.home(0))})
        async with httpx2.AsyncClient(base_url=provider.url, trust_env=False, timeout=60) as to_provider:
            try:
                yield QuotaStage(setting, scene, to_provider, fleet, upstream)
            finally:
                await fleet.stop()
                await upstream.close()


def _environment(setting: RunSetting, scene: str, folder: Path, provider_url: str) -> dict[str, str]:
    environment: dict[str, Any] = {
        "GEMINI_API_KEY": "AQ.bench",
        "GOOGLE_GEMINI_BASE_URL": provider_url,
        "RENDERLANE_QUOTA": setting.limits,
        "RENDERLANE_CAPACITY": "600",
    }
    if setting.kind == "emulators":
        environment |= setting.hosts
        environment |= {
            "RENDERLANE_STORE": f"firestore://bench-{scene}",
            "RENDERLANE_TOPICS": f"pubsub://bench-{scene}",
            "RENDERLANE_IMAGES": f"file://{folder}/images",
        }
    return environment
