"""A worker that was told to end begins no call that it could not see through."""

from __future__ import annotations

from datetime import timedelta

from shared.core.observability import events
from tests.world import World


async def test_a_release_whose_slot_has_not_come_goes_back_to_the_front_unpaid() -> None:
    world = World("*=rpm:60")
    leaving = world.ports

    async def told_to_end() -> None:
        leaving.leaving.begun = True
        await world.clock.sleep(20)
        world.boot()  # another process goes on

    await world.submit()
    await world.run_for(timedelta(seconds=30), told_to_end())
    await world.run_until_quiet()
    reasons = [line["reason"] for line in world.signals.of(events.REQUEUED)]
    assert "its worker was shutting down" in reasons
    assert world.status()["status"] == "succeeded"
    assert world.status()["attempt_count"] == 1
    assert len(world.lane.calls) == 1, "nothing was called by the worker that went"
