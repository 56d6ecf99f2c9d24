"""Each thing that can fail for a while, under load: all ends well, once, and the books are the bill."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from shared.core.provider.call import Order
from shared.core.provider.failure import FailureKind
from tests.chaos.chaos_world import ChaosWorld
from tests.chaos.faults import SkewedClock
from tests.chaos.reader import Reader, most_starts

COUNT = 40
RPM = 60
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
Fault = Callable[[ChaosWorld], Awaitable[None]]


async def _under_load(fault: Fault, *, background: bool = False, twice: bool = False) -> ChaosWorld:
    """Forty requests, of which some have been made when the fault begins; two hours at most."""
    world = ChaosWorld(f"*=rpm:{RPM}", latency=timedelta(seconds=6))
    world.background = "on" if background else "off"
    world.deliver_twice = world.shuffled = twice
    world.boot()
    reader = Reader(world)
    for number in range(COUNT):
        await world.submit(f"r-{number}", priority="interactive" if number % 8 == 0 else "normal")

    async def story() -> None:
        going_on = asyncio.ensure_future(fault(world))
        await world._until_quiet(timedelta(hours=2))
        await going_on

    await world.run(story())
    reader.now()
    await world.run_for(15 * MINUTE)
    reader.at_the_end()
    assert len(world.statuses()) == COUNT
    assert all(count <= RPM for count in most_starts(world).values()), most_starts(world)
    return world


def _all_succeeded(world: ChaosWorld) -> None:
    assert set(world.statuses().values()) == {"succeeded"}, world.statuses()


def away(port: str, lasts: timedelta) -> Fault:
    async def fault(world: ChaosWorld) -> None:
        await world.clock.sleep(5)
        world.faults.away(port, lasts)

    return fault


def slow(port: str, seconds: float, lasts: timedelta) -> Fault:
    async def fault(world: ChaosWorld) -> None:
        await world.clock.sleep(5)
        world.faults.slow[port] = seconds
        await world.clock.sleep(lasts.total_seconds())
        del world.faults.slow[port]

    return fault


def losing_answers(port: str, times: int) -> Fault:
    async def fault(world: ChaosWorld) -> None:
        await world.clock.sleep(5)
        world.faults.lost_answers[port] = times

    return fault


@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(away("store", 30 * SECOND), id="store away for 30 s"),
        pytest.param(slow("store", 0.4, 10 * MINUTE), id="store slow"),
        pytest.param(slow("store", 3.0, MINUTE), id="store very slow for a minute"),
        pytest.param(losing_answers("store", 30), id="store loses answers"),
        pytest.param(away("topics", 30 * SECOND), id="topics away for 30 s"),
        pytest.param(losing_answers("topics", 30), id="topics lose answers"),
        pytest.param(away("images", 5 * MINUTE), id="bucket away for 5 minutes"),
        pytest.param(losing_answers("images", 10), id="bucket loses answers"),
    ],
)
async def test_what_is_away_slow_or_forgetful_for_a_while_costs_time_and_nothing_else(
    fault: Fault, background: bool
) -> None:
    world = await _under_load(fault, background=background)
    _all_succeeded(world)
    assert sum(one.data["cost_unknown_attempts"] for one in world.store.all("requests")) == 0
    assert len(world.lane.calls) == COUNT, "an image was bought twice"


@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
async def test_every_message_twice_and_in_any_order_while_the_store_fails(background: bool) -> None:
    world = await _under_load(away("store", 10 * SECOND), background=background, twice=True)
    _all_succeeded(world)
    assert len(world.lane.calls) == COUNT


async def test_a_full_disk_beside_a_bucket_that_is_away_loses_no_request_and_names_the_paid_images() -> None:
    """Nothing can be kept then: what was made meanwhile is paid, on record with its cost, and ends as image_store."""

    async def fault(world: ChaosWorld) -> None:
        await world.clock.sleep(5)
        world.faults.away("images", 10 * MINUTE)
        world.faults.away("spool", 10 * MINUTE)

    world = await _under_load(fault)
    assert set(world.statuses().values()) <= {"succeeded", "failed"}
    for request in world.store.all("requests"):
        if request.data["status"] == "failed":
            assert request.data["outcome"]["code"] == "image_store"
            assert request.data["cost_micros"] > 0


@pytest.mark.parametrize(
    "skew", [timedelta(hours=-1), timedelta(seconds=-20), timedelta(seconds=20), timedelta(hours=1)]
)
async def test_a_machine_whose_clock_is_wrong_or_jumps_keeps_every_slot(skew: timedelta) -> None:
    world = ChaosWorld(f"*=rpm:{RPM}", latency=timedelta(seconds=6))
    clock = SkewedClock(world.clock)
    world.wall_clock = clock
    world.boot()
    reader = Reader(world)
    for number in range(COUNT):
        await world.submit(f"r-{number}")

    async def jumping() -> None:
        for _ in range(20):
            await world.clock.sleep(1.5)
            clock.skew = skew - clock.skew

    async def story() -> None:
        going_on = asyncio.ensure_future(jumping())
        await world._until_quiet(timedelta(hours=1))
        await going_on

    await world.run(story())
    reader.at_the_end()
    _all_succeeded(world)
    assert len(world.lane.calls) == COUNT
    assert all(count <= RPM for count in most_starts(world).values()), most_starts(world)


async def test_a_provider_that_flaps_for_ten_minutes_is_asked_little_while_it_is_down() -> None:
    world = ChaosWorld(f"*=rpm:{RPM}", latency=timedelta(seconds=6))
    began = world.clock.now()

    def is_down(order: Order, now: object) -> FailureKind | None:
        passed = world.clock.now() - began
        return FailureKind.OVERLOAD if passed < 10 * MINUTE and int(passed / (20 * SECOND)) % 2 else None

    world.lane.sick = is_down
    reader = Reader(world)
    for number in range(COUNT):
        await world.submit(f"r-{number}")
    await world.run_until_quiet(timedelta(hours=2))
    reader.at_the_end()
    _all_succeeded(world)
    assert len(world.lane.calls) <= 2 * COUNT, "a retry storm"


async def test_webhooks_that_are_all_lost_cost_seconds() -> None:
    world = ChaosWorld("", latency=timedelta(seconds=6))
    world.background = "on"
    world.boot()
    world.ports = replace(world.ports, has_webhooks=True)
    reader = Reader(world)
    for number in range(COUNT):
        await world.submit(f"r-{number}")
    await world.run_until_quiet(10 * MINUTE)
    assert world.clock.now() - world.started < 2 * MINUTE
    await world.run_for(10 * MINUTE)
    reader.at_the_end()
    _all_succeeded(world)


async def test_a_pump_that_dies_every_few_seconds_overruns_no_quota() -> None:
    world = ChaosWorld(f"*=rpm:{RPM}", latency=timedelta(seconds=6))
    reader = Reader(world)
    for number in range(3 * COUNT):
        await world.submit(f"r-{number}")
    for _ in range(12):
        await world.run_for(timedelta(seconds=2.7))
        world.faults.life.dead = True
        reader.now()
        await world.restart(one_machine=False)
    await world.run_until_quiet(timedelta(hours=1))
    reader.at_the_end()
    assert set(world.statuses().values()) <= {"succeeded", "failed"}
    assert all(count <= RPM for count in most_starts(world).values()), most_starts(world)
