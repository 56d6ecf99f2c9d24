"""A pump that dies, stalls or is not answered between holding money and handing its request out leaves none held."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.core.messages.pubsub_messages import Kick
from shared.core.messages.topics import PUMP_KICKS
from shared.core.provider.failure import FailureKind
from shared.core.values.documents import Committed, Conflict, Document, Update, Write
from shared.flows.operations.tenants import set_budget
from shared.ports.store import StoreUnavailable
from tests.flows.batch.test_batches import batch_of
from tests.flows.pump.test_budgets import TEN_CENTS, a_world, account, settled, submit
from tests.flows.test_safety import Guard
from tests.world import Killed, World

CALLS = 130
"""At least as many port calls as two requests take from publication to the end of the pump's turn."""
BATCH_CALLS = 110
"""... and as two take into their batch."""


def held_micros(world: World) -> int:
    return int(account(world)["reserved_micros"]) - settled(world).returned_micros


def unknown_micros(world: World) -> int:
    """What attempts hold that may have been billed."""
    attempts = [attempt for request in world.store.all("requests") for attempt in world.attempts(request.id)]
    return sum(
        attempt["estimate_micros"]
        for attempt in attempts
        if attempt["cost_basis"] == "unknown" and attempt["outcome"]["code"] == FailureKind.CRASHED.value
    )


async def two_through(guard: Guard, *, one_machine: bool) -> World:
    world = await a_world(2_000_000)
    world.guard = guard
    world.boot()
    await submit(world, 2)
    await world.run_through_a_death(one_machine=one_machine)
    return world


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(CALLS))
async def test_a_process_killed_at_any_call_leaves_nothing_held_but_what_may_have_been_billed(
    at: int, after: bool
) -> None:
    world = await two_through(Guard(at, after=after), one_machine=at % 2 == 0)
    assert set(world.statuses().values()) == {"succeeded"}
    assert held_micros(world) == unknown_micros(world)
    assert settled(world).cost_micros == world.ledger_micros()


async def test_the_kills_above_cover_every_call_of_a_request() -> None:
    guard = Guard()
    await two_through(guard, one_machine=True)
    last = max(index for index, call in enumerate(guard.calls) if call == "images.put")
    assert last < CALLS, len(guard.calls)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(BATCH_CALLS))
async def test_killed_on_the_way_into_a_batch_nothing_is_held_for_longer_either(at: int, after: bool) -> None:
    world = World()
    await world.run(set_budget(world.store, "web", limit_micros=10_000_000, period="day", over="queue"))
    world.guard = Guard(at, after=after)
    world.boot()
    await batch_of(world, 2, tenant="web")
    try:
        await world.run_until_quiet()
    except Killed:
        world.crashes.clear()
        await world.restart(one_machine=at % 2 == 0)
        await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    assert held_micros(world) == unknown_micros(world) == 0
    assert settled(world).cost_micros == world.ledger_micros()


class Stalling:
    """A store on which the first release of a request takes its time, or is answered with nothing."""

    def __init__(self, world: World) -> None:
        self._real = world.store.commit
        self._world = world
        self.stalls = 0.0
        self.fails: str | None = None
        """`before` or `after` the commit."""
        self.met = 0
        world.store.commit = self.commit  # type: ignore[method-assign]

    async def commit(self, *writes: Write) -> Committed | Conflict:
        first = self.met == 0 and len(writes) == 1 and _is_release(writes[0])
        if not first:
            return await self._real(*writes)
        self.met += 1
        await self._world.clock.sleep(self.stalls)
        if self.fails == "before":
            raise StoreUnavailable("no answer")
        answer = await self._real(*writes)
        if self.fails == "after":
            raise StoreUnavailable("no answer")
        return answer


def _is_release(write: Write) -> bool:
    return isinstance(write, Update) and write.changes.get("status") in ("released", "batched")


async def test_a_pump_that_wakes_after_another_gave_its_money_back_hands_nothing_out() -> None:
    world = await a_world(TEN_CENTS)
    stalling = Stalling(world)
    stalling.stalls = 30.0

    async def another_leads() -> None:
        await world.clock.sleep(3)
        world.boot()
        for _ in range(3):
            await world.clock.sleep(5)
            await world.topics.publish(PUMP_KICKS, Kick().to_bytes())

    await submit(world, 1)
    await world.run_for(timedelta(minutes=3), another_leads())
    assert stalling.met == 1
    assert world.statuses() == {"r-0000": "succeeded"}
    assert len(world.lane.images) == 1
    assert account(world)["reserved_micros"] == settled(world).returned_micros == TEN_CENTS
    assert settled(world).cost_micros == TEN_CENTS


@pytest.mark.parametrize("fails", ["before", "after"])
@pytest.mark.parametrize("lane", ["standard", "batch"])
async def test_money_is_found_again_where_the_store_did_not_say_whether_its_release_is_on_record(
    fails: str, lane: str
) -> None:
    world = await a_world(3 * TEN_CENTS)
    stalling = Stalling(world)
    stalling.fails = fails
    more: dict[str, Any] = {"lane": "batch", "allow": {"batch": True}} if lane == "batch" else {}
    await submit(world, 1, **more)
    await world.run_for(timedelta(minutes=40))
    assert stalling.met == 1
    assert world.statuses() == {"r-0000": "succeeded"}
    assert held_micros(world) == 0


async def test_a_release_that_a_cancellation_overtook_holds_nothing() -> None:
    world = await a_world(TEN_CENTS)
    stalling = Stalling(world)
    stalling.stalls = 1.0

    async def cancelled() -> None:
        await world.clock.sleep(0.5)
        requests_web_r_0000 = await world.store.get("requests/web~r-0000")
        assert isinstance(requests_web_r_0000, Document)
        await world.publish({"cancel": "r-0000", "tenant": "web"})

    await submit(world, 1)
    await world.run_for(timedelta(seconds=1), cancelled())
    await submit(world, 1, "later")
    await world.run_for(timedelta(minutes=2))
    assert stalling.met == 1
    assert world.statuses() == {"r-0000": "cancelled", "later-0000": "succeeded"}
    assert held_micros(world) == 0
