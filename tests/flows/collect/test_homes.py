"""A worker killed at every port call of a background call, on the stores and topics of both homes.

A request is released once by the real pump. Each case has a copy of it: `render` and `collect` run until the process
dies at the chosen call; then a new process has its messages delivered again, and what is late is made due.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.config import Settings
from shared.core.lifecycle import queries, request_record
from shared.core.messages.pubsub_messages import Arrival, ReleaseMessage
from shared.core.messages.topics import RENDER_RESULTS, SUBSCRIPTIONS, Subscription
from shared.core.values.documents import Create, Document, Query, Update
from shared.flows.collect.collect import collect
from shared.flows.collect.leftovers import delete_leftovers
from shared.flows.intake.intake import accept_message
from shared.flows.render.render import render
from shared.flows.render.settle import recover_all
from shared.flows.requests.message import Message
from shared.flows.upkeep.watch import break_leases
from tests.flows.collect.test_crashes import Steps
from tests.world import Killed, World

LATENCY = timedelta(milliseconds=30)
RESULTS = Subscription("homes-results", RENDER_RESULTS, "bury", timedelta(seconds=600), 0)
MOST_CALLS = 80
"""Of one background call; a sweep that comes so far has found no end."""
PATH = ("store.get", "store.commit", "interactions.start", "interactions.look", "images.put", "topics.publish",
        "interactions.delete")  # fmt: skip
"""Calls that are on it at least."""


class RealWorld(World):
    """On a real store and real topics, in real time; the provider and the image store are the scripted ones."""

    def __init__(self, settings: Settings, *, one_machine: bool) -> None:
        super().__init__("*=concurrency:20", latency=LATENCY, clock=SystemClock())  # type: ignore[arg-type]
        self.store = wiring.store(settings, SystemClock())  # type: ignore[assignment]
        self.topics = wiring.topics(settings, SystemClock())  # type: ignore[assignment]
        self.one_machine = one_machine
        self.background = "on"
        self.webhooks_name_attempts = True
        self.template: dict[str, Any] = {}
        self.boot()

    async def prepare(self) -> None:
        """One request through intake and pump: released, and never rendered."""
        await self.topics.ensure([*SUBSCRIPTIONS, RESULTS])  # type: ignore[attr-defined]
        await accept_message(
            self.ports, self.kicks, self.tags, Message("m-1", b'{"request_id": "r-0", "prompt": "a lighthouse"}')
        )
        leading = asyncio.ensure_future(self.pump.kicked(()))
        while not (released := await self.store.query(queries.newest("released", 1))):
            await self.clock.sleep(0.05)
        self.pump.end()
        await leading
        self.template = dict(released[0].data)

    async def close(self) -> None:
        await self.topics.close()
        await self.store.close()

    async def released(self, request_id: str) -> None:
        now = (await self.store.get("requests/nothing")).read_at
        data = self.template | {"request_id": request_id, "slot_at": now, "slot_until": now + timedelta(seconds=20)}
        data["request"] = data["request"] | {"request_id": request_id}
        await self.store.commit(Create(request_record.path(request_id), data))

    async def document(self, request_id: str) -> Document:
        document = await self.store.get(request_record.path(request_id))
        assert isinstance(document, Document)
        return document

    async def change(self, request_id: str, changes: dict[str, Any]) -> None:
        document = await self.document(request_id)
        await self.store.commit(Update(document.path, changes, document.version))

    def of(self, request_id: str) -> list[str]:
        """Its interactions at the provider."""
        return [name for name, record in self.interactions.records.items() if record.order.key == request_id]

    async def deliver(self, request_id: str) -> None:
        """What Pub/Sub and the provider bring: the release, and one webhook for each interaction."""
        release = (await self.document(request_id)).data["release"]
        message = Message("m-release", ReleaseMessage(request_id, release).to_bytes())
        await render(self.ports, self.kicks, self.evidence, message)
        for name in self.of(request_id):
            while not self.interactions.records[name].is_over(self.clock.now()):
                await self.clock.sleep(0.01)
            arrival = Arrival(name, request_id, self.interactions.records[name].order.attempt)
            await collect(self.ports, self.kicks, self.collector, Message("m-arrival", arrival.to_bytes()))

    async def recover(self, request_id: str) -> None:
        """What finds an attempt whose worker is gone: the start of the one-machine home, or watch, its lease over."""
        if self.one_machine:
            await break_leases(self.ports)
            return
        data = (await self.document(request_id)).data
        if data["lease_until"] is not None:
            await self.change(request_id, {"lease_until": queries.LONG_AGO + timedelta(days=1)})
            await recover_all(self.ports, [await self.document(request_id)])

    async def go_on(self, request_id: str) -> None:
        """After the death: everything comes again, then what is late is made due."""
        self.guard = lambda port, _name: port
        self.boot()
        await self.recover(request_id)
        await self.deliver(request_id)
        data = (await self.document(request_id)).data
        if data["status"] == "rendering" and not self.of(request_id):  # no call left: no webhook will name it
            await self.change(
                request_id, {"slot_at": data["slot_at"] - timedelta(minutes=5), "lease_until": queries.LONG_AGO}
            )
            await recover_all(self.ports, [await self.document(request_id)])
            data = (await self.document(request_id)).data
        if data["status"] == "queued":
            again = {name: self.template[name] for name in ("status", "reason", "way")}
            now = data["updated_at"]
            slot = {"release": data["release"] + 1, "slot_at": now, "slot_until": now + timedelta(minutes=1)}
            await self.change(request_id, again | slot)
            await self.deliver(request_id)
        if (await self.document(request_id)).data["leftovers_at"] is not None:
            await self.change(request_id, {"leftovers_at": queries.LONG_AGO})
            await delete_leftovers(self.ports, self.collector)


@pytest.fixture(params=["one machine", pytest.param("emulators", marks=[pytest.mark.emulator, pytest.mark.slow])])
async def home(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RealWorld]:
    environment = {"RENDERLANE_HOME": str(tmp_path)}
    if request.param == "emulators":
        project = f"homes-{uuid.uuid4().hex[:12]}"
        environment |= {"RENDERLANE_STORE": f"firestore://{project}", "RENDERLANE_TOPICS": f"pubsub://{project}"}
        for name, fixture in (("FIRESTORE_EMULATOR_HOST", "firestore_host"), ("PUBSUB_EMULATOR_HOST", "pubsub_host")):
            environment[name] = request.getfixturevalue(fixture)
            monkeypatch.setenv(name, environment[name])
    one = RealWorld(Settings.read(environment, tmp_path), one_machine=request.param == "one machine")
    await one.prepare()
    yield one
    await one.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_process_killed_at_every_port_call_pays_once_and_tells_once(home: RealWorld, after: bool) -> None:
    deaths: list[str] = []
    for at in range(MOST_CALLS):
        killed = await _live_and_die(home, Steps(at, after=after), f"r-{at + 1}")
        if not killed:
            break
        deaths.append(killed)
    else:
        pytest.fail(f"a background call takes more than {MOST_CALLS} port calls")
    for name in sorted(set(PATH) - set(deaths)):  # calls beside each other change places
        steps = Steps(after=after)
        steps.kill_on(name)
        assert await _live_and_die(home, steps, f"r-{name}") == name
        deaths.append(name)
    await _books_are_right(home)
    requests = await home.store.query(queries.newest("succeeded", 500))
    announced = {json.loads(delivery.data)["request_id"] for delivery in await _results(home)}
    assert announced == {request.id for request in requests}
    assert len(requests) == len(deaths) + 1


async def _live_and_die(home: RealWorld, steps: Steps, request_id: str) -> str:
    """One request through a process that is killed, and the next one. Where it died; empty where it came through."""
    await home.released(request_id)
    home.guard = steps
    home.boot()
    try:
        await home.deliver(request_id)
    except Killed:
        await home.go_on(request_id)
    await _is_whole(home, request_id, steps.killed)
    return steps.killed


async def _is_whole(home: RealWorld, request_id: str, killed: str) -> None:
    data = (await home.document(request_id)).data
    where = f"{request_id}, killed at {killed}"
    assert (data["status"], data["announce"]) == ("succeeded", None), where
    assert len(home.of(request_id)) == 1, where
    assert [name for name in home.of(request_id) if not home.interactions.records[name].deleted] == [], where
    attempts = [row.data["outcome"]["code"] for row in await home.store.query(queries.attempts_of(request_id))]
    assert attempts in (["succeeded"], ["crashed", "succeeded"]), where


async def _books_are_right(home: RealWorld) -> None:
    requests = await home.store.query(Query("requests", equal=(("status", "succeeded"),), limit=500))
    ledger = await home.store.query(Query("ledger", limit=500))
    booked = sum(request.data["cost_micros"] for request in requests)
    assert booked == sum(row.data["cost_micros"] for row in ledger) > 0


async def _results(home: RealWorld) -> list[Any]:
    results: list[Any] = []
    while page := await home.topics.pull(RESULTS.name, 500, timedelta(seconds=2)):  # type: ignore[attr-defined]
        results += page
        await home.topics.acknowledge(RESULTS.name, [delivery.handle for delivery in page])  # type: ignore[attr-defined]
    return results
