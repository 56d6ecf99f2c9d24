"""A process dies at every step of every flow, before it and after it: nothing is lost, and no cent is unexplained."""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta

import pytest

from tests.chaos.chaos_world import ChaosWorld
from tests.chaos.reader import Reader
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.world import Killed

WITHIN = timedelta(hours=3)
LONG = os.environ.get("RENDERLANE_CHAOS") == "long"
"""Each step on both homes; else the homes take turns."""


async def _through(scenario: Scenario, kill_at: int | None, *, after: bool, one_machine: bool) -> ChaosWorld:
    world = await scenario.world()
    reader = Reader(world)
    world.faults.kill_at, world.faults.after = kill_at, after
    acted = False
    try:
        await scenario.act(world)
        acted = True
        await _to_the_end(scenario, world)
    except Killed:
        reader.now()
        world.faults.kill_at = None
        await world.restart(one_machine=one_machine)
        reader.now()
        if not acted:  # a caller that heard that it is done does nothing again
            await scenario.act(world)
        await _to_the_end(scenario, world)
    reader.at_the_end()
    scenario.check(world)
    return world


async def _to_the_end(scenario: Scenario, world: ChaosWorld) -> None:
    await world.run_until_quiet(WITHIN)
    await world.run_for(scenario.after)


async def _steps_of(scenario: Scenario) -> list[int]:
    """Those to die at. A step that is taken every second, such as the pump's, is tried some times, not all day."""
    steps = (await _through(scenario, None, after=False, one_machine=True)).faults.steps
    times = Counter[str]()
    chosen = []
    for number, step in enumerate(steps):
        times[step] += 1
        if LONG or times[step] <= scenario.often:
            chosen.append(number)
    return chosen


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_a_process_may_die_at_every_step(scenario: Scenario, after: bool) -> None:
    steps = await _steps_of(scenario)
    assert steps
    for kill_at in steps:
        for one_machine in (True, False) if LONG else (kill_at % 2 == int(after),):
            try:
                await _through(scenario, kill_at, after=after, one_machine=one_machine)
            except BaseException as error:
                home = "one machine" if one_machine else "cloud"
                error.add_note(f"{scenario.name}, {home}: {'after' if after else 'before'} step {kill_at}")
                raise
