"""The reading of live limits: once a minute, the last good values kept, each change told once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import pytest
from msgspec.structs import replace

from shared.core.limits.live_quota import PATH, LiveLimits, LiveQuota
from shared.core.observability import events
from shared.flows.upkeep.live_quota import read_live_quota
from shared.flows.upkeep.watch import watch
from shared.ports.quota import NotAsked, QuotaUnreadable
from tests.world import World

PRO = "gemini-3-pro-image"
MINUTE = timedelta(minutes=1)
DENIED = QuotaUnreadable("denied", "no", "grant it")


@pytest.fixture
def world() -> World:
    world = World()
    world.live_quota.answer = {PRO: {"rpm": 60, "rpd": None}}
    return world


@dataclass
class Overtaken:
    """A provider that answers when another reader has already read and written."""

    world: World

    async def limits(self) -> Mapping[str, LiveLimits]:
        await read_live_quota(self.world.ports)
        return {PRO: LiveLimits({"rpm": 5}, self.world.clock.now())}

    async def usage(self) -> NotAsked:
        return NotAsked()


async def minutes(world: World, count: int = 1) -> LiveQuota:
    """Read, and let a minute pass, so many times; what is known then."""
    for _ in range(count):
        await world.clock.run(read_live_quota(world.ports))
        world.clock.advance(MINUTE)
    return quota(world)


def quota(world: World) -> LiveQuota:
    (document,) = world.store.all("quota")
    assert document.path == PATH
    return LiveQuota.from_json(document.data)


def limits(world: World) -> dict[str, dict[str, int | None]]:
    return {model: dict(live_limits.dims) for model, live_limits in quota(world).by_model.items()}


async def test_the_watch_reads_the_limits(world: World) -> None:
    await world.clock.run(watch(world.ports, world.kicks, world.collector))
    assert limits(world) == {PRO: {"rpm": 60, "rpd": None}}
    assert quota(world).read_at == quota(world).tried_at == world.started
    assert world.signals.of(events.LIMIT_CHANGED) == []


async def test_a_raise_and_a_cut_are_known_a_minute_later(world: World) -> None:
    for rpm in (60, 600, 6):
        world.live_quota.answer = {PRO: {"rpm": rpm}}
        await minutes(world)
        assert limits(world) == {PRO: {"rpm": rpm}}
    changes = [(item["dimension"], item["old"], item["new"]) for item in world.signals.of(events.LIMIT_CHANGED)]
    assert changes == [("rpm", 60, 600), ("rpm", 600, 6)]


async def test_a_limit_that_comes_or_goes_is_told_in_words(world: World) -> None:
    for limits in ({"rpm": 60}, {"rpm": None}, {}):
        world.live_quota.answer = {PRO: limits}
        await minutes(world)
    changes = [(item["model"], item["old"], item["new"]) for item in world.signals.of(events.LIMIT_CHANGED)]
    assert changes == [(PRO, 60, "unlimited"), (PRO, "unlimited", "unknown")]


async def test_a_watch_that_comes_more_often_reads_once_a_minute(world: World) -> None:
    for _ in range(13):  # three minutes, every 15 s
        await world.clock.run(read_live_quota(world.ports))
        world.clock.advance(timedelta(seconds=15))
    assert world.live_quota.readings == 4
    await world.clock.run(read_live_quota(world.ports, every=timedelta(0)))
    assert world.live_quota.readings == 5


async def test_minutes_of_unequal_length_are_all_read(world: World) -> None:
    for seconds in (60, 52, 68, 55):
        await world.clock.run(read_live_quota(world.ports))
        world.clock.advance(timedelta(seconds=seconds))
    assert world.live_quota.readings == 4


async def test_while_reading_fails_the_last_good_values_stay_and_age(world: World) -> None:
    await minutes(world)
    world.live_quota.answer = DENIED
    after = await minutes(world, 3)
    assert limits(world) == {PRO: {"rpm": 60, "rpd": None}}
    assert after.read_at == after.by_model[PRO].read_at == world.started
    assert after.tried_at == world.started + 3 * MINUTE
    assert after.problem is not None
    assert (after.problem.code, after.problem.remedy) == ("denied", "grant it")
    assert after.problem.since == world.started + MINUTE


async def test_a_first_reading_that_fails_is_on_record_too(world: World) -> None:
    world.live_quota.answer = DENIED
    first = await minutes(world)
    assert (first.by_model, first.read_at) == ({}, None)
    assert first.problem is not None


async def test_a_problem_is_told_once_and_its_end_too(world: World) -> None:
    good = world.live_quota.answer
    for reading in (good, DENIED, DENIED, QuotaUnreadable("unreachable", "?", "wait"), DENIED, good, good):
        world.live_quota.answer = reading
        await minutes(world)
    assert world.signals.of(events.QUOTA_UNREADABLE) == [
        {"what": "limits", "code": "denied", "reason": "no", "remedy": "grant it"},
        {"what": "limits", "code": "unreachable", "reason": "?", "remedy": "wait"},
        {"what": "limits", "code": "denied", "reason": "no", "remedy": "grant it"},
    ]
    (ended,) = world.signals.of(events.QUOTA_READABLE)
    assert ended == {"what": "limits", "failed_since": world.started + 4 * MINUTE}
    assert world.signals.of(events.LIMIT_CHANGED) == []


async def test_usage_is_kept_beside_the_limits(world: World) -> None:
    world.live_quota.used = {PRO: {"rpm": 7, "rpd": 640}}
    assert (await minutes(world)).usage == {PRO: {"rpm": 7, "rpd": 640}}
    assert quota(world).usage_read_at == world.started


async def test_usage_that_cannot_be_read_leaves_the_limits_alone(world: World) -> None:
    world.live_quota.used = {PRO: {"rpm": 7}}
    await minutes(world)
    world.live_quota.used = DENIED
    world.live_quota.answer = {PRO: {"rpm": 90}}
    after = await minutes(world, 2)
    assert limits(world) == {PRO: {"rpm": 90}}
    assert (after.problem, after.usage, after.usage_read_at) == (None, {PRO: {"rpm": 7}}, world.started)
    assert after.usage_problem is not None
    assert [item["what"] for item in world.signals.of(events.QUOTA_UNREADABLE)] == ["usage"]
    world.live_quota.used = NotAsked()
    assert (await minutes(world)).usage is None


async def test_where_nobody_is_asked_nothing_is_known_and_nothing_written(world: World) -> None:
    world.live_quota.answer = NotAsked()
    await world.clock.run(read_live_quota(world.ports))
    assert world.store.all("quota") == []


async def test_what_nobody_asks_for_any_more_is_removed(world: World) -> None:
    await minutes(world)
    world.live_quota.answer = NotAsked()
    await world.clock.run(read_live_quota(world.ports))
    assert world.store.all("quota") == []


async def test_of_two_readers_that_meet_the_first_to_write_wins(world: World) -> None:
    await minutes(world)
    world.live_quota.answer = {PRO: {"rpm": 90}}
    slow = replace(world.ports, live_quota=Overtaken(world))
    await world.clock.run(read_live_quota(slow))
    assert limits(world) == {PRO: {"rpm": 90}}
    assert [item["new"] for item in world.signals.of(events.LIMIT_CHANGED)] == [90, "unknown"]
