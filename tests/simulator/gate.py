"""Waiting that a test lets go on: who sleeps is held until told, or goes on when their seconds are over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from scripts.simulator.engine.simulation import Simulation
from tests.simulator.conftest import until


class Gate:
    def __init__(self) -> None:
        self.sleepers: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self.sleepers.append((seconds, event))
        await event.wait()

    async def wake(self, seconds: float) -> None:
        """The first who sleeps for this long, once there is one."""
        await until(lambda: any(length == seconds for length, _ in self.sleepers))
        sleeper = next(pair for pair in self.sleepers if pair[0] == seconds)
        self.sleepers.remove(sleeper)
        sleeper[1].set()


@contextmanager
def gated(simulation: Simulation) -> Iterator[Gate]:
    gate, before = Gate(), simulation.sleep
    simulation.sleep = gate.sleep
    try:
        yield gate
    finally:
        simulation.sleep = before
