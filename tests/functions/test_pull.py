"""A function that pulls: as many at once as it may, acknowledged by how the flow ends, drained within ten seconds."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from functions.pull import Puller
from shared.adapters.google_cloud.firestore_store import FirestoreStore
from shared.adapters.google_cloud.pubsub_topics import PubsubTopics
from shared.adapters.process.system_clock import SystemClock
from shared.adapters.sqlite.topics import LocalTopics
from shared.core.messages.pubsub_messages import BadMessage, ReleaseMessage
from shared.core.messages.topics import RENDER_RELEASES, SUBSCRIPTIONS, subscription
from shared.core.observability import events
from shared.core.values.documents import Document
from shared.flows.requests.message import Message
from shared.ports.messaging import TopicsUnavailable
from shared.ports.store import StoreUnavailable
from shared.wiring import Worker
from tests.functions.test_drain import ALLOWED, _release, opened
from tests.world import World

RELEASES = subscription("render-releases-render")


class Counting:
    """A flow that holds its deliveries until they are let go, and counts how many it holds."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.most = self.now = 0
        self.go = asyncio.Event()
        self.raises: Exception | None = None
        self.begun = asyncio.Semaphore(0)

    async def __call__(self, _worker: Worker, message: Message) -> None:
        self.taken.append(message)
        self.now += 1
        self.most = max(self.most, self.now)
        self.begun.release()
        try:
            await self.go.wait()
        finally:
            self.now -= 1
        if self.raises is not None:
            raise self.raises


@pytest.fixture
async def topics(tmp_path: Path) -> AsyncIterator[LocalTopics]:
    made = LocalTopics(tmp_path / "state.db", SystemClock())
    await made.ensure(SUBSCRIPTIONS)
    yield made
    await made.close()


async def begun(flow: Counting, count: int) -> None:
    for _ in range(count):
        await asyncio.wait_for(flow.begun.acquire(), 20)


async def left(topics: LocalTopics) -> int:
    """Messages that could be pulled at once."""
    return len(await topics.pull(RELEASES.name, 100, timedelta(0)))


async def test_it_takes_as_many_at_once_as_it_may_and_acknowledges_each(topics: LocalTopics) -> None:
    flow, end, worker = Counting(), asyncio.Event(), Worker.of(World().ports)
    for number in range(5):
        await topics.publish(RENDER_RELEASES, ReleaseMessage(f"r-{number}", 1).to_bytes(), {"traceparent": "00-a"})
    running = asyncio.create_task(Puller(worker, topics, RELEASES, flow, at_once=2).run(end))
    await begun(flow, 2)
    assert flow.now == 2
    flow.go.set()
    await begun(flow, 3)
    end.set()
    await running
    assert flow.most == 2
    assert sorted(ReleaseMessage.parse(message.data).request_id for message in flow.taken) == [
        f"r-{n}" for n in range(5)
    ]
    assert {message.subscription for message in flow.taken} == {RELEASES.name}
    assert [message.delivery_attempt for message in flow.taken] == [1] * 5
    assert await left(topics) == 0


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError("x"), BadMessage("no")])
async def test_how_a_flow_ends_says_whether_its_message_comes_again(topics: LocalTopics, error: Exception) -> None:
    world, flow, end = World(), Counting(), asyncio.Event()
    flow.raises = error
    flow.go.set()
    rejected: list[str] = []
    reject = topics.reject

    async def noting(name: str, handles: list[str]) -> None:
        rejected.extend(handles)
        await reject(name, handles)

    topics.reject = noting  # type: ignore[method-assign, assignment]
    await topics.publish(RENDER_RELEASES, b"{}")
    running = asyncio.create_task(Puller(Worker.of(world.ports), topics, RELEASES, flow, at_once=2).run(end))
    await begun(flow, 1)
    end.set()
    await running
    assert len(rejected) == (0 if isinstance(error, BadMessage) else 1)
    logged = {
        StoreUnavailable: events.DELIVERY_DEFERRED,
        RuntimeError: events.DELIVERY_CRASHED,
        BadMessage: events.BAD_MESSAGE,
    }
    (line,) = world.signals.of(logged[type(error)])
    assert (line["function"], line["message_id"]) == ("render", flow.taken[0].id)


async def test_topics_that_are_away_are_told_of_once_a_minute_and_pulled_again(topics: LocalTopics) -> None:
    world, flow, end = World(), Counting(), asyncio.Event()
    answers = [TopicsUnavailable("away"), TopicsUnavailable("away")]
    pull = topics.pull

    async def away_first(name: str, limit: int, wait: timedelta) -> object:
        if answers:
            raise answers.pop()
        return await pull(name, limit, wait)

    async def no_pause(_seconds: float) -> None:
        await real_sleep(0)

    real_sleep = asyncio.sleep
    topics.pull = away_first  # type: ignore[method-assign, assignment]
    await topics.publish(RENDER_RELEASES, b"{}")
    puller = Puller(Worker.of(world.ports), topics, RELEASES, flow, at_once=2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("functions.pull.PAUSE_SECONDS", 0.0)
        running = asyncio.create_task(puller.run(end))
        await begun(flow, 1)
    flow.go.set()
    end.set()
    await running
    (line,) = world.signals.of(events.DELIVERY_DEFERRED)
    assert "nothing can be pulled" in str(line["cause"])


def started(home: Path, **more: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "RENDERLANE_HOME": str(home), "GEMINI_API_KEY": "AQ.test", **more}
    with (home / "render.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "functions.pull", "render"], env=environment, stdout=log, stderr=log
        )


@pytest.mark.slow
async def test_a_pull_worker_that_is_told_to_end_leaves_its_call_on_record(tmp_path: Path) -> None:
    provider = socket.create_server(("127.0.0.1", 0))
    provider.settimeout(30)
    address = f"http://127.0.0.1:{provider.getsockname()[1]}"
    async with opened(tmp_path) as store:
        await _release(store, "in-the-air", timedelta(seconds=2))
        topics = LocalTopics(tmp_path / "state.db", SystemClock())
        await topics.publish(RENDER_RELEASES, ReleaseMessage("in-the-air", 1).to_bytes())
        process = started(tmp_path, GOOGLE_GEMINI_BASE_URL=address)
        try:
            call, _ = await asyncio.to_thread(provider.accept)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(process.wait, 30)
            took = time.monotonic() - began
        finally:
            process.kill()
            process.wait()
        request = await store.get("requests/in-the-air")
        await topics.close()
    call.close()
    provider.close()
    assert (code, took < ALLOWED) == (0, True), (tmp_path / "render.log").read_text()
    assert isinstance(request, Document)
    assert request.data["status"] == "rendering"
    assert '"delivery_deferred"' in (tmp_path / "render.log").read_text()


@pytest.mark.emulator
@pytest.mark.slow
async def test_it_renders_from_the_real_emulators(firestore_host: str, pubsub_host: str, tmp_path: Path) -> None:
    """A release on Pub/Sub's emulator becomes a call to the provider, and the attempt is in Firestore's."""
    project = f"pull-{uuid.uuid4().hex[:12]}"
    more = {
        "FIRESTORE_EMULATOR_HOST": firestore_host, "PUBSUB_EMULATOR_HOST": pubsub_host,
        "RENDERLANE_STORE": f"firestore://{project}", "RENDERLANE_TOPICS": f"pubsub://{project}",
        "RENDERLANE_IMAGES": (tmp_path / "images").as_uri(), "GOOGLE_CLOUD_PROJECT": project,
    }  # fmt: skip
    provider = socket.create_server(("127.0.0.1", 0))
    provider.settimeout(60)
    address = f"http://127.0.0.1:{provider.getsockname()[1]}"
    with pytest.MonkeyPatch.context() as patched:
        for name in ("FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"):
            patched.setenv(name, more[name])
        topics, store = PubsubTopics(project), FirestoreStore(project)
        await topics.ensure(SUBSCRIPTIONS)
        await _release(store, "pulled-1", timedelta(seconds=10))
        await topics.publish(RENDER_RELEASES, ReleaseMessage("pulled-1", 1).to_bytes())
        process = started(tmp_path, GOOGLE_GEMINI_BASE_URL=address, **more)
        try:
            call, _ = await asyncio.to_thread(provider.accept)
            request = await store.get("requests/pulled-1")
        finally:
            process.kill()
            process.wait()
        await topics.close()
        await store.close()
    call.close()
    provider.close()
    assert isinstance(request, Document)
    assert request.data["status"] == "rendering"


def test_another_function_is_refused_by_name() -> None:
    ended = subprocess.run([sys.executable, "-m", "functions.pull", "pump"], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.strip()) == (2, "found pump; allowed: render")


def test_a_wrong_setting_ends_it_with_a_declared_line() -> None:
    environment = {**os.environ, "RENDERLANE_DELIVERIES": "none"}
    command = [sys.executable, "-m", "functions.pull", "render"]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 1
    assert '"message":"delivery_deferred"' in ended.stderr.replace(" ", "")
    assert "RENDERLANE_DELIVERIES: found 'none'" in ended.stderr
