"""A slot that could not be used is given back, also where its request changed meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from shared.core.provider.failure import FailureKind
from tests.world import World


async def test_a_request_that_is_cancelled_while_its_call_turns_out_late_ends_unpaid() -> None:
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
    assert (status["status"], status["outcome"]["code"]) == ("cancelled", "cancelled")
    assert (status["attempt_count"], len(world.attempts()), status["cost_micros"]) == (0, 0, 0), "no call left"
    assert (status["crash_count"], status["cost_unknown_attempts"]) == (0, 0), "it did not wait for its lease to end"
    assert [result["status"] for result in world.results()] == ["cancelled"]
