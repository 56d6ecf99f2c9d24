"""Priorities and tenants, through the whole worker."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from shared.core.values.documents import Create
from tests.world import World

PRO = "gemini-3-pro-image"
SECOND = timedelta(seconds=1)


async def submitted(world: World, number: int, prefix: str, **fields: Any) -> None:
    for item in range(number):
        await world.submit(f"{prefix}-{item:03d}", model=PRO, **fields)


def order(world: World) -> list[str]:
    """Whose calls they were, in their order."""
    return [call.order.request_id.partition("-")[0] for call in world.lane.calls]


async def test_two_tenants_of_weights_one_and_three_share_a_queue_one_to_three() -> None:
    world = World(f"{PRO}=rpm:20")
    await world.store.commit(Create("tenants/three", {"weight": 3.0}))
    await submitted(world, 60, "one", tenant="one")
    await submitted(world, 60, "three", tenant="three")
    await world.run_for(timedelta(minutes=3, seconds=5))
    had = Counter(order(world)[20:80])  # the first may have come before the other was there
    assert 3 * had["one"] - 6 <= had["three"] <= 3 * had["one"] + 6


async def test_a_tenant_that_comes_late_gets_its_share_from_then_on_and_no_more() -> None:
    world = World(f"{PRO}=rpm:20")

    async def late() -> None:
        await world.clock.sleep(90)
        await submitted(world, 30, "late", tenant="late")

    await submitted(world, 90, "early", tenant="early")
    await world.run_for(timedelta(minutes=3, seconds=35), late())
    calls = [(call.at - world.started, call.order.request_id.partition("-")[0]) for call in world.lane.calls]
    before = [who for at, who in calls if at < 90 * SECOND]
    after = Counter(who for at, who in calls if at >= 95 * SECOND)
    assert set(before) == {"early"}
    assert sum(after.values()) >= 36
    assert abs(after["late"] - after["early"]) <= 6


async def test_interactive_overtakes_a_backlog_of_normal_and_bulk() -> None:
    world = World(f"{PRO}=rpm:30")

    async def now_and_then() -> None:
        for number in range(6):
            await world.clock.sleep(20)
            await world.submit(f"now-{number}", model=PRO, priority="interactive")

    await submitted(world, 40, "normal")
    await submitted(world, 40, "bulk", priority="bulk")
    await world.run_for(timedelta(minutes=4), now_and_then())
    waits = sorted(
        next(call.at for call in world.lane.calls if call.order.request_id == f"now-{number}")
        - world.status(f"now-{number}")["created_at"]
        for number in range(6)
    )
    assert waits[2] <= 5 * SECOND
    assert waits[-1] <= 62 * SECOND  # the first one may meet a minute that was filled before anybody expected it


async def test_bulk_and_normal_keep_their_share_beside_endless_interactive_requests() -> None:
    world = World(f"{PRO}=rpm:60")
    await submitted(world, 250, "now", priority="interactive")
    await submitted(world, 20, "normal")
    await submitted(world, 20, "bulk", priority="bulk")
    await world.run_for(timedelta(minutes=3, seconds=2))
    had = Counter(order(world)[:180])
    assert had["normal"] >= 0.05 * 180 - 1
    assert had["bulk"] >= 0.05 * 180 - 1
    assert had["now"] >= 0.88 * 180
