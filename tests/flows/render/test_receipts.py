"""A receipt lists differences from the order, prices what was delivered, and is part of the result."""

from __future__ import annotations

from tests.fakes.lane import made
from tests.world import World


async def test_a_smaller_image_than_ordered_is_flagged_everywhere_and_paid_as_it_came() -> None:
    world = World()
    world.lane.then(lambda order: made(order, size="1K"))
    await world.submit("r-1", purpose="final", image_size="4K")
    await world.run_until_quiet()
    receipt, [event] = world.status("r-1")["receipt"], world.results("r-1")
    assert receipt["mismatches"] == event["mismatches"] == ["image_size", "image_tokens"]
    assert receipt["reasons"] == event["reasons"]
    assert receipt["cost_micros"] == 10 * 2 + 100 * 12 + 1120 * 120
    assert event["cost_usd"] == "0.135620"
    assert event["delivered"]["image_tokens"] == 1120
    assert sum(document.data.get("mismatches", 0) for document in world.store.all("ledger")) == 1


async def test_what_came_as_ordered_is_no_mismatch_though_the_route_was_another_than_asked() -> None:
    world = World()
    await world.submit("r-1", model="nano-banana-2", image_size="1K")
    await world.run_until_quiet()
    receipt, [event] = world.status("r-1")["receipt"], world.results("r-1")
    assert receipt["mismatches"] == event["mismatches"] == []
    assert "its successor" in receipt["reasons"][0]


async def test_a_result_without_an_image_has_no_mismatches() -> None:
    world = World()
    await world.publish({"request_id": "r-1"})
    await world.submit("r-2", deadline="2026-11-22T17:00:00Z")
    await world.run_until_quiet()
    assert [event["mismatches"] for event in world.results()] == [[], []]
