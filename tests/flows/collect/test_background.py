"""Background calls: a start that is acknowledged at once, and a collection by whoever comes first."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.core.messages.pubsub_messages import Arrival
from shared.core.messages.topics import RENDER_ARRIVALS
from shared.core.routing.background_proof import PATH, Setting
from tests.world import World

CIRCUIT = "standard/gemini-nano-banana-2.1"


def a_world(background: Setting = "on", **options: Any) -> World:
    world = World(latency=options.pop("latency", timedelta(seconds=20)), **options)
    world.background = background
    world.boot()
    return world


async def test_a_call_in_the_background_is_collected_by_polling_alone_and_its_record_is_deleted() -> None:
    world = a_world()
    await world.submit()
    await world.run_until_quiet(timedelta(minutes=2))
    status = world.status()
    assert status["status"] == "succeeded"
    assert status["cost_basis"] == "metered"
    assert [each["outcome"]["code"] for each in world.attempts()] == ["succeeded"]
    assert len(world.lane.calls) == 1
    assert world.interactions.kept == []
    assert status["leftovers"] == []
    assert world.attempts()[0]["latency_ms"] == pytest.approx(20_000, abs=200)
    assert world.crashes == []
