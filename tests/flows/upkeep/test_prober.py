"""A draft of our own every few minutes: published once a period, capped, and reported by how it ended."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from shared.core.messages.topics import RENDER_REQUESTS
from shared.core.observability import events
from shared.core.provider.failure import FailureKind
from shared.flows.upkeep.prober import MAX_COST_USD, TENANT
from tests.world import World

EVERY = timedelta(minutes=15)


def probing(**more: Any) -> World:
    world = World("*=rpm:60", **more)
    world.ports = replace(world.ports, probe_every=EVERY)
    return world


def ended(world: World) -> list[dict[str, object]]:
    return [*world.signals.of(events.PROBE_ENDED), *world.signals.of(events.PROBE_FAILED)]


async def test_without_it_nothing_is_published() -> None:
    world = World("*=rpm:60")
    await world.run_for(timedelta(hours=1))
    assert world.topics.on(RENDER_REQUESTS) == []


async def test_one_request_a_period_goes_the_whole_way_and_is_reported_as_it_ended() -> None:
    world = probing()
    await world.run_for(timedelta(minutes=61, seconds=30))
    published = [json.loads(message.data) for message in world.topics.on(RENDER_REQUESTS)]
    assert 4 <= len(published) <= 5
    assert len({request["request_id"] for request in published}) == len(published)
    assert {(request["tenant"], request["purpose"], request["max_cost_usd"]) for request in published} == {
        (TENANT, "draft", MAX_COST_USD)
    }
    assert set(world.statuses().values()) == {"succeeded"}
    assert [line["status"] for line in ended(world)] == ["succeeded"] * (len(published) - 1)
    assert all(0 < float(str(line["seconds"])) < 60 for line in ended(world))
    assert world.signals.of(events.PROBE_FAILED) == []


async def test_a_probe_that_fails_is_an_error_with_its_outcome() -> None:
    world = probing()
    world.lane.then(*[FailureKind.INVALID_REQUEST] * 50)
    await world.run_for(timedelta(minutes=32))
    failed = world.signals.of(events.PROBE_FAILED)
    assert [(line["status"], line["outcome"]) for line in failed][:1] == [("failed", "invalid_request")]


async def test_a_refusal_is_an_answer() -> None:
    world = probing()
    world.lane.then(*[FailureKind.REFUSED] * 50)
    await world.run_for(timedelta(minutes=32))
    assert world.signals.of(events.PROBE_FAILED) == []
    assert {line["status"] for line in world.signals.of(events.PROBE_ENDED)} == {"refused"}


async def test_a_probe_that_intake_never_put_on_record_is_reported_as_absent() -> None:
    world = probing()
    await world.run_for(timedelta(minutes=16))
    assert len(world.statuses()) == 2

    async def swallowed(*_: Any, **__: Any) -> str:
        return "message-lost"

    world.topics.publish = swallowed  # type: ignore[method-assign]
    await world.run_for(timedelta(minutes=30))
    assert "absent" in [line["status"] for line in world.signals.of(events.PROBE_FAILED)]
