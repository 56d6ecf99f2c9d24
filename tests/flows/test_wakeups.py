"""Kicks: an interactive request, an empty queue or a lapsed lead is worth one; never more than one a second."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shared.core.lifecycle.settlement import Effect
from shared.core.messages.pubsub_messages import Kick
from shared.core.messages.topics import PUMP_KICKS
from shared.core.provider.failure import FailureKind
from shared.flows.pump_status import PumpState, PumpView
from tests.world import World

PRO = "gemini-3-pro-image"
SECOND = timedelta(seconds=1)


def kicks(world: World) -> list[frozenset[str]]:
    """The queues that each kick so far named."""
    return [frozenset(Kick.parse(item.data).queues) for item in world.topics.on(PUMP_KICKS)]


async def test_the_first_request_of_an_empty_system_kicks_its_queue() -> None:
    world = World("*=rpm:60")
    await world.submit(model=PRO, priority="bulk")
    await world.run_for(timedelta(milliseconds=500))
    assert kicks(world) == [frozenset({f"{PRO}/bulk"})]


async def test_a_request_behind_others_that_the_pump_knows_of_kicks_nobody() -> None:
    world = World(f"{PRO}=rpm:2")

    async def one_after_the_other() -> None:
        for number in range(10):
            await world.submit(f"r-{number}", model=PRO)
            await world.clock.sleep(2)

    await world.run_for(25 * SECOND, one_after_the_other())
    assert len(kicks(world)) <= 6
    late = [call.at for call in world.lane.calls]
    assert len(late) == 2


async def test_an_interactive_request_kicks_whoever_leads() -> None:
    world = World(f"{PRO}=rpm:2")

    async def one_after_the_other() -> None:
        await world.submit("bulk", model=PRO, priority="bulk")
        for number in range(3):
            await world.clock.sleep(2)
            await world.submit(f"now-{number}", model=PRO, priority="interactive")

    await world.run_for(9 * SECOND, one_after_the_other())
    assert kicks(world).count(frozenset({f"{PRO}/interactive"})) == 3


async def test_a_hundred_interactive_requests_at_once_kick_at_most_once_a_second() -> None:
    world = World(f"{PRO}=rpm:6")
    for number in range(100):
        await world.submit(f"r-{number}", model=PRO, priority="interactive")
    await world.run_for(10 * SECOND)
    assert len(world.statuses()) == 100
    assert 1 <= len(kicks(world)) <= 2 + 10 / 0.8


async def test_kicks_that_come_too_soon_go_out_together_and_name_every_queue() -> None:
    world = World()

    async def story() -> None:
        await world.kicks.kick("a/normal")
        began = world.clock.monotonic()
        await asyncio.gather(*(world.kicks.kick(item) for item in ("b/normal", "c/bulk", "d/bulk")))
        assert 0.8 <= world.clock.monotonic() - began <= 1.0

    await world.clock.run(story())
    assert kicks(world) == [frozenset({"a/normal"}), frozenset({"b/normal", "c/bulk", "d/bulk"})]


async def test_a_kick_that_names_no_queue_says_that_any_may_have_something_new() -> None:
    world = World()

    async def story() -> None:
        await world.kicks.kick()
        await asyncio.gather(world.kicks.kick("b/normal"), world.kicks.kick())

    await world.clock.run(story())
    assert kicks(world)[0] == frozenset()


async def test_the_schedule_kicks_a_queue_that_nobody_pumps() -> None:
    """A kick may be lost with its process."""
    world = World("*=rpm:60")
    publish = world.topics.publish

    async def loses_kicks(topic: str, data: bytes, attributes: dict[str, str] | None = None) -> str:
        return "lost" if topic == PUMP_KICKS else await publish(topic, data, attributes)

    world.topics.publish = loses_kicks  # type: ignore[method-assign, assignment]
    await world.submit()
    await world.run_for(5 * SECOND)
    assert world.statuses() == {"r-1": "queued"}
    world.topics.publish = publish  # type: ignore[method-assign]
    await world.run_until_quiet(within=timedelta(minutes=2))
    assert world.statuses() == {"r-1": "succeeded"}


async def test_a_request_that_comes_back_when_the_pump_has_left_kicks_it() -> None:
    world = World(latency=30 * SECOND)
    world.lane.then(FailureKind.OVERLOAD)
    await world.submit(model=PRO)

    async def story() -> None:
        await world.clock.sleep(29)
        (pump,) = world.store.all("pump")
        assert pump.data["lead_until"] is None, "it has left: the only request is in flight"
        before = len(kicks(world))
        await world.clock.sleep(4)
        assert len(kicks(world)) > before

    await world.run_for(40 * SECOND, story())


@pytest.mark.parametrize(("state", "effect", "count"), [
    ("left", "queued", 1), ("left", "final", 0), ("leads", "queued", 0), ("lapsed", "final", 1),
    ("lapsed", "queued", 1),
])  # fmt: skip
async def test_after_a_render_the_pump_is_kicked_where_nobody_would_notice_else(
    monkeypatch: pytest.MonkeyPatch, state: PumpState, effect: Effect, count: int
) -> None:
    async def idle(_: PumpView) -> PumpState:
        return state

    monkeypatch.setattr(PumpView, "state", idle)
    world = World()
    await world.run(world.kicks.after_render(effect))
    assert len(kicks(world)) == count
