"""The one elected loop: who leads, what it writes, and that no backlog and no death loses or holds anything."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from shared.core.admission.slot_calendar import Weight
from shared.core.limits.quota import Limits
from shared.core.messages.pubsub_messages import ReleaseMessage
from shared.core.messages.topics import PUMP_KICKS, RENDER_RELEASES
from shared.core.observability import events
from shared.core.values import release as releases
from shared.core.values.documents import Create, Update
from shared.flows.pump.lead import LEADER_LEASE, UNDISTURBED
from shared.flows.pump.loop import Pump
from shared.flows.pump_status import PUMP, PumpView
from shared.flows.wakeups import Kicks
from shared.ports import Ports
from tests.builders import a_record, a_request
from tests.windows import keeps
from tests.world import World

PRO, NB21 = "gemini-3-pro-image", "gemini-nano-banana-2.1"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


async def queued(world: World, number: int, prefix: str = "r", **fields: Any) -> None:
    """So many requests as intake would have queued them; the message that told of them has long been taken."""
    request = a_request(request_id=f"{prefix}-0", **fields)
    written = a_record(request, now=world.clock.now())
    for item in range(number):
        request_id = f"{prefix}-{item}"
        content = written["request"] | {"request_id": request_id}
        await world.store.commit(
            Create(f"requests/{request_id}", written | {"request": content, "fair_tag": float(item)})
        )


def another_pump(world: World, boot: str = "boot-other") -> tuple[Pump, Ports]:
    ports = replace(world.ports, boot=boot)
    return Pump(ports, Kicks(ports, PumpView(ports))), ports


def lead(world: World) -> dict[str, Any]:
    return next(dict(document.data) for document in world.store.all("pump"))


def starts(world: World) -> list[tuple[Any, Weight]]:
    return [(call.at, Weight()) for call in world.lane.calls]


def done(world: World, prefix: str = "") -> int:
    return sum(1 for name, status in world.statuses().items() if name.startswith(prefix) and status == "succeeded")


# -- the lead ---------------------------------------------------------------------------------------------------------


async def test_of_two_pumps_one_leads_and_the_other_answers_at_once() -> None:
    world = World("*=rpm:60")
    other, _ = another_pump(world)

    async def second() -> None:
        await world.clock.sleep(1)
        began = world.clock.monotonic()
        await other.kicked()
        assert world.clock.monotonic() - began < 0.1

    await world.submit()
    await world.run_for(5 * SECOND, second())
    assert [item["holder"] for item in world.signals.of(events.LEAD_TAKEN)] == ["boot-1"]


async def test_a_pump_that_died_leads_for_six_seconds_more_and_then_anyone_may() -> None:
    world = World("*=rpm:60")
    await world.submit()
    await world.run_for(timedelta(seconds=0.2))
    assert lead(world)["lead_holder"] == "boot-1"
    other, _ = another_pump(world)
    world.clock.advance(LEADER_LEASE - SECOND)
    await world.clock.run(other.kicked(answer_within=SECOND))
    assert lead(world)["lead_holder"] == "boot-1"
    world.clock.advance(SECOND)
    await world.clock.run(other.kicked(answer_within=SECOND))
    assert [item["holder"] for item in world.signals.of(events.LEAD_TAKEN)] == ["boot-1", "boot-other"]


async def test_a_pump_whose_document_was_written_by_another_grants_nothing_more() -> None:
    """A stale lead loses its commit, and no release of it goes out."""
    world = World("*=rpm:60")

    async def overtake() -> None:
        await world.clock.sleep(1)
        pump = await world.store.get(PUMP)
        await world.store.commit(Update(PUMP, {"lead_holder": "boot-other"}, getattr(pump, "version", "")))
        await queued(world, 5)
        await world.kicks.kick(f"{PRO}/normal", "")

    await world.submit("first", model=PRO)
    await world.run_for(4 * SECOND, overtake())
    assert [item["why"] for item in world.signals.of(events.LEAD_LEFT)] == ["another pump leads"]
    assert set(world.statuses().values()) == {"succeeded", "queued"}
    assert done(world) == 1


async def test_a_loop_without_work_gives_its_lead_up_and_a_kick_brings_it_back() -> None:
    world = World("*=rpm:60")
    await world.submit("a")
    await world.run_until_quiet()
    await world.run_for(20 * SECOND)
    assert lead(world)["lead_holder"] is None
    assert world.signals.of(events.LEAD_LEFT)[-1]["why"] == "quiet"
    began = world.clock.now()
    await world.submit("b")
    await world.run_until_quiet()
    assert world.lane.calls[-1].at - began < SECOND


async def test_a_loop_whose_time_is_up_leaves_with_a_kick_for_the_next() -> None:
    world = World("*=rpm:6")
    await queued(world, 30, model=PRO)
    before = len(world.topics.on(PUMP_KICKS))
    await world.clock.run(world.pump.kicked(answer_within=10 * SECOND))
    assert lead(world)["lead_holder"] is None
    assert world.signals.of(events.LEAD_LEFT)[-1]["why"] == "time is up"
    assert len(world.topics.on(PUMP_KICKS)) == before + 1


# -- nothing is lost --------------------------------------------------------------------------------------------------


async def test_a_pump_killed_three_times_loses_nothing_and_overruns_no_minute() -> None:
    world = World(f"{PRO}=rpm:60")
    await queued(world, 150, model=PRO)
    await world.clock.run(world.kicks.kick())
    for _ in range(3):
        await world.run_for(11 * SECOND)
        await world.restart()
    await world.run_until_quiet(within=timedelta(minutes=10))
    assert done(world) == 150
    assert sum(len(world.attempts(f"r-{number}")) for number in range(150)) == len(world.lane.calls)
    assert keeps(starts(world), Limits(rpm=60))
    assert world.clock.now() - world.started < timedelta(minutes=4)


async def test_the_slot_of_a_request_that_was_cancelled_under_the_pump_goes_to_another() -> None:
    world = World(f"{PRO}=rpm:2")
    await queued(world, 3, model=PRO)
    taken = world.store.commit

    async def cancelled_just_before(*writes: Any) -> Any:
        first = writes[0]
        if isinstance(first, Update) and first.path == "requests/r-0" and first.changes.get("status") == "released":
            world.store.commit = taken  # type: ignore[method-assign]
            await taken(Update(first.path, {"status": "cancelled", "announce": None}, first.version))
        return await taken(*writes)

    world.store.commit = cancelled_just_before  # type: ignore[method-assign]
    await world.clock.run(world.kicks.kick())
    await world.run_for(10 * SECOND)
    assert world.statuses() == {"r-0": "cancelled", "r-1": "succeeded", "r-2": "succeeded"}


async def test_a_release_that_nobody_takes_up_for_ten_seconds_comes_back_with_its_slot() -> None:
    world = World(f"{PRO}=rpm:1")
    await queued(world, 1, model=PRO)
    publish = world.topics.publish

    async def loses_one(topic: str, data: bytes, attributes: Any = None) -> str:
        if topic == RENDER_RELEASES and ReleaseMessage.parse(data).number == 1:
            return "lost"
        return await publish(topic, data, attributes)

    world.topics.publish = loses_one  # type: ignore[method-assign]
    await world.clock.run(world.kicks.kick())
    await world.run_until_quiet(within=MINUTE)
    assert world.status("r-0")["release"] == 2
    assert timedelta(seconds=10) < world.lane.calls[0].at - world.started < timedelta(seconds=20)


# -- no model holds another -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quota", "backlog"), [("rpm:60,rpd:5", 10_000), ("rpm:3", 500), ("rpm:0", 500), ("concurrency:1", 500)]
)
async def test_a_backlog_of_one_model_never_blocks_anothers(quota: str, backlog: int) -> None:
    world = World(f"{PRO}={quota};*=rpm:120", latency=timedelta(seconds=8))
    await queued(world, backlog, "heap", model=PRO, priority="interactive")
    await queued(world, 16, "few", model=NB21, priority="bulk")
    await world.clock.run(world.kicks.kick())
    await world.run_for(22 * SECOND)
    assert done(world, "few") == 16
    assert done(world, "heap") <= 5


# -- what it costs ----------------------------------------------------------------------------------------------------


async def test_a_saturated_pump_writes_its_document_about_once_a_second() -> None:
    world = World(f"{PRO}=rpm:120")
    await queued(world, 250, model=PRO, priority="bulk")
    await world.clock.run(world.kicks.kick())
    await world.run_for(40 * SECOND)
    assert done(world) > 60
    assert world.store.commits[PUMP] <= 1.2 * 40 + 3
    assert world.store.commits[f"calendars/{PRO}"] <= 1.2 * 40 + 3


async def test_where_nothing_changes_little_is_written() -> None:
    """A full minute is no news: the lead is renewed every few seconds, the calendar not at all."""
    world = World(f"{PRO}=rpm:1")
    await queued(world, 5, model=PRO)
    await world.clock.run(world.kicks.kick())
    await world.run_for(10 * SECOND)
    before = dict(world.store.commits)

    async def the_middle_of_a_minute() -> None:
        await world.clock.sleep(30)

    await world.run_for(40 * SECOND, the_middle_of_a_minute())
    assert world.store.commits[f"calendars/{PRO}"] == before[f"calendars/{PRO}"]
    assert world.store.commits[PUMP] - before[PUMP] <= 40 / 3 + 1


async def test_an_idle_system_starts_a_request_within_half_a_second() -> None:
    world = World("*=rpm:60")
    waits = []
    for number in range(8):
        world.clock.advance(10 * SECOND)
        began = world.clock.now()
        await world.submit(f"r-{number}")
        await world.run_until_quiet()
        waits.append(world.lane.calls[-1].at - began)
    assert sorted(waits)[len(waits) // 2] <= timedelta(seconds=0.5)


async def test_an_interactive_request_does_not_wait_for_the_next_tick() -> None:
    world = World(f"{PRO}=rpm:600")
    await queued(world, 300, model=PRO, priority="bulk")
    waits: list[timedelta] = []

    async def ask() -> None:
        await asyncio.sleep(0)
        for number in range(5):
            await world.clock.sleep(4.3)
            await world.submit(f"now-{number}", model=PRO, priority="interactive")

    await world.clock.run(world.kicks.kick())
    await world.run_for(30 * SECOND, ask())
    for number in range(5):
        call = next(item for item in world.lane.calls if item.order.request_id == f"now-{number}")
        waits.append(call.at - world.status(f"now-{number}")["created_at"])
    assert max(waits) <= timedelta(seconds=1.5)


# -- another release --------------------------------------------------------------------------------------------------


def a_pump_of(world: World, release: str, boot: str) -> Pump:
    ports = replace(world.ports, boot=boot, release=releases.Release(revision=release))
    return Pump(ports, Kicks(ports, PumpView(ports)))


async def leads_after(world: World, old: str, new: str, *, tenure: timedelta) -> list[object]:
    """Who led, when a pump of the release `new` is kicked while one of `old` has led for `tenure`."""
    first, second = a_pump_of(world, old, "boot-old"), a_pump_of(world, new, "boot-new")
    await queued(world, 30)  # work that keeps the old pump leading

    async def story() -> None:
        running = asyncio.ensure_future(first.kicked())
        await world.clock.sleep(tenure.total_seconds())
        taking = asyncio.ensure_future(second.kicked())
        await world.clock.sleep(5)
        second.end()
        first.end()
        await asyncio.gather(running, taking)

    await world.run_for(tenure + 30 * SECOND, story())
    return [line["holder"] for line in world.signals.of(events.LEAD_TAKEN) if line["holder"] != "boot-1"]


async def test_a_pump_of_another_release_takes_the_lead_over_at_once() -> None:
    world = World("*=rpm:1")
    assert await leads_after(world, "pump-00007", "pump-00008", tenure=UNDISTURBED) == ["boot-old", "boot-new"]
    assert "another pump leads" in [line["why"] for line in world.signals.of(events.LEAD_LEFT)]
    assert lead(world)["lead_release"] in ("pump-00008", "")


async def test_a_rollback_takes_it_over_too() -> None:
    world = World("*=rpm:1")
    assert await leads_after(world, "pump-00008", "pump-00007", tenure=UNDISTURBED) == ["boot-old", "boot-new"]


async def test_a_pump_of_the_same_release_leaves_the_lead_alone() -> None:
    world = World("*=rpm:1")
    assert await leads_after(world, "pump-00008", "pump-00008", tenure=UNDISTURBED) == ["boot-old"]


async def test_a_new_lead_is_left_alone_for_a_while_so_that_split_traffic_does_not_toss_it() -> None:
    world = World("*=rpm:1")
    assert await leads_after(world, "pump-00007", "pump-00008", tenure=3 * SECOND) == ["boot-old"]
