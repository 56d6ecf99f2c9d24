"""The series in virtual time: what the console draws is what the ledger says, at most one write a minute."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from shared.core.observability.series import MINUTE, PATH, Series, number
from shared.core.provider.failure import FailureKind
from tests.builders import a_failure
from tests.world import World

PRO = "gemini-3-pro-image"
NAMES = ("attempts", "images", "cost_micros")


def of(world: World) -> Series:
    return next(Series.from_json(item.data) for item in world.store.all("series"))


def total(world: World, name: str) -> int:
    result = of(world)
    return sum(item or 0 for item in result.minutes.column(name, result.minutes.first, result.minutes.length))


async def test_the_points_add_up_to_the_ledger_and_cost_one_write_a_minute() -> None:
    world = World(quota="*=rpm:30", latency=timedelta(seconds=4))
    await world.run_for(timedelta(minutes=1))
    world.lane.then(*(a_failure(FailureKind.OVERLOAD) for _ in range(3)))
    for index in range(70):
        await world.submit(f"r-{index}", purpose="final", priority="bulk")
    await world.run_until_quiet()
    await world.run_for(timedelta(minutes=3))
    booked: Counter[str] = Counter()
    for item in world.store.all("ledger"):
        booked.update({name: item.data.get(name, 0) for name in NAMES})
        booked["failed"] += item.data.get("failed_overload", 0)
    assert booked["images"] == 70
    assert booked["failed"] == 3
    assert {name: total(world, name) for name in (*NAMES, "failed")} == dict(booked)
    assert total(world, f"attempts standard/{PRO}") == booked["attempts"]
    passed = (world.clock.now() - world.started) / MINUTE
    assert passed - 2 <= world.store.commits[PATH] <= passed + 1


async def test_waits_and_model_times_stand_in_the_minute_in_which_they_ended() -> None:
    world = World(quota="*=rpm:6", latency=timedelta(seconds=9))
    await world.run_for(timedelta(minutes=1))
    for index in range(12):
        await world.submit(f"r-{index}", purpose="final")
    await world.run_until_quiet()
    await world.run_for(timedelta(minutes=2))
    result = of(world)
    times = [item for item in result.minutes.column("model_50", result.minutes.first, result.minutes.length) if item]
    waits = [item for item in result.minutes.column("wait_95", result.minutes.first, result.minutes.length) if item]
    assert times
    assert all(75 <= item <= 100 for item in times)  # tenths of a second: the bucket of 7.5 to 10 s
    assert max(waits) >= 300  # six a minute: the last waited for a minute and more


async def test_a_time_without_a_worker_is_a_gap_and_an_idle_one_is_not() -> None:
    world = World()
    await world.run_for(timedelta(minutes=5))
    idle = of(world).minutes.length
    world.clock.advance(timedelta(minutes=30))
    await world.run_for(timedelta(minutes=3))
    result = of(world)
    row = result.minutes.column("images", result.minutes.first, result.minutes.length)
    assert row[:idle] == [0] * idle
    assert row.count(None) >= 28
    assert number(result.at or world.started, MINUTE) == result.minutes.first + result.minutes.length - 1
