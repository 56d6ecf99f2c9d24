"""A request that cannot make its deadline ends at once, unpaid, with the reason; one that can is rendered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.core.provider.call import Order
from shared.core.provider.failure import Failure, FailureKind
from tests.builders import a_statement
from tests.world import World

PRO = "gemini-3-pro-image"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
MIDNIGHT = datetime(2026, 11, 23, 8, tzinfo=UTC)


def in_time(world: World, after: timedelta) -> str:
    return (world.clock.now() + after).isoformat().replace("+00:00", "Z")


def no_day_left(order: Order, _: datetime) -> Failure | None:
    if order.model != PRO:
        return None
    return a_statement(FailureKind.QUOTA_DAY, retry_after=timedelta(seconds=0.9))


def outcome(world: World, request_id: str) -> dict[str, Any]:
    fields = world.status(request_id)
    assert fields["status"] == "expired", fields["status"]
    return dict(fields["outcome"])


async def test_a_deadline_before_the_day_begins_anew_expires_at_once_with_the_reason() -> None:
    world = World(f"{PRO}=rpm:60,rpd:1")
    await world.submit("first", model=PRO)
    await world.run_for(3 * SECOND)
    began = world.clock.now()
    await world.submit("today", model=PRO, floor="exact", deadline=in_time(world, timedelta(hours=5)))
    await world.submit("tomorrow", model=PRO, deadline=in_time(world, timedelta(hours=20)))
    await world.run_for(5 * SECOND)
    ended = outcome(world, "today")
    assert ended["code"] == "expired"
    assert "2026-11-23T08:00:00Z" in ended["message"]
    assert "the day's quota is used up" in ended["message"]
    assert world.status("today")["finished_at"] - began < 3 * SECOND
    assert world.status("tomorrow")["status"] == "queued"
    assert world.results("today")[0]["status"] == "expired"
    assert world.results("today")[0]["cost_usd"] == "0.000000"
    assert world.attempts("today") == []


async def test_after_a_429_that_ends_the_day_a_request_without_another_route_is_kept_until_its_deadline() -> None:
    """The day may have been believed wrongly: it is asked about now and then, and nobody is given up before."""
    world = World(f"{PRO}=rpm:60")
    world.lane.sick = no_day_left
    await world.submit("first", model=PRO)
    await world.run_for(4 * SECOND)
    await world.submit("today", model=PRO, floor="exact", deadline=in_time(world, timedelta(hours=1)))
    await world.run_for(70 * SECOND)
    assert world.status("today")["status"] == "queued"
    await world.run_for(timedelta(hours=1))
    assert outcome(world, "today")["code"] == "expired"
    assert len(world.lane.calls) <= 14, "one at a time, ever more seldom"


async def test_a_429_that_ends_the_day_sends_those_who_cannot_wait_to_the_next_model_of_their_floor() -> None:
    world = World(f"{PRO}=rpm:60")
    world.lane.sick = no_day_left
    await world.submit("first", model=PRO)
    await world.run_for(4 * SECOND)
    await world.submit("today", model=PRO, deadline=in_time(world, timedelta(hours=1)))
    await world.submit("whenever", model=PRO)
    await world.run_for(70 * SECOND)
    assert world.status("today")["receipt"]["delivered"]["model"] == "gemini-nano-banana-2.1"
    assert "after the deadline" in world.status("today")["receipt"]["reasons"][0]
    assert world.status("whenever")["status"] == "queued"


async def test_deadlines_deep_in_a_long_queue_are_found_too() -> None:
    world = World(f"{PRO}=rpm:600,rpd:1")
    for number in range(130):
        await world.submit(f"r-{number:03d}", model=PRO)
    await world.submit("deep", model=PRO, floor="exact", deadline=in_time(world, timedelta(hours=5)))
    await world.submit("flexible", model=PRO, deadline=in_time(world, timedelta(hours=5)))
    await world.run_for(70 * SECOND)
    assert outcome(world, "deep")["code"] == "expired"
    assert world.status("flexible")["status"] == "succeeded"
    assert world.status("r-005")["status"] == "queued"


async def test_a_passed_deadline_expires_in_the_queue_within_seconds() -> None:
    world = World(f"{PRO}=rpm:1")
    await world.submit("first", model=PRO)
    await world.run_for(3 * SECOND)
    await world.submit("second", model=PRO, deadline=in_time(world, 17 * SECOND))
    await world.run_for(47 * SECOND)
    finished = {name: world.status(name)["finished_at"] - world.started for name in ("first", "second")}
    assert world.status("first")["status"] == "succeeded"
    assert outcome(world, "second")["code"] == "expired"
    assert 20 * SECOND <= finished["second"] <= 30 * SECOND
    assert len(world.lane.calls) == 1


async def test_a_deadline_that_had_passed_on_arrival_is_answered_and_never_queued() -> None:
    world = World(f"{PRO}=rpm:60")
    await world.submit(model=PRO, deadline=in_time(world, -SECOND))
    await world.run_until_quiet()
    assert outcome(world, "r-1")["code"] == "expired"
    assert world.lane.calls == []


async def test_a_nearer_deadline_goes_before_its_own_tenants_others_and_not_before_another_tenants() -> None:
    world = World(f"{PRO}=rpm:3")
    for number in range(3):
        await world.submit(f"first-{number}", model=PRO)
    await world.run_for(3 * SECOND)
    for number in range(4):
        for tenant in ("a", "b", "c"):
            await world.submit(f"{tenant}-{number}", model=PRO, tenant=tenant)
    await world.submit("urgent", model=PRO, tenant="a", deadline=in_time(world, 90 * SECOND))
    await world.run_for(65 * SECOND)
    assert sorted(call.order.request_id for call in world.lane.calls[3:6]) == ["b-0", "c-0", "urgent"]


async def test_a_slot_is_good_until_the_deadline_at_the_most() -> None:
    world = World()
    began = world.clock.now()
    await world.submit("soon", model=PRO, deadline=in_time(world, 3 * SECOND))
    await world.submit("later", model=PRO)
    await world.run_for(2 * SECOND)
    slots = {item: world.status(item)["slot_until"] for item in ("soon", "later")}
    assert slots["soon"] == began + 3 * SECOND
    assert slots["later"] > began + 5 * SECOND, "where no rate is known a slot is good for ten seconds"
