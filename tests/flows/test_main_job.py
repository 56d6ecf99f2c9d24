"""A published request becomes one image, one status, one cost."""

from __future__ import annotations

from datetime import timedelta

from tests.world import World


async def test_a_published_request_becomes_one_image_one_status_and_one_cost() -> None:
    world = World()
    await world.submit("r-1", purpose="final", image_size="2K")
    await world.run_until_quiet()
    status = world.status("r-1")
    assert status["status"] == "succeeded"
    assert len(world.images.stored) == 1
    assert len(world.lane.calls) == 1
    assert status["cost_micros"] == 10 * 2 + 100 * 12 + 1120 * 120
    assert status["cost_basis"] == "metered"
    assert status["receipt"]["delivered"]["image_size"] == "2K"
    assert world.ledger_micros() == status["cost_micros"]
    assert [event["status"] for event in world.results("r-1")] == ["succeeded"]


async def test_150_requests_at_once_under_60_a_minute_take_two_minutes_and_no_window_is_overrun() -> None:
    world = World(quota="*=rpm:60")
    began = world.clock.monotonic()
    for number in range(150):
        await world.submit(f"r-{number}")
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    assert world.lane.most_starts_in(timedelta(seconds=60)) <= 60
    last = max(each.data["finished_at"] for each in world.store.all("requests"))
    assert 120 <= (last - world.clock._start).total_seconds() - began <= 125
