"""A request that arrives while nothing is queued starts at once; what flags, budgets and a dying worker do to that."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import timedelta
from typing import Any

import pytest

from shared.core.accounting.budget import Budget
from shared.core.admission.slot_calendar import Weight
from shared.core.limits.quota import Limits
from shared.core.messages.topics import RENDER_RELEASES
from shared.core.provider.failure import FailureKind
from shared.core.routing.flag import Flag, Scope
from shared.core.values.documents import Create, Update
from shared.flows.intake.fair_queue import FairTags
from shared.flows.intake.intake import accept_message
from shared.flows.operations import flags
from shared.flows.pump_status import PUMP, PumpView
from shared.flows.requests.message import Message
from shared.flows.wakeups import Kicks
from tests.windows import keeps
from tests.world import World

PRO = "gemini-3-pro-image"
SECOND = timedelta(seconds=1)


async def warm(quota: str = "*=rpm:600", seed: int = 1) -> World:
    """With slots open: something has started a moment ago."""
    world = World(quota, seed=seed)
    await world.submit("first", model=PRO)
    await world.run_until_quiet()
    return world


def opening(world: World, model: str = PRO) -> dict[str, Any]:
    return next(dict(item.data["opening"]) for item in world.store.all("calendars") if item.id == model)


def wait_of(world: World, request_id: str) -> timedelta:
    first = world.attempts(request_id)[0]
    wait: timedelta = first["started_at"] - world.status(request_id)["created_at"]
    return wait


async def test_a_request_that_arrives_alone_starts_at_once_though_no_pump_leads() -> None:
    world = await warm()
    await world.run_for(timedelta(minutes=3))
    await world.submit("r-1", model=PRO)
    await world.run_until_quiet()
    assert world.status("r-1")["open_slot"] is not None
    assert wait_of(world, "r-1") < 0.1 * SECOND
    assert world.status("r-1")["status"] == "succeeded"
    assert len(world.results("r-1")) == 1


@pytest.mark.parametrize("seed", [1, 2])
async def test_at_four_requests_a_second_hardly_any_waits_for_a_tick(seed: int) -> None:
    world, chance = await warm(seed=seed), random.Random(seed)

    async def publish() -> None:
        for number in range(160):
            await world.clock.sleep(chance.expovariate(4))
            await world.submit(f"r-{number}", model=PRO, priority=chance.choice(["interactive", "normal"]))

    await world.run_for(timedelta(seconds=70), publish())
    await world.run_until_quiet()
    waits = sorted(wait_of(world, f"r-{number}") for number in range(160))
    assert waits[80] <= 0.1 * SECOND
    assert waits[158] <= 0.5 * SECOND
    assert set(world.statuses().values()) == {"succeeded"}
    assert len(world.lane.calls) == 161, "each was called once"
    starts = [(attempt["started_at"], Weight()) for id_ in world.statuses() for attempt in world.attempts(id_)]
    assert keeps(starts, Limits(rpm=600))
    assert not world.crashes


@pytest.mark.parametrize("rpm", [5, 20, 40])
async def test_open_slots_overrun_no_small_limit_with_intakes_beside_each_other_and_messages_twice(rpm: int) -> None:
    world, chance = await warm(f"*=rpm:{rpm}"), random.Random(rpm)
    others = [FairTags(world.ports, PumpView(world.ports)) for _ in range(3)]

    async def publish(tags: FairTags, name: str) -> None:
        for number in range(20):
            await world.clock.sleep(chance.choice([0.0, 0.0, 0.1, 1.0, 20.0]))
            data = json.dumps({"request_id": f"{name}-{number}", "prompt": "a lighthouse", "model": PRO}).encode()
            message = Message(f"m-{name}-{number}", data)
            kicks = Kicks(world.ports, PumpView(world.ports))
            await asyncio.gather(*(accept_message(world.ports, kicks, tags, message) for _ in range(2)))

    stories = [publish(tags, name) for tags, name in zip(others, "abc", strict=True)]
    world.deliver_twice = True
    await world.run_for(timedelta(minutes=30), *stories)
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    assert len(world.lane.calls) == 61, "each was called once"
    starts = [(attempt["started_at"], Weight()) for id_ in world.statuses() for attempt in world.attempts(id_)]
    assert keeps(starts, Limits(rpm=rpm))
    took = any(world.status(id_).get("open_slot") for id_ in world.statuses() if id_ != "first")
    assert took == (rpm >= 20), "a smaller limit leaves none open"


def a_flag(world: World, name: str, **fields: Any) -> Flag:
    now = world.clock.now()
    return Flag("f-1", name, "anna", "test", now, now + timedelta(hours=1), scope=Scope(model=PRO), **fields)  # type: ignore[arg-type]


async def test_a_pause_holds_the_very_next_request_though_a_slot_is_open() -> None:
    world = await warm()
    assert opening(world)["is_offered"]
    await world.clock.run(flags.trip(world.ports.store, world.signals, a_flag(world, "pause")))
    await world.submit("r-1", model=PRO)
    await world.run_for(timedelta(seconds=30))
    assert world.status("r-1")["status"] == "queued"
    assert world.attempts("r-1") == []


@pytest.mark.parametrize("queued", [True, False])
async def test_a_request_takes_no_open_slot_before_one_that_is_queued(queued: bool) -> None:
    """The pump of another process leads, and may have something of this queue that it has not started yet."""
    world = await warm()
    assert opening(world)["is_offered"]
    (pump,) = world.store.all("pump")
    changes = {"lead_holder": "another", "lead_until": world.clock.now() + 10 * SECOND}
    await world.store.commit(Update(PUMP, changes | {"waiting": [f"{PRO}/normal"] * queued}, pump.version))
    await world.submit("r-1", model=PRO)
    await world.run_for(SECOND)
    assert (world.status("r-1").get("open_slot") is None) == queued
    assert (world.attempts("r-1") == []) == queued


async def test_a_request_is_planned_under_the_flag_of_this_moment_and_counts_among_its_effects() -> None:
    world = await warm()
    await world.submit("warm-2", model="nano-banana-2.1")
    await world.run_until_quiet()
    await world.clock.run(flags.trip(world.ports.store, world.signals, a_flag(world, "use-nano-banana-2")))
    await world.submit("r-1", model=PRO)
    await world.run_until_quiet()
    ended = world.status("r-1")
    assert ended["open_slot"] is not None
    assert ended["route"]["model"] != PRO
    assert ended["flags"] == ["f-1"]
    (pump,) = world.store.all("pump")
    assert pump.data["routing"]["effects"]["f-1"]["requests"] == 1


async def test_a_flag_in_shadow_has_requests_queue_so_that_its_effect_is_counted() -> None:
    world = await warm()
    await world.clock.run(flags.trip(world.ports.store, world.signals, a_flag(world, "use-nano-banana-2", shadow=True)))
    await world.submit("r-1", model=PRO)
    await world.run_until_quiet()
    assert world.status("r-1").get("open_slot") is None


@pytest.mark.parametrize("fields", [{"priority": "bulk"}, {"lane": "batch"}])
async def test_bulk_and_batch_are_queued(fields: dict[str, Any]) -> None:
    world = await warm()
    await world.submit("r-1", **{"model": PRO} | fields)
    await world.run_for(timedelta(minutes=1))
    assert world.status("r-1").get("open_slot") is None


async def test_a_tenant_with_a_budget_is_queued_for_the_pump_to_reserve_its_money() -> None:
    world = await warm()
    limit = Budget(10_000_000, "day", "refuse", world.clock.now()).to_json()
    await world.clock.run(
        world.store.commit(Create("tenants/acme", {"budget": limit, "updated_at": world.clock.now()}))
    )
    await world.submit("r-1", tenant="acme", model=PRO)
    await world.run_until_quiet()
    assert world.status("r-1").get("open_slot") is None
    assert world.status("r-1")["status"] == "succeeded"


async def test_a_cancellation_that_came_first_wins_over_an_open_slot() -> None:
    world = await warm()
    await world.publish({"cancel": "r-1"})
    await world.run_for(timedelta(seconds=5))
    await world.submit("r-1", model=PRO)
    await world.run_until_quiet()
    assert world.status("r-1")["status"] == "cancelled"
    assert world.attempts("r-1") == []


async def test_a_worker_that_dies_between_commit_and_publish_is_followed_by_one_that_hands_out() -> None:
    world = await warm()
    publish, failures = world.topics.publish, iter([True])

    async def dying(topic: str, *arguments: Any) -> str:
        if topic == RENDER_RELEASES and next(failures, False):
            raise RuntimeError("dies here")
        return await publish(topic, *arguments)

    world.topics.publish = dying  # type: ignore[method-assign, assignment]
    await world.submit("r-1", model=PRO)
    await world.run_until_quiet()
    assert len(world.crashes) == 1
    assert world.status("r-1")["status"] == "succeeded"
    assert len(world.attempts("r-1")) == 1


async def test_an_open_breaker_has_its_probe_and_the_rest_goes_on_at_once() -> None:
    world = await warm("")
    await world.submit("warm-2", model="nano-banana-2.1")
    await world.run_until_quiet()
    until = world.clock.now() + timedelta(seconds=30)
    world.lane.sick = lambda order, now: FailureKind.OVERLOAD if order.model == PRO and now < until else None

    async def publish() -> None:
        for number in range(240):
            await world.clock.sleep(0.25)
            await world.submit(f"r-{number}", model=PRO)

    await world.run_for(timedelta(seconds=90), publish())
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    later = [f"r-{number}" for number in range(120)][40:]
    assert sum(wait_of(world, request_id) > 0.5 * SECOND for request_id in later) <= 16
    assert sum(call.order.model == PRO for call in world.lane.calls) > 100
