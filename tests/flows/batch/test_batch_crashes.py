"""A process that dies at any step of the batch lane hands over no batch twice, loses no request and no cent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.core.lifecycle.batch import Result
from shared.core.provider.call import Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.usage import Usage
from tests.fakes.batches import made_in_batch
from tests.flows.batch.test_batches import batch_of, checked
from tests.flows.test_safety import Guard
from tests.world import Killed, World

CALLS = 400
"""At least as many port calls as three requests take from publication to announcement by batch."""
CLOSED_BY = 130
"""The batch is closed after so many; before it, to die after a call is to die before the next."""
STEPS = [*((at, True) for at in range(CALLS)), *((at, False) for at in range(CLOSED_BY, CALLS))]


def _answers(key: str, order: Order) -> list[Result]:
    """One image; two under one key; a charged refusal."""
    refusal = Failure(FailureKind.REFUSED, "no", usage=Usage(text_in=10, thought=40))
    image = Result(key, made_in_batch(order))
    return {"r-0/1": [image], "r-1/1": [image, image], "r-2/1": [Result(key, refusal)]}[key]


async def _three_requests_through(guard: Guard, *, one_machine: bool = True) -> World:
    world = World()
    world.guard = guard
    world.batches.answers = _answers
    world.batches.takes = timedelta(seconds=90)
    world.boot()
    await batch_of(world, 3)
    try:
        await _to_the_end(world)
    except Killed:
        world.crashes.clear()  # what else fell over as the process died
        await world.restart(one_machine=one_machine)
        await _to_the_end(world)
    return world


async def _to_the_end(world: World) -> None:
    await world.run_until_quiet()
    await world.run_for(timedelta(minutes=15))  # the batch document is closed a moment after its last request


class _DeadlyCall(Guard):
    """Kills after the first call of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(after=True)
        self.calls = _Watched(self, name)


class _Watched(list[str]):
    def __init__(self, guard: Guard, deadly: str) -> None:
        super().__init__()
        self._guard = guard
        self._deadly = deadly

    def append(self, name: str) -> None:
        super().append(name)
        if name == self._deadly:
            self._guard.kill_at = len(self) - 1


def _whole(world: World) -> None:
    checked(world)
    assert world.batches.creates == 1, "submitted twice"
    assert [len(job.orders) for job in world.batches.jobs] == [3]
    assert world.statuses() == {"r-0": "succeeded", "r-1": "succeeded", "r-2": "refused"}
    assert {number: len(world.attempts(f"r-{number}")) for number in range(3)} == {0: 1, 1: 2, 2: 1}
    assert [attempt["outcome"]["code"] for attempt in world.attempts("r-1")] == ["succeeded", "duplicate"]
    assert world.status("r-1")["cost_micros"] == 2 * world.status("r-0")["cost_micros"]
    assert world.status("r-2")["cost_micros"] > 0
    assert all(world.status(f"r-{number}")["cost_unknown_attempts"] == 0 for number in range(3))
    assert len(world.images.stored) == 2
    assert {result["request_id"] for result in world.results()} == {"r-0", "r-1", "r-2"}
    assert [document.data["state"] for document in world.store.all("batches")] == ["ended"]


@pytest.mark.parametrize(("at", "after"), STEPS)
async def test_a_process_killed_at_any_step_of_a_batch_submits_it_once_and_settles_all_of_it(
    at: int, after: bool
) -> None:
    guard = Guard(at, after=after)
    world = await _three_requests_through(guard, one_machine=at % 2 == 0)
    _whole(world)


async def test_the_kills_above_cover_every_step_of_a_batch() -> None:
    guard = Guard()
    world = await _three_requests_through(guard)
    _whole(world)
    assert CLOSED_BY < guard.calls.index("batches.upload") < guard.calls.index("batches.results")
    last = max(index for index, call in enumerate(guard.calls) if call == "topics.publish")
    assert last < CALLS, len(guard.calls)


@pytest.mark.parametrize("at", ["create", "upload", "find"])
async def test_processes_that_keep_dying_at_one_step_hand_it_over_once(at: str) -> None:
    world = World()
    world.batches.answers = _answers
    await batch_of(world, 3)
    if at == "find":
        world.batches.lost_replies = [Failure(FailureKind.TIMEOUT, "no answer in time")]
    died = 0
    for _ in range(4):
        world.guard = _DeadlyCall(f"batches.{at}")
        world.boot()
        try:
            await world.run_for(timedelta(minutes=40))
        except Killed:
            died += 1
            await world.restart()
    assert died == {"upload": 4, "create": 1, "find": 4}[at]
    world.guard = Guard()
    world.boot()
    await _to_the_end(world)
    _whole(world)
