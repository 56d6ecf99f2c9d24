"""Several `renderlane up` on one store and one set of topics, each with a home of its own and a counted store."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx2
from msgspec import Struct

from scripts.bench.harness import rig
from scripts.bench.quota_live.counters import Counters
from shared.core.records.pump import PumpRecord
from shared.ports.store import Store

PUMP = "pump/pump"
"""The document that says which boot leads."""
WITHOUT_PUMP = "intake,render,bury"
PATIENCE = 20.0
"""Seconds for a worker to stop in its orderly way."""


class FleetWorker(Struct, frozen=True):
    popen: subprocess.Popen[str]
    boot: str
    """The id that this process holds leases and the lead by."""


class WorkerFleet:
    """`size` workers, numbered from 0; a number keeps its home through restarts."""

    def __init__(self, environment: Mapping[str, str], folder: Path, size: int, pumps: int) -> None:
        """The first `pumps` get kicks. Without RENDERLANE_STORE each worker has a store of its own: there is one."""
        assert size == 1 or "RENDERLANE_STORE" in environment
        self._pumps = pumps
        self._environment = environment
        self._folder = folder
        self._size = size
        self._starts = 0
        self._members: dict[int, FleetWorker] = {}

    async def start(self, functions: str = "") -> None:
        """All workers; `functions` names those that get deliveries, else all do."""
        await asyncio.gather(*(self.start_one(number, functions) for number in range(self._size)))

    async def start_one(self, number: int, functions: str = "") -> None:
        """Raises RuntimeError with its last words where it does not get ready."""
        self._starts += 1
        counters = self._folder / f"counters-{self._starts}.json"
        words = [sys.executable, "-m", "scripts.bench.quota_live.counted_up", "--counters", str(counters)]
        functions = functions or ("" if number < self._pumps else WITHOUT_PUMP)
        words += ["--functions", functions] if functions else []
        home = {"RENDERLANE_HOME": str(self.home(number))}
        popen = rig.begin(words, {**self._environment, **home}, self._errors(number))
        self._members[number] = FleetWorker(popen, "")
        try:
            process = await asyncio.to_thread(rig.ready, popen)
        except RuntimeError as error:
            raise RuntimeError(f"{error}:\n{self._last_words(number)}") from error
        async with httpx2.AsyncClient(trust_env=False) as client:
            healthy = (await client.get(f"{process.url}/healthz")).json()
        self._members[number] = FleetWorker(popen, healthy["boot"])

    def home(self, number: int) -> Path:
        return self._folder / f"worker-{number}"

    async def stop(self) -> None:
        """All of them, orderly."""
        stopping = [asyncio.to_thread(rig.end, member.popen, PATIENCE) for member in self._members.values()]
        self._members = {}
        await asyncio.gather(*stopping)

    def kill(self, number: int) -> None:
        """kill -9: nothing is said goodbye to."""
        rig.kill(self._members.pop(number).popen)

    async def leader(self, store: Store, within: float = 30.0) -> int:
        """The number of the worker whose pump leads. TimeoutError where none does for so many seconds."""
        async with asyncio.timeout(within):
            while True:
                pump = await store.get(PUMP)
                holder = PumpRecord.of(pump).lead_holder
                for number, member in self._members.items():
                    if member.boot == holder:
                        return number
                await asyncio.sleep(0.1)

    def check(self) -> None:
        """Raises RuntimeError with its last words where a worker has ended by itself."""
        for number, member in self._members.items():
            if member.popen.poll() is not None:
                raise RuntimeError(f"worker {number} ended with {member.popen.returncode}:\n{self._last_words(number)}")

    def counters(self) -> Counters:
        """Of all workers, those included that were killed or stopped."""
        total = Counters()
        for path in self._folder.glob("counters-*.json"):
            total.add(Counters.from_json(json.loads(path.read_text("utf-8"))))
        return total

    def _last_words(self, number: int) -> str:
        return self._errors(number).read_text(errors="replace")[-2000:]

    def _errors(self, number: int) -> Path:
        self.home(number).mkdir(parents=True, exist_ok=True)
        return self.home(number) / "errors"
