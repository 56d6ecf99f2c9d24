"""What we cost beside the images: the counters are counted, the arithmetic is checked by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from scripts.planner import platform_cost
from shared.core.messages.topics import TOPICS
from tests.world import World

DATA = platform_cost.read()


class Counted:
    """A store that counts what is billed: documents read, and writes."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.reads = self.writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get(self, path: str) -> Any:
        self.reads += 1
        return await self._store.get(path)

    async def get_all(self, paths: Any) -> Any:
        self.reads += len(paths)
        return await self._store.get_all(paths)

    async def query(self, query: Any) -> Any:
        documents = await self._store.query(query)
        self.reads += max(1, len(documents))
        return documents

    async def count(self, query: Any) -> Any:
        self.reads += 1
        return await self._store.count(query)

    async def commit(self, *writes: Any) -> Any:
        self.writes += len(writes)
        return await self._store.commit(*writes)


async def test_one_render_reads_writes_and_publishes_what_the_table_says() -> None:
    """At 300 a minute, with calls of 20 s, and the shares of pump, watch and kicks in it."""
    world = World("*=rpm:300", latency=timedelta(seconds=20))
    counted = Counted(world.store)
    world.guard = lambda port, name: counted if name == "store" else port
    world.boot()
    for number in range(600):
        await world.submit(f"r-{number}")
    await world.run_until_quiet()
    renders = sum(status == "succeeded" for status in world.statuses().values())
    assert renders == 600
    messages = sum(len(world.topics.on(topic)) for topic in TOPICS)
    render = DATA.render
    assert counted.writes / renders <= render.writes <= 2 * counted.writes / renders
    assert counted.reads / renders <= render.reads <= 2 * counted.reads / renders
    assert messages / renders <= render.messages <= 2 * messages / renders


def test_the_cost_of_a_load_is_counters_times_prices() -> None:
    pooled = platform_cost.cost(200, "held", DATA)
    assert pooled.renders == 36_000
    assert pooled.instances == 7, "200 of 40 places each, four fifths of them used"
    assert pooled.firestore == pytest.approx(36_000 * (20 * 0.0000006 + 12 * 0.0000018))
    assert pooled.run > platform_cost.cost(200, "background", DATA).run
    assert pooled.thousand == pytest.approx(pooled.hour / 36)


def test_more_in_flight_costs_less_for_each_image() -> None:
    by_load = [platform_cost.cost(load, "background", DATA).thousand for load in (1, 10, 50, 200)]
    assert by_load == sorted(by_load, reverse=True)


def test_the_command_prints_the_four_loads_both_ways() -> None:
    shown = CliRunner().invoke(platform_cost.main, [])
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("background") == shown.output.count("held") == 4


@pytest.mark.parametrize("text", ["", "0", "ten", "1,,2"])
def test_a_load_that_is_none_is_refused(text: str) -> None:
    shown = CliRunner().invoke(platform_cost.main, ["--in-flight", text])
    assert shown.exit_code == 2
    assert "allowed: whole numbers from 1" in shown.output
