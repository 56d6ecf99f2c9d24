"""A worker that dies while its call leaves: the webhook names the attempt, and nothing is bought again before that."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.core.lifecycle import awaiting, transitions
from shared.core.observability import events
from shared.core.records.request import RequestRecord
from shared.core.records.versioned import request_in, update
from shared.flows.upkeep.watch import break_leases
from tests.flows.collect.test_crashes import FIRST, LAST, Steps
from tests.flows.collect.worlds import a_world, books_are_right, until, with_webhooks
from tests.world import Killed, World

LATENCY = timedelta(seconds=6)
LONGEST = awaiting.USUAL_TIMES * awaiting.ASSUMED_TIME + awaiting.REPEATED_WITHIN
"""That a call whose id died is waited for, before anything is known of the model's time."""


def codes(world: World) -> list[str]:
    return [attempt["outcome"]["code"] for attempt in world.attempts()]


async def killed(where: str, *, after: bool, latency: timedelta = LATENCY, webhooks: bool = True) -> World:
    """A world whose worker died at its first step of that name; nothing has been done about it yet."""
    world = a_world(latency=latency)
    steps = Steps(after=after)
    world.guard = steps
    if webhooks:
        with_webhooks(world)
    world.boot()
    steps.kill_on(where)
    await world.submit()
    with pytest.raises(Killed):
        await world.run_until_quiet()
    return world


@pytest.mark.parametrize("one_machine", [True, False], ids=["one machine", "cloud"])
async def test_a_call_whose_id_died_with_its_worker_is_named_by_its_webhook_and_bought_once(one_machine: bool) -> None:
    world = await killed("interactions.start", after=True)
    await world.restart(one_machine=one_machine)
    await world.run_until_quiet(timedelta(minutes=5))
    assert codes(world) == ["succeeded"]
    assert len(world.interactions.records) == 1
    assert world.status()["cost_unknown_attempts"] == 0
    assert world.interactions.kept == []
    books_are_right(world)


@pytest.mark.parametrize("one_machine", [True, False], ids=["one machine", "cloud"])
async def test_a_slow_model_is_waited_for_in_every_home(one_machine: bool) -> None:
    """Longer than a lease: what watch finds lapsed waits as well."""
    world = await killed("interactions.start", after=True, latency=timedelta(seconds=55))
    await world.restart(one_machine=one_machine)
    await world.run_until_quiet(timedelta(minutes=5))
    assert codes(world) == ["succeeded"]
    assert len(world.interactions.records) == 1


async def test_a_call_that_never_left_is_waited_for_and_made_once_more() -> None:
    world = await killed("interactions.start", after=False)
    slot_at = world.status()["slot_at"]
    await world.restart()
    waiting = world.status()
    assert (waiting["status"], waiting["reason"]) == ("rendering", awaiting.UNNAMED)
    assert (waiting["lease_holder"], waiting["lease_until"]) == (None, slot_at + LONGEST)
    assert world.signals.of(events.RECOVERED)[-1]["effect"] == "awaiting"
    await world.run_until_quiet(timedelta(minutes=10))
    assert codes(world) == ["crashed", "succeeded"]
    assert world.attempts()[1]["started_at"] - slot_at < LONGEST + 2 * world.watch_every
    assert len(world.interactions.records) == 1


async def test_it_waits_once_however_often_its_home_starts() -> None:
    world = await killed("interactions.start", after=False)
    await world.restart()
    until_then = world.status()["lease_until"]
    for _ in range(3):
        world.boot()
        world.clock.advance(timedelta(seconds=10))
        assert await world.run(break_leases(world.ports)) == 0
    assert world.status()["lease_until"] == until_then
    world.clock.advance(LONGEST)
    await world.run_until_quiet(timedelta(minutes=5))
    assert codes(world) == ["crashed", "succeeded"]


async def test_where_no_webhook_names_attempts_nothing_is_waited_for() -> None:
    world = await killed("interactions.start", after=True, webhooks=False)
    await world.restart()
    assert world.status()["status"] == "queued"
    await world.run_until_quiet(timedelta(minutes=5))
    assert codes(world) == ["crashed", "succeeded"]


async def test_a_look_that_fails_puts_the_id_on_record_for_the_webhook_comes_once() -> None:
    world = await killed("interactions.start", after=True)
    world.interactions.failing["look"] = 2
    await world.restart()

    async def named() -> None:
        while world.status()["interaction_id"] is None:
            await world.clock.sleep(0.05)
        assert RequestRecord.from_json(world.status()).is_awaiting
        assert world.status()["reason"] is None

    await world.run_for(timedelta(seconds=15), named())
    await world.run_until_quiet(timedelta(minutes=5))
    assert codes(world) == ["succeeded"]
    assert len(world.interactions.records) == 1
    books_are_right(world)


async def test_a_worker_that_was_only_slow_puts_its_id_on_record_all_the_same() -> None:
    world = with_webhooks(a_world(latency=timedelta(seconds=20)))
    real = world.interactions.start

    async def start(order: Any, at_slot: Any) -> Any:
        begun = await real(order, at_slot)
        request = world.request()
        now = world.clock.now()
        lapsed = transitions.unnamed(request_in(request).record, awaiting.UNNAMED, now + LONGEST, now)
        await world.store.commit(update(request_in(request), lapsed))
        return begun

    world.interactions.start = start  # type: ignore[method-assign]
    await world.submit()

    async def story() -> None:
        await until(world, "rendering", interaction=True)
        await world.clock.sleep(1)
        assert RequestRecord.from_json(world.status()).is_awaiting
        assert world.status()["reason"] is None

    await world.run_for(timedelta(seconds=5), story())
    await world.run_until_quiet(timedelta(minutes=5))
    assert codes(world) == ["succeeded"]


async def test_a_cancelled_one_ends_cancelled_when_its_time_is_over() -> None:
    world = await killed("interactions.start", after=False)
    await world.restart()
    await world.publish({"cancel": "r-1"})
    await world.run_until_quiet(timedelta(minutes=10))
    assert world.status()["status"] == "cancelled"
    assert len(world.interactions.records) == 0


@pytest.mark.parametrize("one_machine", [True, False], ids=["one machine", "cloud"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(FIRST, LAST))
async def test_with_webhooks_a_worker_killed_at_any_step_pays_once(at: int, after: bool, one_machine: bool) -> None:
    """The one round trip too."""
    world = a_world(latency=LATENCY)
    world.guard = Steps(at, after=after)
    with_webhooks(world)
    await world.submit()
    await world.run_through_a_death(timedelta(minutes=10), one_machine=one_machine)
    await world.run_for(timedelta(minutes=3))
    assert world.status()["status"] == "succeeded"
    assert {event["status"] for event in world.results()} == {"succeeded"}
    assert len(world.interactions.records) == 1
    assert world.interactions.kept == []
    assert codes(world) in (["succeeded"], ["crashed", "succeeded"])
    books_are_right(world)
