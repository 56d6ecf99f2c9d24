"""One tenant's interactive requests in a minute are bounded where that is configured; nothing else is."""

from __future__ import annotations

from datetime import timedelta

from tests.world import World


async def test_one_more_than_the_bound_is_rejected_with_the_remedy_and_others_are_not() -> None:
    world = World()
    world.interactive_per_minute = 2
    world.boot()
    for number in range(3):
        await world.submit(f"i-{number}", tenant="web", priority="interactive")
        await world.run_for(timedelta(seconds=1))
    await world.submit("normal", tenant="web", priority="normal")
    await world.submit("other", tenant="shop", priority="interactive")
    await world.submit("i-0", tenant="web", priority="interactive")
    await world.run_until_quiet()
    results = {one["request_id"]: one for one in world.results()}
    assert {name: one["status"] for name, one in results.items()} == {
        "i-0": "succeeded", "i-1": "succeeded", "i-2": "rejected", "normal": "succeeded", "other": "succeeded",
    }  # fmt: skip
    assert "Use normal, or send it again in a minute." in results["i-2"]["outcome"]["message"]


async def test_a_minute_later_the_same_request_is_taken() -> None:
    world = World()
    world.interactive_per_minute = 1
    world.boot()
    for request_id in ("first", "second"):
        await world.submit(request_id, tenant="web", priority="interactive")
        await world.run_for(timedelta(seconds=1))
    await world.run_until_quiet()
    await world.run_for(timedelta(seconds=61))
    await world.submit("second", tenant="web", priority="interactive")
    await world.run_until_quiet()
    assert [one["status"] for one in world.results() if one["request_id"] == "second"] == ["rejected", "succeeded"]


async def test_without_a_bound_nothing_is_counted() -> None:
    world = World()
    for number in range(50):
        await world.submit(f"i-{number}", tenant="web", priority="interactive")
    await world.run_until_quiet()
    assert {one["status"] for one in world.results()} == {"succeeded"}
