"""What is paid for is stored, or kept until it can be: an image store that is away costs time, never a second image."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.core.observability import events
from shared.core.provider.kept_image import KeepRules
from shared.ports.images import ImagesUnavailable
from tests.flows.test_safety import Guard
from tests.world import Killed, World


class Away:
    """Takes the place of a port's methods until its time has come."""

    def __init__(self, world: World, port: Any, *verbs: str, until: timedelta) -> None:
        self.calls = 0
        ends_at = world.clock.now() + until
        for verb in verbs:
            setattr(port, verb, self._guarded(world, getattr(port, verb), ends_at))

    def _guarded(self, world: World, real: Any, ends_at: Any) -> Any:
        async def called(*args: Any) -> Any:
            self.calls += 1
            if world.clock.now() < ends_at:
                raise ImagesUnavailable("the bucket is away; check RENDERLANE_IMAGES")
            return await real(*args)

        return called


def is_paid_once(world: World) -> None:
    assert len(world.lane.calls) == 1
    assert world.status()["attempt_count"] == 1
    assert world.status()["cost_basis"] == "metered"
    assert world.status()["cost_unknown_attempts"] == 0
    assert world.ledger_micros() == world.status()["cost_micros"] > 0
    assert [event["status"] for event in world.results()] == ["succeeded"]
    assert len(world.images.stored) == 1
    assert world.spool.kept == {}


@pytest.mark.parametrize("verbs", [("put",), ("put", "find")])
async def test_a_paid_image_waits_for_its_store_for_hours_and_is_not_bought_again(verbs: tuple[str, ...]) -> None:
    world = World()
    Away(world, world.images, *verbs, until=timedelta(hours=3))
    world.boot()
    await world.submit()
    await world.run_for(timedelta(hours=2))
    assert world.status()["status"] == "rendering"
    assert "is paid for and waits to be stored" in world.status()["reason"]
    (escalation,) = world.signals.of(events.ESCALATION)
    assert escalation["runbook"] == "paid-image-waits"
    await world.run_until_quiet()
    assert world.status()["status"] == "succeeded"
    assert world.status()["reason"] is None
    is_paid_once(world)


@pytest.mark.parametrize("one_machine", [True, False])
@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("step", range(16))
async def test_a_death_at_any_step_after_it_is_kept_loses_nothing(step: int, *, after: bool, one_machine: bool) -> None:
    world = World()
    guard = Guard(after=after)
    world.guard = guard
    Away(world, world.images, "put", until=timedelta(minutes=5))
    world.boot()
    await world.submit()

    async def kill_later() -> None:
        while not world.spool.kept:
            await world.clock.sleep(0.05)
        guard.kill_at = len(guard.calls) + step

    killing = kill_later()
    try:
        await world.run_for(timedelta(minutes=30), killing)
    except Killed:
        await world.restart(one_machine=one_machine)
    else:
        assert not guard.killed
    await world.run_until_quiet()
    assert world.status()["status"] == "succeeded"
    is_paid_once(world)


async def test_the_request_ends_with_the_place_of_its_image_after_a_day() -> None:
    world = World()
    Away(world, world.images, "put", until=timedelta(days=30))
    world.boot()
    await world.submit()
    await world.run_until_quiet()
    outcome = world.status()["outcome"]
    (key,) = world.spool.kept
    assert (world.status()["status"], outcome["code"]) == ("failed", "image_store")
    assert f"kept at spool://{key}" in outcome["message"]
    assert world.status()["finished_at"] - world.started >= world.ports.keep_rules.keep_for
    assert len(world.lane.calls) == 1
    assert world.status()["cost_basis"] == "metered"


async def test_an_attempt_is_not_called_crashed_while_nobody_can_see_whether_its_image_is_stored() -> None:
    world = World()
    guard = Guard()
    world.guard = guard
    world.boot()
    await world.submit()

    async def kill_when_stored() -> None:
        while not world.images.stored:
            await world.clock.sleep(0.05)
        Away(world, world.images, "find", until=timedelta(hours=1))
        guard.kill_at = len(guard.calls)

    with pytest.raises(Killed):
        await world.run_for(timedelta(minutes=5), kill_when_stored())
    await world.restart()
    await world.run_for(timedelta(minutes=30))
    assert world.status()["status"] in ("rendering", "succeeded")
    await world.run_until_quiet()
    assert world.status()["status"] == "succeeded"
    is_paid_once(world)


async def test_an_image_that_nothing_takes_is_held_in_memory_and_stored_when_something_does() -> None:
    world = World()
    Away(world, world.images, "put", "find", until=timedelta(minutes=6))
    Away(world, world.spool, "keep", "find", until=timedelta(minutes=6))
    world.boot()
    await world.submit()
    await world.run_until_quiet()
    assert world.status()["status"] == "succeeded"
    is_paid_once(world)


async def test_an_image_that_can_be_kept_nowhere_is_paid_for_once_and_said_to_be_lost() -> None:
    world = World()
    Away(world, world.images, "put", until=timedelta(days=30))
    Away(world, world.spool, "keep", until=timedelta(days=30))
    world.boot()
    await world.submit()
    await world.run_until_quiet()
    assert world.status()["outcome"]["code"] == "image_store"
    assert "could not be kept elsewhere either" in world.status()["outcome"]["message"]
    assert world.status()["finished_at"] - world.started >= KeepRules().hold_for
    assert len(world.lane.calls) == 1
    assert world.status()["cost_micros"] > 0


async def test_a_store_that_is_away_is_asked_a_few_times_a_minute_however_many_images_wait() -> None:
    world = World()
    away = Away(world, world.images, "put", until=timedelta(minutes=30))
    world.boot()
    for number in range(40):
        await world.submit(f"r-{number}")
    await world.run_for(timedelta(minutes=10))
    before = away.calls
    await world.run_for(timedelta(minutes=10))
    assert away.calls - before <= 40
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    assert len(world.lane.calls) == 40
    assert world.spool.kept == {}


async def test_one_image_that_can_never_be_stored_does_not_keep_the_others_waiting() -> None:
    world = World()
    real, ends_at = world.images.put, world.clock.now() + timedelta(minutes=10)

    async def put(key: str, *rest: Any) -> Any:
        if b"r-0" in rest[0].data or world.clock.now() < ends_at:
            raise ImagesUnavailable("not this one")
        return await real(key, *rest)

    world.images.put = put  # type: ignore[method-assign, assignment]
    world.boot()
    for number in range(5):
        await world.submit(f"r-{number}")
    await world.run_for(timedelta(minutes=30))
    assert [status for name, status in world.statuses().items() if name != "r-0"] == ["succeeded"] * 4
    assert world.status("r-0")["status"] == "rendering"


async def test_a_cancellation_while_the_image_waits_comes_too_late_and_costs_no_second_image() -> None:
    world = World()
    Away(world, world.images, "put", until=timedelta(minutes=10))
    world.boot()
    await world.submit()

    async def cancel() -> None:
        await world.clock.sleep(200)
        await world.publish({"cancel": "r-1"})

    await world.run_for(timedelta(minutes=5), cancel())
    await world.run_until_quiet()
    assert world.status()["status"] == "succeeded"
    is_paid_once(world)
