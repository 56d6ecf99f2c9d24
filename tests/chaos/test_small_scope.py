"""Small scope, exhaustively: before each single step of a request's way something else happens on another machine."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from shared.core.messages.pubsub_messages import Arrival, ReleaseMessage
from shared.core.messages.topics import RENDER_ARRIVALS
from shared.core.routing.flag import Flag, Scope
from shared.core.routing.flag_board import FlagRefused
from shared.flows.collect.collect import collect
from shared.flows.intake.intake import accept_message, cancel
from shared.flows.operations import flags, tenants
from shared.flows.render.render import render
from shared.flows.requests.message import Message
from shared.flows.upkeep.watch import watch
from tests.chaos.chaos_world import ChaosWorld
from tests.chaos.reader import Reader

LONG = os.environ.get("RENDERLANE_CHAOS") == "long"
OFTEN = 3
FINAL = ("succeeded", "refused", "failed", "expired", "cancelled")
Event = Callable[[ChaosWorld], Awaitable[None]]


async def cancelled(other: ChaosWorld) -> None:
    await cancel(other.ports, "web", "r-1")


async def watched(other: ChaosWorld) -> None:
    await watch(other.ports, other.kicks, other.collector)


async def submitted_again(other: ChaosWorld) -> None:
    data = b'{"request_id": "r-1", "prompt": "a lighthouse", "tenant": "web"}'
    await accept_message(other.ports, other.kicks, other.tags, Message("again", data))


async def rendered_there(other: ChaosWorld) -> None:
    """The newest release is delivered a second time, while the first delivery is at work."""
    for request in other.store.all("requests"):
        if request.data["release"]:
            release = ReleaseMessage(request.id, request.data["release"])
            await render(other.ports, other.kicks, other.evidence, Message("twice", release.to_bytes()))


async def collected_there(other: ChaosWorld) -> None:
    for name, record in list(other.interactions.records.items()):
        arrival = Arrival(name, record.order.key, record.order.attempt)
        message = Message("webhook", arrival.to_bytes(), {}, RENDER_ARRIVALS)
        await collect(other.ports, other.kicks, other.collector, message)


async def lease_lapsed(other: ChaosWorld) -> None:
    """The machine stands still for a minute, and is believed dead."""
    other.clock.advance(timedelta(minutes=1))
    await watched(other)


async def paused(other: ChaosWorld) -> None:
    now = other.clock.now()
    flag = Flag("pause", "pause", "ann", "short", now, now + timedelta(minutes=2), scope=Scope(tenant="web"))
    try:
        await flags.trip(other.store, other.signals, flag)
    except FlagRefused:
        pass


async def without_money(other: ChaosWorld) -> None:
    await tenants.set_budget(other.store, "web", limit_micros=0, over="refuse")


async def another_leads(other: ChaosWorld) -> None:
    await other.pump.kicked(answer_within=timedelta(seconds=2))


EVENTS: tuple[Event, ...] = (
    cancelled, watched, submitted_again, rendered_there, collected_there, lease_lapsed, paused, without_money,
    another_leads,
)  # fmt: skip


async def _through(event: Event | None, at: int | None, background: bool) -> ChaosWorld:
    world = ChaosWorld("*=rpm:60", latency=timedelta(seconds=4))
    world.background = "on" if background else "off"
    world.boot()
    other = world.fellow()
    await world.run(tenants.set_budget(world.store, "web", limit_micros=5_000_000))
    world.faults.steps.clear()
    reader = Reader(world)

    async def interrupt() -> None:
        reader.now()
        assert event is not None
        await event(other)
        reader.now()

    world.faults.interrupt_at, world.faults.interrupt = at, interrupt
    await world.submit("r-1", tenant="web")
    await world.run_until_quiet(timedelta(minutes=30))
    await world.run_for(timedelta(minutes=6))
    reader.at_the_end()
    assert all(isinstance(error, ConnectionError) for error in world.crashes), world.crashes
    return world


@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
async def test_whatever_happens_between_two_steps_the_request_ends_once_and_its_books_are_right(
    event: Event, background: bool
) -> None:
    steps = (await _through(None, None, background)).faults.steps
    times = Counter[str]()
    for at, step in enumerate(steps):
        times[step] += 1
        if not LONG and times[step] > OFTEN:
            continue
        try:
            world = await _through(event, at, background)
        except BaseException as error:
            error.add_note(f"{event.__name__} before step {at}: {step}")
            raise
        (status,) = world.statuses().values()
        assert status == "succeeded" or (event in (cancelled, without_money) and status in ("cancelled", "failed")), (
            f"{status} after {event.__name__} before step {at}: {step}"
        )
        crashed = sum(one["outcome"]["code"] == "crashed" for one in world.attempts())
        assert len(world.lane.calls) <= 1 + crashed + sum(
            one["outcome"]["code"] == "duplicate" for one in world.attempts()
        ), f"{event.__name__} before step {at}: {step}"
