"""Budgets end to end: nothing is overspent, a waiting request says why, and a raised limit lets it go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared.core.accounting import budget
from shared.core.accounting.budget import OVER_BUDGET, Over, WorkerTotals
from shared.core.catalogue.catalogue import Catalogue
from shared.core.catalogue.reader import read_catalogue
from shared.core.messages.pubsub_messages import Kick
from shared.core.messages.topics import PUMP_KICKS
from shared.core.observability import events
from shared.core.provider.call import Made, Order
from shared.core.provider.failure import FailureKind
from shared.core.provider.usage import Usage
from shared.flows.intake.intake import cancel
from shared.flows.operations.tenants import lift_budget, set_budget
from tests.fakes.lane import made
from tests.world import World

TEN_CENTS = 100_000


def a_catalogue_text(image_tokens: int = 1000) -> str:
    """A catalogue in which a draft costs and is estimated at exactly $0.10: only its image costs anything.

    Thoughts are free too, or an image would be estimated without them and billed with those that the model had.
    """
    text = Path("shared/catalogue.toml").read_text("utf-8")
    name = '"gemini-3.1-flash-lite-image"'
    head, lite = text.split(f"[models.{name}]", 1)
    lite = lite.replace('"1K" = 1120', f'"1K" = {image_tokens}', 1)
    lite = lite.replace("thought_tokens = { minimal = 500, high = 2900 }", "thought_tokens = 0", 1)
    head, rates = f"{head}[models.{name}]{lite}".split(f"[google.{name}.standard]", 1)
    rates = rates.replace("input = 0.25", "input = 0", 1).replace("text_output = 1.50", "text_output = 0", 1)
    rates = rates.replace("image_output = 30.00", f"image_output = {Decimal(TEN_CENTS) / image_tokens:.12f}", 1)
    return f"{head}[google.{name}.standard]{rates}"


def a_catalogue_of_ten_cents() -> Catalogue:
    return read_catalogue(a_catalogue_text())


def of_ten_cents(order: Order) -> Made:
    answer = made(order)
    return Made(answer.picture, Usage(text_in=3, image_out=1000), answer.model, answer.lane, answer.provider_request_id)


async def a_world(limit: int = 5_000_000, over: Over = "queue", *, quota: str = "") -> World:
    world = World(quota=quota)
    world.catalogue = a_catalogue_of_ten_cents()
    world.boot()
    await world.run(set_budget(world.store, "web", limit_micros=limit, period="day", over=over))
    return world


async def submit(world: World, count: int, prefix: str = "r", **fields: Any) -> None:
    for number in range(count):
        await world.submit(
            f"{prefix}-{number:04}", **({"tenant": "web", "purpose": "draft", "floor": "exact"} | fields)
        )
    world.lane.then(*([of_ten_cents] * count))


def count_of(world: World, status: str) -> int:
    return list(world.statuses().values()).count(status)


def settled(world: World, period: str = "2026-11-22") -> WorkerTotals:
    return WorkerTotals.sum_of(
        document.data for document in world.store.all("budget_shards") if document.data["period"] == period
    )


def account(world: World, period: str = "2026-11-22") -> dict[str, Any]:
    return next(dict(document.data) for document in world.store.all("budgets") if document.data["period"] == period)


async def test_a_thousand_requests_of_ten_cents_at_once_spend_five_dollars_and_not_a_cent_more() -> None:
    world = await a_world()
    await submit(world, 1_000)
    await world.run_for(timedelta(minutes=10))
    assert world.crashes == []
    assert count_of(world, "succeeded") == 50
    assert world.ledger_micros() == 5_000_000 == settled(world).cost_micros
    assert len(world.lane.images) == 50
    assert count_of(world, "queued") == 950
    assert {world.status(f"r-{number:04}")["reason"] for number in range(950, 1_000)} == {OVER_BUDGET}
    reports = world.signals.of(events.BUDGET_USED_UP)
    assert [item["tenant"] for item in reports] == ["web"]


async def test_on_call_raises_a_budget_live_and_so_many_more_go_on() -> None:
    world = await a_world(1_000_000)
    await submit(world, 40)
    await world.run_for(timedelta(minutes=5))
    assert count_of(world, "succeeded") == 10
    await world.run(set_budget(world.store, "web", limit_micros=2_500_000))
    await world.run(world.topics.publish(PUMP_KICKS, Kick().to_bytes()))
    await world.run_for(timedelta(seconds=30))
    assert count_of(world, "succeeded") == 25
    await world.run_for(timedelta(minutes=5))
    assert world.ledger_micros() == 2_500_000


async def test_without_a_limit_any_more_whoever_waited_goes_on() -> None:
    world = await a_world(100_000)
    await submit(world, 30)
    await world.run_for(timedelta(minutes=3))
    assert count_of(world, "succeeded") == 1
    await world.run(lift_budget(world.store, "web"))
    await world.run_until_quiet(timedelta(minutes=5))
    assert count_of(world, "succeeded") == 30
    assert world.store.all("pump")[0].data["over_budget"] == []


async def test_the_next_day_brings_the_next_budget() -> None:
    world = await a_world(300_000)
    world.clock.advance(timedelta(hours=5, minutes=57))
    await submit(world, 8)
    await world.run_for(timedelta(minutes=7))
    ended = sorted(
        document.data["finished_at"].day for document in world.store.all("requests") if document.data["finished_at"]
    )
    assert ended == [22, 22, 22, 23, 23, 23]
    assert settled(world, "2026-11-22") == settled(world, "2026-11-23") == WorkerTotals(300_000, 300_000)
    assert count_of(world, "queued") == 2


async def test_refused_requests_end_with_the_reason_and_what_to_do() -> None:
    world = await a_world(300_000, "refuse")
    await submit(world, 5)
    await world.run_until_quiet(timedelta(minutes=5))
    assert (count_of(world, "succeeded"), count_of(world, "failed")) == (3, 2)
    refused = next(document.data for document in world.store.all("requests") if document.data["status"] == "failed")
    assert refused["outcome"]["code"] == "budget"
    assert refused["cost_micros"] == refused["attempt_count"] == 0
    assert "renderlane budget web" in refused["outcome"]["advice"]


async def test_a_burst_waits_for_money_that_is_held_and_none_of_the_budget_stays_unspent() -> None:
    """Three calls are turned away and give their money back; the requests that waited for it are rendered."""
    world = await a_world(400_000, "refuse")
    world.lane.then(*([FailureKind.QUOTA_MINUTE] * 3))
    await submit(world, 6)
    await world.run_until_quiet(timedelta(minutes=30))
    assert (count_of(world, "succeeded"), count_of(world, "failed")) == (4, 2)
    assert settled(world).cost_micros == 400_000
    refused = [document.data for document in world.store.all("requests") if document.data["status"] == "failed"]
    assert {data["outcome"]["code"] for data in refused} == {"budget"}
    assert all("has $0.000000 left" in data["outcome"]["message"] for data in refused)


async def test_a_request_that_waits_for_held_money_is_refused_once_that_money_is_spent() -> None:
    world = await a_world(100_000, "refuse")
    world.lane.latency = timedelta(seconds=30)
    await submit(world, 2)
    await world.run_until_quiet(timedelta(minutes=5))
    assert sorted(world.statuses().values()) == ["failed", "succeeded"]
    refused = next(document.data for document in world.store.all("requests") if document.data["status"] == "failed")
    assert "($0.100000 are spent)" in refused["outcome"]["message"]


async def test_stepping_down_takes_the_cheapest_route_that_fits_and_says_why() -> None:
    world = World()
    await world.run(set_budget(world.store, "web", limit_micros=300_000, over="step-down"))
    for number in range(3):
        await world.submit(
            f"r-{number}", tenant="web", purpose="final", image_size="4K", floor={"model": "nano-banana-2-lite"}
        )
    await world.run_for(timedelta(minutes=5))
    assert count_of(world, "succeeded") == 2
    first, second = (world.status(f"r-{number}") for number in range(2))
    assert first["receipt"]["delivered"]["model"] == "gemini-3-pro-image"
    assert second["receipt"]["delivered"]["model"] == "gemini-3.1-flash-lite-image"
    assert "budget of $0.300000 a day: too little left" in second["receipt"]["reasons"][0]
    assert world.ledger_micros() <= 300_000
    assert world.status("r-2")["reason"] == OVER_BUDGET


async def test_one_tenants_empty_budget_holds_no_other_tenant() -> None:
    world = await a_world(0)
    await submit(world, 300)
    await submit(world, 5, "shop", tenant="shop")
    await world.run_for(timedelta(minutes=3))
    assert {status for name, status in world.statuses().items() if name.startswith("shop")} == {"succeeded"}
    assert world.ledger_micros() == 5 * TEN_CENTS


async def test_what_was_spent_before_there_was_a_budget_counts() -> None:
    world = World()
    world.catalogue = a_catalogue_of_ten_cents()
    world.boot()
    await submit(world, 4)
    await world.run_until_quiet()
    await world.run(set_budget(world.store, "web", limit_micros=600_000))
    await submit(world, 5, "later")
    await world.run_for(timedelta(minutes=3))
    assert count_of(world, "succeeded") == 6
    assert account(world)["before_micros"] == 400_000


async def test_a_call_that_may_have_been_billed_stays_held_against_the_budget() -> None:
    world = await a_world(200_000)
    world.lane.then(FailureKind.TIMEOUT)
    await submit(world, 3)
    await world.run_for(timedelta(minutes=30))
    assert count_of(world, "succeeded") == 1
    assert account(world)["reserved_micros"] - settled(world).returned_micros == TEN_CENTS


async def test_a_failure_that_costs_nothing_gives_its_money_back() -> None:
    world = await a_world(100_000)
    world.lane.then(FailureKind.SERVER_ERROR, FailureKind.QUOTA_MINUTE, FailureKind.OVERLOAD)
    await submit(world, 1)
    await world.run_until_quiet(timedelta(minutes=30))
    assert world.statuses() == {"r-0000": "succeeded"}
    assert settled(world) == WorkerTotals(returned_micros=4 * TEN_CENTS, cost_micros=TEN_CENTS)


async def test_a_release_that_is_cancelled_gives_its_money_back() -> None:
    world = await a_world(100_000)
    world.references.images["gs://allowed/slow.png"] = b"png"
    real = world.references.fetch

    async def fetch(uri: str, tenant: str, mime_type: str | None, most: int | None = None) -> Any:
        await cancel(world.ports, tenant, "r-0000")
        return await real(uri, tenant, mime_type, most)

    world.references.fetch = fetch  # type: ignore[method-assign]
    await submit(world, 1, references=[{"uri": "gs://allowed/slow.png"}])
    await world.run_until_quiet(timedelta(minutes=5))
    assert world.statuses() == {"r-0000": "cancelled"}
    assert settled(world).returned_micros == account(world)["reserved_micros"] > 0
    assert settled(world).cost_micros == 0


async def test_releases_that_nobody_takes_up_give_their_money_back() -> None:
    world = await a_world(100_000)
    real = world.topics.take
    lost: list[Any] = []

    def take(subscription: str) -> Any:
        deliveries = real(subscription)
        if subscription == "render-releases-render" and not lost:
            lost.extend(deliveries)
            return []
        return deliveries

    world.topics.take = take  # type: ignore[method-assign]
    await submit(world, 1)
    await world.run_until_quiet(timedelta(minutes=10))
    assert lost
    assert world.statuses() == {"r-0000": "succeeded"}
    assert settled(world) == WorkerTotals(returned_micros=2 * TEN_CENTS, cost_micros=TEN_CENTS)


@pytest.mark.parametrize("seed", range(3))
async def test_pumps_that_die_and_deliveries_that_come_twice_overspend_nothing(seed: int) -> None:
    world = await a_world(2_000_000)
    world._chance.seed(seed)
    world.deliver_twice = world.shuffled = True
    await submit(world, 60)
    for _ in range(3):
        await world.run_for(timedelta(seconds=2 + seed))
        await world.restart(one_machine=False)
    await world.run_for(timedelta(minutes=20))
    made_images = len(world.lane.images)
    assert made_images * TEN_CENTS <= 2_000_000
    assert made_images >= 15
    assert settled(world).cost_micros <= 2_000_000


async def test_a_month_is_a_period_too() -> None:
    world = await a_world()
    await world.run(set_budget(world.store, "web", limit_micros=200_000, period="month"))
    await submit(world, 3)
    await world.run_for(timedelta(minutes=10))
    assert count_of(world, "succeeded") == 2
    waits = next(document.data for document in world.store.all("requests") if document.data["status"] == "queued")
    assert waits["wake_at"] == budget.ends_at("2026-11") == datetime(2026, 12, 1, tzinfo=UTC)
