"""The store's time between reads: never before what the fastest answer of the last minute says."""

from __future__ import annotations

from datetime import timedelta

from shared.flows.clock import READS_COUNT_FOR, Reads
from tests.world import World


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


async def test_an_answer_that_waited_to_be_taken_up_does_not_set_the_time_back() -> None:
    world = World()
    reads = Reads(world.clock)
    store = world.clock.now() + seconds(7)  # another machine's clock

    async def story() -> None:
        assert reads.time_after(store).now() == store
        await world.clock.sleep(2)
        assert reads.time_after(store + seconds(2 - 0.4)).now() == store + seconds(2)

    await world.run_for(seconds(3), story())


async def test_a_faster_answer_sets_the_time_forward_and_what_is_old_is_forgotten() -> None:
    world = World()
    reads = Reads(world.clock)
    store = world.clock.now()

    async def story() -> None:
        reads.time_after(store - seconds(0.3))
        await world.clock.sleep(1)
        assert reads.time_after(store + seconds(1)).now() == store + seconds(1)
        await world.clock.sleep(READS_COUNT_FOR - 1)
        late = store + seconds(READS_COUNT_FOR - 0.2)
        assert reads.time_after(late).now() == store + seconds(READS_COUNT_FOR)
        await world.clock.sleep(2)
        assert reads.time_after(late + seconds(2)).now() == late + seconds(2)

    await world.run_for(seconds(READS_COUNT_FOR + 3), story())


async def test_answers_that_waited_longer_and_longer_each_count_once_the_better_ones_are_old() -> None:
    world = World()
    reads = Reads(world.clock)
    store = world.clock.now()

    async def story() -> None:
        reads.time_after(store)
        await world.clock.sleep(30)
        reads.time_after(store + seconds(30 - 0.1))
        await world.clock.sleep(31)
        assert reads.time_after(store + seconds(61 - 0.5)).now() == store + seconds(61 - 0.1)

    await world.run_for(seconds(62), story())
