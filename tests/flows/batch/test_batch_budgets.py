"""Budgets hold in the batch lane too: reserved before a request leaves its queue, returned or spent at its end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.core.accounting.budget import BudgetAccount, Over, WorkerTotals
from shared.core.lifecycle.batch import Result
from shared.core.provider.call import Order
from shared.core.provider.failure import Failure, FailureKind
from shared.flows.operations.tenants import set_budget
from tests.fakes.batches import made_in_batch
from tests.flows.batch.test_batches import batch_of, checked
from tests.world import World

DAY = "2026-11-22"


async def a_world(limit: int, over: Over = "queue") -> World:
    world = World()
    await world.run(set_budget(world.store, "web", limit_micros=limit, period="day", over=over))
    return world


def held_micros(world: World) -> int:
    """Reserved and not returned."""
    account = BudgetAccount.from_json(
        next(document.data for document in world.store.all("budgets") if document.data["period"] == DAY)
    )
    return account.reserved_micros - settled(world).returned_micros


def settled(world: World) -> WorkerTotals:
    return WorkerTotals.sum_of(
        document.data for document in world.store.all("budget_shards") if document.data["period"] == DAY
    )


async def test_no_more_goes_into_batches_than_the_budget_holds_and_what_was_held_comes_back() -> None:
    world = await a_world(1_000_000)
    await batch_of(world, 40, tenant="web")
    await world.run_for(timedelta(minutes=3))
    estimate = world.status("r-0")["estimate_micros"]
    fits = 1_000_000 // estimate
    assert list(world.statuses().values()).count("batched") == fits
    assert held_micros(world) == fits * estimate <= 1_000_000
    await world.run_for(timedelta(hours=3))
    checked(world)
    assert held_micros(world) == 0
    assert 1_000_000 - estimate < world.ledger_micros() <= 1_000_000
    assert settled(world).cost_micros == world.ledger_micros()


async def test_a_request_that_is_cancelled_while_it_is_collected_gives_its_money_back() -> None:
    world = await a_world(10_000_000)
    await batch_of(world, 2, tenant="web")
    await world.run_for(timedelta(minutes=1))
    before = held_micros(world)
    await world.publish({"cancel": "r-0", "tenant": "web"})
    await world.run_for(timedelta(minutes=1))
    assert held_micros(world) == before // 2
    await world.run_until_quiet()
    assert checked(world).status("r-0")["status"] == "cancelled"
    assert held_micros(world) == 0


async def test_a_batch_that_is_never_sent_gives_the_money_of_those_that_expire_back() -> None:
    world = await a_world(10_000_000)
    world.watch_every = timedelta(minutes=10)
    world.batches.refusals["create"] = [Failure(FailureKind.QUOTA_UNKNOWN, "full", http_status=429)] * 90
    await batch_of(world, 1, tenant="web", deadline=(world.clock.now() + timedelta(hours=24, minutes=5)).isoformat())
    await world.run_until_quiet()
    assert checked(world).status("r-0")["status"] == "expired"
    assert (held_micros(world), settled(world).cost_micros) == (0, 0)


async def test_further_images_under_one_key_are_spent_and_return_nothing_twice() -> None:
    world = await a_world(10_000_000)
    world.batches.answers = lambda key, order: [Result(key, made_in_batch(order))] * 5
    await batch_of(world, 2, tenant="web")
    await world.run_until_quiet()
    checked(world)
    assert held_micros(world) == 0
    assert settled(world).cost_micros == world.ledger_micros() == 10 * world.attempts("r-0")[0]["cost_micros"]


async def test_what_may_have_been_billed_stays_held() -> None:
    world = await a_world(10_000_000)

    def answers(key: str, order: Order) -> list[Result]:
        return [] if key == "web~r-0/1" else [Result(key, made_in_batch(order))]

    world.batches.answers = answers
    await batch_of(world, 2, tenant="web")
    await world.run_until_quiet()
    checked(world)
    assert held_micros(world) == world.attempts("r-0")[0]["estimate_micros"]


@pytest.mark.parametrize("over", ["refuse", "queue"])
async def test_what_does_not_fit_is_refused_or_waits_as_in_any_lane(over: Over) -> None:
    world = await a_world(1_000, over)
    await batch_of(world, 2, tenant="web")
    await world.run_for(timedelta(minutes=20))
    assert set(world.statuses().values()) == {"failed" if over == "refuse" else "queued"}
    assert world.batches.creates == 0
