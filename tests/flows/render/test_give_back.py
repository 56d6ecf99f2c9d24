"""A slot that could not be used is given back, also where its request changed meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from shared.core.provider.failure import FailureKind
from tests.world import World


async def test_a_slot_is_given_back_also_where_a_cancellation_was_noted_on_its_attempt_meanwhile() -> None:
    world = World(latency=timedelta(seconds=20))
    world.lane.then(FailureKind.LATE)
    await world.submit()

    async def cancel_before_it_is_known_to_be_late() -> None:
        story = asyncio.ensure_future(world._until_quiet(timedelta(hours=1)))
        await world.clock.sleep(20)
        assert world.status()["status"] == "rendering"
        await world.publish({"cancel": "r-1"})
        await story

    await world.run(cancel_before_it_is_known_to_be_late())
    status = world.status()
    assert status["cancel_requested_at"] is not None
    assert (status["late_count"], status["attempt_count"], len(world.attempts())) == (1, 1, 1), "no call left at first"
    assert (status["crash_count"], status["cost_unknown_attempts"]) == (0, 0), "it did not wait for its lease to end"
