"""A tripped flag bends what waits, without touching it; what is in flight ends as it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from shared.core.messages.pubsub_messages import Kick
from shared.core.messages.topics import PUMP_KICKS
from shared.core.routing.flag import Flag, Scope
from shared.core.routing.flag_board import FlagRefused
from shared.core.routing.flag_kinds import FlagName
from shared.flows.operations import flags
from tests.world import World

PRO, NB21 = "gemini-3-pro-image", "gemini-nano-banana-2.1"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def a_flag(
    world: World,
    name: FlagName = "use-nano-banana-2",
    *,
    lasts: timedelta = timedelta(hours=2),
    to: str | None = None,
    shadow: bool = False,
    **scope: Any,
) -> Flag:
    now = world.clock.now()
    return Flag(
        id=f"{name}-{now:%H%M%S}", name=name, actor="ann", reason="quota is short", tripped_at=now,
        expires_at=now + lasts, to=to, scope=Scope(**scope), shadow=shadow,
    )  # fmt: skip


async def trip(world: World, name: FlagName, **more: Any) -> Flag:
    return await flags.trip(world.store, world.signals, a_flag(world, name, **more))


async def reset(world: World, flag: Flag) -> None:
    await flags.reset(world.store, world.signals, flag.id, "ann", "quota is back")


def models(world: World) -> Counter[str]:
    return Counter(call.order.model for call in world.lane.calls)


async def test_a_tripped_flag_bends_the_whole_backlog_within_three_seconds_without_rewriting_it() -> None:
    world = World(quota="*=rpm:60")
    for number in range(300):
        await world.submit(f"r-{number:03d}", model=PRO, image_size="2K")

    async def story() -> None:
        await world.clock.sleep(30)
        tripped = await trip(world, "use-nano-banana-2")
        at = world.clock.now()
        writes = {
            document.path: document.version
            for document in world.store.all("requests")
            if document.data["status"] == "queued"
        }
        await world.clock.sleep(20)
        assert all(call.order.model == NB21 for call in world.lane.calls if call.at > at + 3 * SECOND)
        still = [document for document in world.store.all("requests") if document.data["status"] == "queued"]
        assert still
        assert all(writes[document.path] == document.version for document in still), "the backlog is not rewritten"
        await reset(world, tripped)
        at = world.clock.now()
        await world.clock.sleep(61)
        assert all(call.order.model == PRO for call in world.lane.calls if call.at > at + 3 * SECOND)

    await world.run_for(2 * MINUTE, story())
    await world.run_until_quiet()
    for document in world.store.all("requests"):
        receipt = document.data["receipt"]
        bent = receipt["delivered"]["model"] == NB21
        assert bent == bool(receipt["flags"])
        assert bent == any("flag use-nano-banana-2 by ann: quota is short" in why for why in receipt["reasons"])
    assert models(world)[NB21] > 0
    assert models(world)[PRO] > 200


async def test_a_kick_that_names_no_queue_has_a_flag_seen_at_once() -> None:
    world = World(quota="*=rpm:60")
    await world.submit("r-before", model=PRO)

    async def story() -> None:
        await world.clock.sleep(0.3)  # the pump has just looked at the flags
        await trip(world, "use-nano-banana-2")
        await world.submit("r-after", model=PRO)
        await world.clock.sleep(0.1)
        await world.topics.publish(PUMP_KICKS, Kick().to_bytes())

    await world.run_for(2 * SECOND, story())
    await world.run_until_quiet()
    assert [call.order.model for call in world.lane.calls] == [PRO, NB21]


async def test_what_is_in_flight_ends_as_it_is() -> None:
    world = World(latency=20 * SECOND)
    await world.submit("r-1", model=PRO)

    async def story() -> None:
        await world.clock.sleep(5)
        await trip(world, "use-nano-banana-2")

    await world.run_for(40 * SECOND, story())
    assert world.status("r-1")["receipt"]["delivered"]["model"] == PRO
    assert len(world.lane.calls) == 1


async def test_a_flag_resets_by_itself_and_history_says_so() -> None:
    world = World(quota="*=rpm:60")
    await world.clock.run(trip(world, "lower-resolution", to="1K", lasts=10 * MINUTE))
    await world.submit("r-1", model=PRO, image_size="4K")
    await world.run_until_quiet()
    await world.run_for(12 * MINUTE)
    await world.submit("r-2", model=PRO, image_size="4K")
    await world.run_until_quiet()
    assert world.status("r-1")["receipt"]["delivered"]["image_size"] == "1K"
    assert world.status("r-2")["receipt"]["delivered"]["image_size"] == "4K"
    assert [document.data["action"] for document in world.store.all("flag_history")] == ["trip", "expire"]


async def test_pause_holds_a_tenant_while_others_go_on_and_a_reset_lets_it_go() -> None:
    world = World(quota="*=rpm:600")
    await world.clock.run(trip(world, "pause", tenant="web"))
    for number in range(150):
        await world.submit(f"w-{number}", tenant="web", model=PRO)
    await world.submit("a-1", tenant="app", model=PRO)
    await world.run_for(MINUTE)
    assert world.status("a-1")["status"] == "succeeded"
    assert {world.status(f"w-{number}")["status"] for number in range(150)} == {"queued"}

    async def story() -> None:
        (flag,) = (await flags.read_own(world.store)).flags.values()
        await reset(world, flag)
        await world.kicks.kick()

    await world.run_for(30 * SECOND, story())
    assert {world.status(f"w-{number}")["status"] for number in range(150)} == {"succeeded"}


async def test_a_page_of_paused_requests_hides_nobody_behind_it() -> None:
    """All of one tenant: they stand in the order they came in."""
    world = World(quota="*=rpm:600")
    await world.clock.run(trip(world, "pause", purpose="final"))
    for number in range(150):
        await world.submit(f"w-{number}", purpose="final", model=PRO)
        await world.clock.run(world.clock.sleep(0.001))
    await world.run_for(5 * SECOND)
    await world.submit("a-1", model=PRO)
    await world.run_for(MINUTE)
    waiting = {document.id: document.data["fair_tag"] for document in world.store.all("requests")}
    before = [name for name in waiting if waiting[name] < waiting["a-1"]]
    assert len(before) == 150, "it stands behind more than a page of paused ones"
    assert world.status("a-1")["status"] == "succeeded"
    assert {world.status(f"w-{number}")["status"] for number in range(150)} == {"queued"}


async def test_a_paused_model_is_not_rewritten_and_the_pump_goes_home() -> None:
    world = World(quota="*=rpm:600")
    await world.clock.run(trip(world, "pause", model=PRO))
    for number in range(30):
        await world.submit(f"r-{number}", model=PRO)
    await world.run_for(20 * SECOND)
    versions = {document.path: document.version for document in world.store.all("requests")}
    reads = sum(world.store.commits.values())
    await world.run_for(50 * SECOND)
    assert versions == {document.path: document.version for document in world.store.all("requests")}
    assert sum(world.store.commits.values()) - reads < 12, "nobody works on what is paused"
    pump = next(iter(world.store.all("pump")))
    assert pump.data["held"][PRO]["reason"] == "paused"


async def test_a_flag_in_shadow_counts_what_it_would_change_and_changes_nothing() -> None:
    world = World(quota="*=rpm:600")
    flag = await world.clock.run(trip(world, "use-flex", shadow=True))
    for number in range(5):
        await world.submit(f"r-{number}", model=PRO)
    await world.submit("i-1", model=PRO, priority="interactive")
    await world.run_until_quiet()
    assert {call.order.lane for call in world.lane.calls} == {"standard"}
    await world.run_for(10 * SECOND)
    (pump,) = world.store.all("pump")
    effect = pump.data["routing"]["effects"][flag.id]
    assert effect["requests"] == 5
    assert effect["saved_micros"] > 5 * 60_000
    assert world.status("r-0")["receipt"]["reasons"] == []


async def test_two_operators_at_once_both_have_their_flag_and_each_change_its_line() -> None:
    world = World()

    async def story() -> None:
        await asyncio.gather(trip(world, "use-flex"), trip(world, "lower-resolution", to="2K"))

    await world.clock.run(story())
    board = await world.clock.run(flags.read_own(world.store))
    assert len(board.flags) == 2
    assert len(world.store.all("flag_history")) == 2


async def test_the_same_flag_twice_is_refused() -> None:
    world = World()
    flag = a_flag(world)

    async def story() -> None:
        await flags.trip(world.store, world.signals, flag)
        await flags.trip(world.store, world.signals, flag)

    with pytest.raises(FlagRefused, match="is already active"):
        await world.clock.run(story())
