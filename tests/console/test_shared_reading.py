"""Pages that are open at once share a reading, and a slow store does not keep them waiting."""

from __future__ import annotations

import asyncio

import pytest

from functions.shared_reading import OLDEST, SharedReading


class SlowStore:
    def __init__(self) -> None:
        self.now = 100.0
        self.readings: list[asyncio.Future[str]] = []
        self.shared = SharedReading(self._read, lambda: self.now, within=0.0)

    async def _read(self) -> str:
        self.readings.append(asyncio.get_running_loop().create_future())
        return await self.readings[-1]

    async def begin(self, viewers: int = 1) -> list[asyncio.Task[str]]:
        looks = [asyncio.create_task(self.shared.look()) for _ in range(viewers)]
        for _ in range(5):
            await asyncio.sleep(0)
        return looks


async def test_those_who_look_at_once_share_one_reading() -> None:
    store = SlowStore()
    looks = await store.begin(viewers=5)
    store.readings[0].set_result("now")
    assert await asyncio.gather(*looks) == ["now"] * 5
    assert len(store.readings) == 1


async def test_a_reading_that_is_quick_enough_is_shown_and_each_look_makes_one() -> None:
    store = SlowStore()
    store.shared = SharedReading(store._read, lambda: store.now, within=30)
    for text in ("first", "second"):
        looks = await store.begin()
        store.readings[-1].set_result(text)
        assert await looks[0] == text
    assert len(store.readings) == 2


async def test_while_a_reading_is_slow_the_last_one_is_shown_and_no_other_is_begun() -> None:
    store = SlowStore()
    (first,) = await store.begin()
    store.readings[0].set_result("before")
    await first
    store.now += OLDEST
    assert await asyncio.gather(*await store.begin(viewers=3)) == ["before"] * 3
    assert len(store.readings) == 2
    store.readings[1].set_result("after")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    store.now += 1
    assert await store.shared.look() == "after"


async def test_what_is_too_old_is_not_shown() -> None:
    store = SlowStore()
    (first,) = await store.begin()
    store.readings[0].set_result("before")
    await first
    store.now += OLDEST + 0.1
    (second,) = await store.begin()
    assert not second.done()
    store.readings[1].set_result("after")
    assert await second == "after"


async def test_a_failure_reaches_who_waits_for_it_and_the_next_look_reads_again() -> None:
    store = SlowStore()
    (first,) = await store.begin()
    store.readings[0].set_exception(ConnectionError("away"))
    with pytest.raises(ConnectionError, match="away"):
        await first
    (second,) = await store.begin()
    store.readings[1].set_result("back")
    assert await second == "back"
