"""The worker killed at every step of a background call: nothing is lost, and only the one round trip can cost twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.core.messages.pubsub_messages import Arrival
from shared.core.messages.topics import RENDER_ARRIVALS
from shared.core.routing.background_proof import Setting
from tests.flows.collect.worlds import books_are_right, proof
from tests.world import Killed, World

LATENCY = timedelta(seconds=6)
READS = ("store.query", "store.count", "store.get_all")
"""A death at one of these is a death before the next step."""
FIRST, LAST = 16, 52
"""Steps from the worker's first look at its release to the deletion at the provider."""


class Steps:
    """Stands before every port: counts the steps, and kills the process before or after a chosen one."""

    def __init__(self, kill_at: int | None = None, *, after: bool = False) -> None:
        self.names: list[str] = []
        self.kill_at = kill_at
        self.after = after
        self.killed = ""
        self.kill_name = ""

    def __call__(self, port: Any, name: str) -> Any:
        return _Guarded(port, name, self)

    def kill_on(self, name: str) -> None:
        """Before the first step of that name."""
        self.kill_name = name


class _Guarded:
    def __init__(self, port: Any, name: str, steps: Steps) -> None:
        self._port, self._name, self._steps = port, name, steps

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        real = getattr(self._port, verb)

        async def called(*args: Any, **kwargs: Any) -> Any:
            steps, name = self._steps, f"{self._name}.{verb}"
            if name in READS:
                return await real(*args, **kwargs)
            steps.names.append(name)
            is_fatal = not steps.killed and (len(steps.names) - 1 == steps.kill_at or name == steps.kill_name)
            if is_fatal and not steps.after:
                steps.killed = name
                raise Killed
            answer = await real(*args, **kwargs)
            if is_fatal:
                steps.killed = name
                raise Killed
            return answer

        return called


async def _one_request_through(steps: Steps, *, one_machine: bool, setting: Setting = "on") -> World:
    world = World(latency=LATENCY)
    world.background = setting
    world.guard = steps
    world.boot()
    await world.submit()
    await world.run_through_a_death(timedelta(minutes=10), one_machine=one_machine)
    await world.run_for(timedelta(minutes=3))  # what is left at the provider is deleted
    return world


@pytest.mark.parametrize("one_machine", [True, False], ids=["one machine", "cloud"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(FIRST, LAST))
async def test_a_worker_killed_at_any_step_pays_twice_only_for_the_one_round_trip(
    at: int, after: bool, one_machine: bool
) -> None:
    steps = Steps(at, after=after)
    world = await _one_request_through(steps, one_machine=one_machine)
    status = world.status()
    assert status["status"] == "succeeded"
    assert {event["status"] for event in world.results()} == {"succeeded"}
    assert status["announce"] is None
    books_are_right(world)
    codes = [attempt["outcome"]["code"] for attempt in world.attempts()]
    if codes != ["succeeded"]:
        assert codes == ["crashed", "succeeded"]
        assert status["cost_unknown_attempts"] == 1
    started = list(world.interactions.records)
    is_lost = len(started) == 2
    if is_lost:
        assert steps.killed in ("interactions.start", "store.commit"), "its answer was on the way"
    assert world.interactions.kept == (started[:1] if is_lost else [])


async def test_the_kills_above_cover_every_step_from_the_claim_to_the_deletion() -> None:
    steps = Steps()
    world = await _one_request_through(steps, one_machine=True)
    assert world.status()["status"] == "succeeded"
    assert steps.names.index("interactions.start") > FIRST + 1, steps.names
    assert steps.names.index("interactions.delete") + 1 < LAST, steps.names


async def test_five_kills_under_two_hundred_calls_in_flight_cost_at_most_one_image_each() -> None:
    world = World("*=concurrency:200", latency=timedelta(seconds=20))
    world.background = "on"
    world.boot()
    for number in range(200):
        await world.submit(f"r-{number}")
    for _ in range(5):
        await world.run_for(timedelta(seconds=3.7))
        await world.restart()
    await world.run_until_quiet(timedelta(minutes=10))
    assert set(world.statuses().values()) == {"succeeded"}
    unknown = sum(one.data["cost_unknown_attempts"] for one in world.store.all("requests"))
    assert unknown <= 5
    assert len(world.interactions.images) <= 200 + unknown
    books_are_right(world)


async def test_a_webhook_finds_the_call_whose_answer_died_with_its_worker() -> None:
    """`user_metadata` names request and attempt: even the round trip costs nothing twice then."""
    world = await _killed_in_the_round_trip()
    interaction_id = next(iter(world.interactions.records))
    await world.topics.publish(RENDER_ARRIVALS, Arrival(interaction_id, "r-1", 1).to_bytes())
    await world.run_until_quiet(timedelta(minutes=5))
    assert [one["outcome"]["code"] for one in world.attempts()] == ["succeeded"]
    assert len(world.interactions.records) == 1
    assert world.status()["cost_unknown_attempts"] == 0
    assert world.interactions.kept == []
    books_are_right(world)


async def test_a_webhook_after_the_request_was_made_again_books_a_duplicate() -> None:
    world = await _killed_in_the_round_trip()
    await world.run_until_quiet(timedelta(minutes=5))
    first = next(iter(world.interactions.records))
    assert [one["outcome"]["code"] for one in world.attempts()] == ["crashed", "succeeded"]
    await world.topics.publish(RENDER_ARRIVALS, Arrival(first, "r-1", 1).to_bytes())
    await world.run_for(timedelta(seconds=10))
    assert [one["outcome"]["code"] for one in world.attempts()] == ["duplicate", "succeeded"]
    assert world.status()["cost_unknown_attempts"] == 0
    assert world.interactions.kept == []
    books_are_right(world)


async def test_a_webhook_of_a_second_attempts_time_ends_the_request_and_stops_the_second_call() -> None:
    world = await _killed_in_the_round_trip(latency=timedelta(seconds=70))
    await world.run_for(timedelta(seconds=67))  # its lease lapsed, and it is being made again
    first = next(iter(world.interactions.records))
    assert len(world.interactions.records) == 2
    await world.topics.publish(RENDER_ARRIVALS, Arrival(first, "r-1", 1).to_bytes())
    await world.run_until_quiet(timedelta(minutes=5))
    await world.run_for(timedelta(minutes=5))
    assert world.status()["status"] == "succeeded"
    assert world.attempts()[0]["outcome"]["code"] == "succeeded"
    assert len(world.interactions.images) == 1, "the second one was cancelled"
    assert world.interactions.kept == []
    books_are_right(world)


async def _killed_in_the_round_trip(latency: timedelta = LATENCY) -> World:
    world = World(latency=latency)
    world.background = "on"
    world.boot()
    real = world.interactions.start

    async def start(order: Any, at_slot: Any) -> Any:
        await real(order, at_slot)
        raise Killed

    world.interactions.start = start  # type: ignore[method-assign]
    world.boot()
    await world.submit()
    with pytest.raises(Killed):
        await world.run_until_quiet()
    world.interactions.start = real  # type: ignore[method-assign]
    world.boot()
    world.clock.advance(timedelta(seconds=10))
    return world


async def test_a_canary_whose_worker_died_keeps_others_back_no_longer_than_its_time() -> None:
    steps = Steps(20, after=True)
    world = await _one_request_through(steps, one_machine=True, setting="auto")
    assert steps.killed in ("interactions.start", "store.commit")
    world.clock.advance(timedelta(minutes=15))
    await world.submit("r-2")
    await world.run_until_quiet(timedelta(minutes=5))
    assert proof(world).state == "proven"


async def test_a_request_whose_start_dies_again_and_again_is_not_lost_for_being_probably_paid() -> None:
    """In the foreground three crashes end a request; a start that dies has most likely not left."""
    world = World(latency=LATENCY)
    world.background = "on"
    world.boot()
    await world.submit()
    for _ in range(4):
        steps = Steps()
        world.guard = steps
        world.boot()
        steps.kill_on("interactions.start")
        with pytest.raises(Killed):
            await world.run_until_quiet(timedelta(minutes=10))
        world.guard = Steps()
        await world.restart()
    await world.run_until_quiet(timedelta(minutes=10))
    assert world.status()["status"] == "succeeded"
    assert world.status()["crash_count"] == 4
    assert world.status()["ambiguous_count"] == 0
    assert world.status()["cost_unknown_attempts"] == 4, "each is held against the cap"
    assert len(world.interactions.records) == 1
