"""The flows of the batch lane on the real adapter and the simulator: our ledger is its bill, to the micro-dollar."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
import pytest_asyncio
from msgspec.structs import replace

from scripts.simulator.provider.faults import Fault
from shared.adapters.gemini_batch.batches import GeminiBatches
from shared.core.admission.allocation import Candidate
from shared.core.lifecycle import queries
from shared.core.lifecycle.request_record import Head
from shared.core.observability import events
from shared.core.routing import ladder
from shared.core.routing.context import RoutingContext
from shared.core.routing.ladder import Planned
from shared.core.values.documents import Query
from shared.core.values.status import FINAL
from shared.flows.batch.collect import Collecting
from shared.flows.batch.poll import tend_batches
from shared.flows.intake.intake import accept_message
from shared.flows.requests.message import Message
from shared.ports import Ports
from tests.fakes.memory import MemoryStore
from tests.simulator.conftest import House, house, running
from tests.world import World

__all__ = ["house", "running"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Shop:
    """The flows of the batch lane, stepped by hand: a minute, then what the pump and watch do in it."""

    world: World
    ports: Ports
    store: MemoryStore
    house: House

    async def submit(self, request_id: str, prompt: str) -> None:
        body = {
            "request_id": request_id, "prompt": prompt, "model": "nano-banana-pro", "lane": "batch",
            "allow": {"batch": True}, "floor": {"model": "nano-banana-pro"},
        }  # fmt: skip
        await accept_message(
            self.ports, self.world.kicks, self.world.tags, Message(request_id, json.dumps(body).encode(), {})
        )

    async def minute(self) -> None:
        self.house.clock.advance(60)
        now = self.house.clock.now()
        heads = [
            Head.of(document.id, document.version, document.data)
            for document in await self.store.query(Query("requests", equal=(("status", "queued"),), limit=500))
            if document.data["wake_at"] is None or document.data["wake_at"] <= now
        ]
        context = RoutingContext(self.ports.catalogue, ("batch",), now=now)
        plans = [(head, ladder.plan(head.ask, context, head.history)) for head in heads]
        await Collecting(self.ports).put([Candidate(h, plan) for h, plan in plans if isinstance(plan, Planned)], now)
        await tend_batches(self.ports, now)
        for job in list(self.house.simulation.jobs.values()):
            if job.work is not None:
                await job.work

    async def until_over(self) -> None:
        for _ in range(120):
            await self.minute()
            if all(document.data["status"] in FINAL for document in self.store.all("requests")):
                return
        raise AssertionError({document.id: document.data["status"] for document in self.store.all("requests")})

    @property
    def booked_micros(self) -> int:
        return sum(document.data["cost_micros"] for document in self.store.all("ledger"))


@pytest_asyncio.fixture(loop_scope="module")
async def shop(house: House) -> AsyncIterator[Shop]:
    world = World()
    store = MemoryStore(house.clock)
    lane = GeminiBatches("AQ.test", house.server.url, now=house.clock.now)
    world.ports = replace(world.ports, store=store, clock=house.clock, batches=lane)
    world.kicks._ports = world.kicks._view._ports = world.tags._ports = world.ports
    yield Shop(world, world.ports, store, house)
    await lane.close()


async def test_a_mixed_batch_is_booked_as_the_provider_bills_it(shop: Shop, house: House) -> None:
    house.script(
        Fault(kind="refusal", prompt="bad"),
        Fault(kind="duplicate_key", prompt="many", copies=21),
        Fault(kind="internal", prompt="ill", times=1),
        Fault(kind="no_image", prompt="mute", times=1),
        Fault(kind="reset", api="batch_create", charged=True, times=1),
        Fault(kind="cut", api="file_download", times=1),
        Fault(kind="overload", api="batch_look", times=2),
        Fault(kind="internal", api="file_upload", times=1),
    )
    prompts = ["a cup", "bad words", "many cups", "an ill wind", "a mute swan", *(f"cup {n}" for n in range(7))]
    for number, prompt in enumerate(prompts):
        await shop.submit(f"r-{number:02}", prompt)
    await shop.until_over()
    bill = house.simulation.ledger.bill()
    assert bill.total.images == len(prompts) - 1 + 20
    assert shop.booked_micros == bill.total.cost_micros > 0
    statuses = {document.id: document.data["status"] for document in shop.store.all("requests")}
    assert statuses.pop("r-01") == "refused"
    assert set(statuses.values()) == {"succeeded"}
    assert len(house.simulation.jobs) == 2, "one batch, and one of those that came again"
    assert {fields["found_again"] for fields in shop.world.signals.of(events.BATCH_SUBMITTED)} == {True, False}
    assert await shop.store.query(queries.collecting(10)) == []


async def test_what_the_provider_lost_is_counted_as_unknown_and_never_as_nothing(shop: Shop, house: House) -> None:
    house.script(Fault(kind="missing_key", prompt="gone", times=1))
    await shop.submit("a-lost", "a gone cup")
    await shop.submit("b-kept", "a cup")
    await shop.until_over()
    bill = house.simulation.ledger.bill()
    assert bill.total.images == 3
    (lost,) = [document.data for document in shop.store.all("requests") if document.id == "a-lost"]
    assert (lost["status"], lost["cost_unknown_attempts"]) == ("succeeded", 1)
    unknown = house.simulation.ledger.since()[0].cost_micros
    assert shop.booked_micros == bill.total.cost_micros - unknown


async def test_no_more_than_100_go_into_one_file_and_the_bill_holds(shop: Shop, house: House) -> None:
    for number in range(120):
        await shop.submit(f"r-{number:03}", f"cup {number}")
    await shop.until_over()
    assert sorted(job.counts.total for job in house.simulation.jobs.values()) == [20, 100]
    assert shop.booked_micros == house.simulation.ledger.bill().total.cost_micros
    assert timedelta(minutes=5) < house.clock.now() - min(j.created_at for j in house.simulation.jobs.values())
