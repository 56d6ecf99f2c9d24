"""Requests with no open route leave the front of their queue, and come back when there may be one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.core.values.documents import Create, Document, Update
from shared.flows.upkeep.live_quota import read_live_quota
from tests.builders import a_record, a_request
from tests.world import World

PRO, NB21 = "gemini-3-pro-image", "gemini-nano-banana-2.1"
MINUTE = timedelta(minutes=1)
MIDNIGHT = datetime(2026, 11, 23, 8, tzinfo=UTC)


async def queued(world: World, number: int, prefix: str = "r", **fields: Any) -> None:
    written = a_record(a_request(request_id=f"{prefix}-0", **fields), now=world.clock.now())
    for item in range(number):
        request_id = f"{prefix}-{item:04d}"
        content = written["request"] | {"request_id": request_id}
        await world.store.commit(
            Create(f"requests/{request_id}", written | {"request": content, "fair_tag": float(item)})
        )
    await world.clock.run(world.kicks.kick())


async def kept_busy(world: World, minutes: int) -> None:
    """Another model keeps the pump at work for so long."""
    await queued(world, 6 * minutes, "busy", model=NB21, priority="bulk")


def asleep(world: World) -> list[Document]:
    return [document for document in world.store.all("requests") if document.data["wake_at"] is not None]


def done(world: World, prefix: str = "r-") -> int:
    return sum(status == "succeeded" for name, status in world.statuses().items() if name.startswith(prefix))


async def test_a_page_of_a_used_up_day_sleeps_until_midnight_after_a_minute_with_one_write_each() -> None:
    world = World(f"{PRO}=rpm:60,rpd:3;{NB21}=rpm:6")
    await queued(world, 250, model=PRO)
    await kept_busy(world, 5)
    await world.run_for(timedelta(seconds=50))
    assert asleep(world) == []
    writes = dict(world.store.commits)
    await world.run_for(timedelta(seconds=150))
    sleeping = asleep(world)
    assert 100 <= len(sleeping) <= 200
    assert {document.data["wake_at"] for document in sleeping} == {MIDNIGHT}
    assert all(world.store.commits[document.path] == writes[document.path] + 1 for document in sleeping)
    assert {document.data["reason"] for document in sleeping} == {"no open route: day"}


async def test_a_short_queue_stays_where_it_is() -> None:
    """Nobody stands behind it."""
    world = World(f"{PRO}=rpm:60,rpd:3;{NB21}=rpm:6")
    await queued(world, 60, model=PRO)
    await world.run_for(3 * MINUTE)
    assert asleep(world) == []


async def test_a_full_minute_puts_nobody_to_sleep() -> None:
    world = World(f"{PRO}=rpm:2")
    await queued(world, 150, model=PRO)
    await world.run_for(2.5 * MINUTE)
    assert asleep(world) == []


async def test_a_raised_limit_wakes_the_sleepers_before_their_time() -> None:
    world = World(f"{PRO}=rpm:600;{NB21}=rpm:6")
    world.live_quota.answer = {PRO: {"rpd": 3}}
    await world.clock.run(read_live_quota(world.ports))
    await queued(world, 250, model=PRO)
    await kept_busy(world, 4)
    await world.run_for(3 * MINUTE)
    assert len(asleep(world)) >= 100
    world.live_quota.answer = {PRO: {"rpd": 1_000}}
    await world.run_until_quiet(within=6 * MINUTE)
    assert done(world) == 250


async def test_sleepers_of_whom_none_is_left_awake_hear_of_a_raise_too() -> None:
    """A queue of whole pages sleeps to the last request, and the pump has gone home meanwhile."""
    world = World(f"{PRO}=rpm:600;{NB21}=rpm:6")
    world.live_quota.answer = {PRO: {"rpd": 1}}
    await world.clock.run(read_live_quota(world.ports))
    await queued(world, 201, model=PRO)
    await kept_busy(world, 3)
    await world.run_for(4 * MINUTE)
    assert len(asleep(world)) == 200
    await world.restart()
    world.live_quota.answer = {PRO: {"rpd": 1_000}}
    await world.run_until_quiet(within=6 * MINUTE)
    assert done(world) == 201


async def test_sleepers_wake_at_their_time_by_themselves() -> None:
    world = World(f"{PRO}=rpm:600,rpd:130;{NB21}=rpm:6")
    world.clock.advance(MIDNIGHT - world.clock.now() - 5 * MINUTE)
    await queued(world, 250, model=PRO)
    await kept_busy(world, 3)
    await world.run_for(4 * MINUTE)
    assert len(asleep(world)) >= 100
    await world.run_until_quiet(within=timedelta(hours=25))
    assert done(world) == 250
    late = [call.at for call in world.lane.calls if call.order.model == PRO and call.at >= MIDNIGHT]
    assert len(late) == 120


async def test_a_model_without_any_limit_left_lets_its_queue_sleep_and_others_run() -> None:
    world = World(f"{PRO}=rpm:0;{NB21}=rpm:6")
    await queued(world, 150, "zero", model=PRO)
    await kept_busy(world, 2)
    await world.run_for(3 * MINUTE)
    assert done(world, "busy") == 12
    assert len(asleep(world)) == 100


async def test_a_sleeper_that_was_cancelled_stays_cancelled() -> None:
    world = World(f"{PRO}=rpm:600,rpd:3;{NB21}=rpm:6")
    world.clock.advance(MIDNIGHT - world.clock.now() - 5 * MINUTE)
    await queued(world, 150, model=PRO)
    await kept_busy(world, 2)
    await world.run_for(2 * MINUTE)
    sleeper = asleep(world)[0]
    await world.store.commit(Update(sleeper.path, {"status": "cancelled", "announce": None}, sleeper.version))
    await world.run_for(5 * MINUTE)
    assert world.status(sleeper.id)["status"] == "cancelled"
    assert len(asleep(world)) <= 100
