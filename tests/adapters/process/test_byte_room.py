"""Calls wait for memory in the order in which they came, and nothing that was taken is forgotten."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.process.byte_room import LEAST, ByteRoom, memory_of_this_process, room_of


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_waits_until_there_is_room_and_nobody_overtakes_it() -> None:
    room = ByteRoom(100)
    await room.take(60)
    large, small = asyncio.ensure_future(room.take(50)), asyncio.ensure_future(room.take(10))
    await settled()
    assert not large.done()
    assert not small.done(), "or the large one would never get room"
    room.give_back(60)
    await settled()
    assert large.done()
    assert small.done()
    assert room.is_full_for(41)
    assert not room.is_full_for(40)


async def test_one_that_wants_more_than_there_is_gets_in_alone() -> None:
    room = ByteRoom(100)
    await room.take(1000)
    assert room.is_full_for(1)
    room.give_back(1000)
    assert not room.is_full_for(100)


async def test_one_that_gives_up_waiting_takes_nothing_and_lets_the_next_in() -> None:
    room = ByteRoom(100)
    await room.take(60)
    large, small = asyncio.ensure_future(room.take(50)), asyncio.ensure_future(room.take(40))
    await settled()
    large.cancel()
    await settled()
    assert small.done()
    room.give_back(60)
    room.give_back(40)
    assert not room.is_full_for(100)


async def test_one_that_is_cancelled_in_the_moment_it_gets_in_gives_it_back() -> None:
    room = ByteRoom(100)
    await room.take(100)
    waiting = asyncio.ensure_future(room.take(80))
    await settled()
    room.give_back(100)
    waiting.cancel()
    await settled()
    assert not room.is_full_for(100)


@given(st.lists(st.integers(1, 150), max_size=30))
def test_no_more_is_taken_than_there_is(sizes: list[int]) -> None:
    async def story() -> None:
        room, taken = ByteRoom(100), [0]

        async def call(size: int) -> None:
            await room.take(size)
            taken[0] += min(size, 100)
            assert taken[0] <= 100
            await asyncio.sleep(0)
            taken[0] -= min(size, 100)
            room.give_back(size)

        await asyncio.gather(*(call(size) for size in sizes))
        assert not room.is_full_for(100)

    asyncio.run(story())


def test_the_room_is_what_the_instance_has_beside_itself() -> None:
    assert room_of(2 << 30) == int(((2 << 30) - 200_000_000) * 0.7)
    assert room_of(128 << 20) == LEAST
    assert 64 << 20 < memory_of_this_process() < 1 << 45
