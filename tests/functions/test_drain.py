"""SIGTERM under functions-framework, gunicorn and uvicorn, as deployed: all is on record within ten seconds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec import Struct

from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.adapters.sqlite.topics import LocalTopics
from shared.config import Settings
from shared.core.lifecycle import head_changes, request_record
from shared.core.messages.pubsub_messages import Kick, ReleaseMessage
from shared.core.messages.topics import SUBSCRIPTIONS
from shared.core.times.leases import LEASE
from shared.core.values.documents import Create, Document
from shared.flows.pump_status import PUMP
from shared.ports.store import Store
from tests.builders import a_candidate, a_record, a_request
from tests.functions.test_functions_framework import _wait_for, push

ALLOWED = 10.0
"""Seconds that Cloud Run leaves between SIGTERM and SIGKILL."""


class Function(Struct, eq=False):
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def lines(self, message: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["message"] == message]

    def terminate(self) -> float:
        """Seconds from SIGTERM, which the platform sends to the first process alone, to the end."""
        began = time.monotonic()
        os.kill(self.process.pid, signal.SIGTERM)
        self.process.wait(timeout=30)
        return time.monotonic() - began


@contextmanager
def function(name: str, home: Path, **more: str) -> Iterator[Function]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "functions-framework"), "--source", "functions/main.py"]
    environment = {**os.environ, "RENDERLANE_HOME": str(home), "GEMINI_API_KEY": "AQ.test", **more}
    log = home / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--target", name, "--port", str(port), "--host", "127.0.0.1"],
            env=environment, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        _wait_for(f"http://127.0.0.1:{port}", process)
        yield Function(f"http://127.0.0.1:{port}", process, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Store]:
    """The store of a home with its subscriptions."""
    topics = LocalTopics(home / "state.db", SystemClock())
    await topics.ensure(SUBSCRIPTIONS)
    await topics.close()
    store = wiring.store(Settings.read({"RENDERLANE_HOME": str(home)}, home), SystemClock())
    yield store
    await store.close()


async def eventually(look: Callable[[], Awaitable[bool]], within: float = 20.0) -> None:
    """Until `look()` is true. AssertionError past `within`."""
    ends = time.monotonic() + within
    while time.monotonic() < ends:
        if await look():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come about in time")


@pytest.mark.slow
async def test_a_pump_that_is_told_to_end_gives_up_its_lead_and_calls_its_successor(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(3):
            request = a_request(request_id=f"r-{number}")
            await store.commit(Create(f"requests/r-{number}", a_record(request, now=datetime.now().astimezone())))
        with function("pump", tmp_path, RENDERLANE_QUOTA="*=rpm:1") as pump:
            kick = asyncio.create_task(
                asyncio.to_thread(_post, pump.url, push(Kick(frozenset()).to_bytes(), "pump-kicks-pump"))
            )

            async def leads() -> bool:
                document = await store.get(PUMP)
                return isinstance(document, Document) and document.data["lead_holder"] is not None

            await eventually(leads)
            took = await asyncio.to_thread(pump.terminate)
            answer = await kick
            left = pump.lines("pump_lead_left")
        document = await store.get(PUMP)
    assert answer.status_code == 204, "the kick has had its effect"
    assert took < ALLOWED / 2, f"{took:.1f} s"
    assert isinstance(document, Document)
    assert document.data["lead_holder"] is None
    assert [line["why"] for line in left] == ["the process is going down"]
    topics = LocalTopics(tmp_path / "state.db", SystemClock())
    assert await topics.pull("pump-kicks-pump", 10, timedelta(0)), "a successor was called"
    await topics.close()


@pytest.mark.slow
async def test_a_render_that_is_told_to_end_leaves_its_call_on_record(tmp_path: Path) -> None:
    provider = socket.create_server(("127.0.0.1", 0))
    provider.settimeout(30)
    address = f"http://127.0.0.1:{provider.getsockname()[1]}"
    async with opened(tmp_path) as store:
        await _release(store, "in-the-air", timedelta(seconds=2))
        with function("render", tmp_path, GOOGLE_GEMINI_BASE_URL=address) as render:
            delivery = asyncio.create_task(asyncio.to_thread(_deliver, render.url, "in-the-air"))

            call, _ = await asyncio.to_thread(provider.accept)
            took = await asyncio.to_thread(render.terminate)
            answer = await delivery
            (line,) = render.lines("delivery_deferred")
        in_the_air = await store.get("requests/in-the-air")
        attempt = await store.get(request_record.attempt_path("in-the-air", 1))
    call.close()
    provider.close()
    assert took < ALLOWED, f"{took:.1f} s"
    assert answer.status_code == 503
    assert isinstance(in_the_air, Document)
    assert isinstance(attempt, Document), "the call that was cut off is on record"
    assert in_the_air.data["status"] == "rendering"
    assert in_the_air.data["lease_until"] < datetime.now().astimezone() + LEASE
    assert (line["function"], line["severity"], line["http_status"]) == ("render", "WARNING", 503)


def _post(url: str, body: bytes) -> httpx2.Response:
    return httpx2.post(url, content=body, trust_env=False, timeout=60)


def _deliver(url: str, request_id: str) -> httpx2.Response:
    return _post(url, push(ReleaseMessage(request_id, 1).to_bytes(), "render-releases-render"))


async def _release(store: Store, request_id: str, slot_in: timedelta) -> None:
    """A request that the pump has granted a slot."""
    now = datetime.now().astimezone()
    candidate = a_candidate(request_id)
    written = a_record(a_request(request_id=request_id, model=candidate.planned.route.model), now=now)
    slot_at = now + slot_in
    granted = head_changes.released(candidate.head, candidate.planned, slot_at, slot_at + timedelta(seconds=30), now)
    await store.commit(Create(f"requests/{request_id}", written | granted))
