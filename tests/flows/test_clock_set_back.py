"""The wall clock is set back, the monotonic one goes on: requests go on within seconds, and no limit is overrun."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pytest

from shared.core.admission import slot_calendar
from shared.core.admission.clock_rewind import rewound, set_back_by
from shared.core.admission.fleet_pace import FleetPace, Late, Recent, concurrency_cap
from shared.core.admission.model_state import ModelState
from shared.core.admission.spend_window import Spend
from shared.core.admission.tick import Memory
from shared.core.limits.quota import Limits
from shared.core.observability import events
from shared.core.times.leases import LEASE
from shared.core.values.status import FINAL
from shared.flows.clock import ClockSetBack, Reads, ServerTime
from shared.flows.pump.tick import TickRunner
from tests.world import World

STEPS = [timedelta(seconds=120), timedelta(hours=1), timedelta(days=2)]
SMALL = [timedelta(seconds=1), timedelta(seconds=10), timedelta(seconds=40)]
NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)


async def until_ended(world: World, request_id: str, within: float) -> None:
    began = world.clock.monotonic()
    while world.statuses().get(request_id) not in FINAL:
        await world.clock.sleep(0.25)
        assert world.clock.monotonic() - began < within, (world.status(request_id)["status"], world.crashes)


@pytest.mark.parametrize("quota", ["", "*=rpm:60"], ids=["no limit known", "60 a minute"])
@pytest.mark.parametrize("restart", [False, True], ids=["goes on", "restarted"])
@pytest.mark.parametrize("by", STEPS, ids=str)
async def test_requests_go_on_within_seconds_of_a_step_back(by: timedelta, restart: bool, quota: str) -> None:
    world = World(quota=quota)
    for number in range(5):
        await world.submit(f"before-{number}")
    await world.run_until_quiet()
    world.clock.set_back(by)
    if restart:
        await world.restart()

    async def story() -> None:
        for number in range(3):
            await world.submit(f"after-{number}")
        for number in range(3):
            await until_ended(world, f"after-{number}", within=15)

    await world.run_for(timedelta(seconds=60), story())
    assert set(world.statuses().values()) == {"succeeded"}
    assert world.crashes == []
    assert len(world.lane.calls) == 8, "nothing is paid twice"


@pytest.mark.parametrize("quota", ["", "*=rpm:60"], ids=["no limit known", "60 a minute"])
@pytest.mark.parametrize("by", STEPS, ids=str)
async def test_a_step_with_calls_in_flight_and_a_queue_costs_seconds(by: timedelta, quota: str) -> None:
    world = World(quota=quota, latency=timedelta(seconds=8))

    async def story() -> None:
        for number in range(12):
            await world.submit(f"before-{number}")
        await world.clock.sleep(3)
        assert world.lane.calls, "some are in flight"
        world.clock.set_back(by)
        await world.clock.sleep(1)
        await world.submit("after")
        await until_ended(world, "after", within=45)
        for number in range(12):
            await until_ended(world, f"before-{number}", within=45)

    await world.run_for(timedelta(minutes=3), story())
    assert set(world.statuses().values()) == {"succeeded"}
    assert world.crashes == []
    assert len(world.lane.calls) == 13, "nothing is paid twice"


@pytest.mark.parametrize("by", STEPS, ids=str)
async def test_no_minute_is_overrun_by_a_step(by: timedelta) -> None:
    world = World(quota="*=rpm:30")
    began_before: list[int] = []

    async def story() -> None:
        for number in range(70):
            await world.submit(f"r-{number}")
        await world.clock.sleep(20)
        world.clock.set_back(by)
        began_before.append(len(world.lane.calls))
        for number in range(70):
            await until_ended(world, f"r-{number}", within=240)

    await world.run_for(timedelta(minutes=6), story())
    (count,) = began_before
    starts = [call.at if number < count else call.at + by for number, call in enumerate(world.lane.calls)]
    minute = timedelta(seconds=60)
    assert max(sum(first <= at < first + minute for at in starts) for first in starts) <= 30
    assert set(world.statuses().values()) == {"succeeded"}


@pytest.mark.parametrize("by", [*SMALL, *(-step for step in STEPS)], ids=str)
async def test_small_steps_back_and_steps_forward_heal(by: timedelta) -> None:
    world = World()

    async def story() -> None:
        for number in range(4):
            await world.submit(f"before-{number}")
        await world.clock.sleep(2)
        world.clock.set_back(by)
        await world.submit("after")
        await until_ended(world, "after", within=90)

    await world.run_for(timedelta(minutes=3), story())
    assert set(world.statuses().values()) == {"succeeded"}
    assert world.crashes == []


async def test_who_sleeps_until_a_time_of_the_old_clock_is_woken() -> None:
    world = World()
    from shared.core.provider.failure import FailureKind

    world.lane.then(FailureKind.OVERLOAD)

    async def story() -> None:
        await world.submit()
        while world.statuses().get("r-1") != "queued" or world.status()["wake_at"] is None:
            await world.clock.sleep(0.1)
        world.clock.set_back(timedelta(hours=1))
        await world.submit("r-2")
        await until_ended(world, "r-1", within=90)

    await world.run_for(timedelta(minutes=3), story())
    (report,) = world.signals.of(events.CLOCK_SET_BACK)
    assert 3500 < int(report["seconds"]) < 3700  # type: ignore[call-overload]


# -- a tick that fails ------------------------------------------------------------------------------------------------


async def test_a_pump_whose_tick_fails_says_so_once_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = TickRunner.tick, [0]

    async def tick(granting: TickRunner, kicked: Collection[str] | None) -> bool:
        failures[0] += 1
        if failures[0] <= 3:
            raise ValueError("negative shift count")
        return await real(granting, kicked)

    monkeypatch.setattr(TickRunner, "tick", tick)
    world = World()
    await world.submit()
    await world.run_until_quiet(timedelta(minutes=1))
    assert world.status()["status"] == "succeeded"
    assert world.signals.of(events.TICK_FAILED) == [{"reason": "ValueError"}]
    assert world.crashes == []


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-1, -120, -86_400])
def test_no_time_since_the_first_use_may_be_negative(seconds: float) -> None:
    assert concurrency_cap(Limits(), 400, timedelta(seconds=seconds)) == concurrency_cap(Limits(), 400, timedelta(0))
    fleet = FleetPace(seen_at=NOW)
    late = fleet.after(in_air=0, late=Late(), recent=Recent(9, 9), capacity=400, now=NOW + timedelta(seconds=seconds))
    assert late.pace == fleet.pace
    assert late.lead_seconds == fleet.lead_seconds


def test_what_is_remembered_moves_with_the_clock() -> None:
    by = timedelta(hours=1)
    number = slot_calendar.bucket_of(NOW)
    full = slot_calendar.Calendar(
        buckets={number: slot_calendar.Weight(3)}, closed_until=NOW + by, closed_why="overload"
    )
    midnight = slot_calendar.Calendar(closed_until=NOW + by, closed_why="quota_day")
    memory = Memory(
        standings={"a": ModelState(full), "b": ModelState(midnight)},
        fleet=FleetPace(seen_at=NOW, judged_from=NOW),
        spend=Spend({1000: 5}),
    )
    assert set_back_by(memory, NOW - by) == by
    assert set_back_by(memory, NOW - timedelta(seconds=45)) == set_back_by(memory, NOW + by) == timedelta(0)
    moved = rewound(memory, by)
    assert moved.standings["a"].calendar.buckets == {number - 7200: slot_calendar.Weight(3)}
    assert moved.standings["a"].calendar.closed_until == NOW
    assert moved.standings["b"].calendar.closed_until == NOW + by, "midnight is midnight"
    assert moved.fleet.seen_at == moved.fleet.judged_from == NOW - by
    assert moved.spend.buckets == {280: 5}
    assert moved.epoch == memory.epoch + 1


async def test_the_store_s_time_is_taken_as_it_is_when_it_falls_by_more_than_a_lease() -> None:
    world = World()
    reads, store = Reads(world.clock), world.clock.now()
    assert reads.time_after(store).now() == store
    assert reads.time_after(store - LEASE).now() == store
    fallen = store - LEASE - timedelta(seconds=1)
    assert reads.time_after(fallen).now() == fallen
    time = ServerTime(world.clock, store)
    time.observe(store - LEASE)
    assert time.now() == store
    with pytest.raises(ClockSetBack):
        time.observe(fallen)
