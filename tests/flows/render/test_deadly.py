"""A request that kills its worker ends, for every cause of death and however late its message is redelivered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.core.observability import events
from shared.flows.render import render as render_flow
from shared.flows.render.deadly import MOST_STARTS, SUSPECT_AFTER, count_start
from tests.world import Killed, World


@pytest.mark.parametrize("dies_after", [2, 30], ids=["soon", "when its release has been taken back"])
async def test_a_plain_request_that_kills_its_worker_ends(monkeypatch: pytest.MonkeyPatch, dies_after: int) -> None:
    world = World()

    async def die(*_: Any) -> None:
        await world.clock.sleep(dies_after)
        raise Killed

    monkeypatch.setattr(render_flow, "_attempt", die)
    await world.submit("deadly")
    deaths = await _until_quiet(world)
    assert 0 < deaths <= 60
    status = world.status("deadly")
    assert (status["status"], status["outcome"]["code"], status["cost_micros"]) == ("failed", "crashed", 0)
    assert world.signals.of(events.ESCALATION)[-1]["runbook"] == "dead-letter"


async def test_a_request_that_only_lost_its_workers_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many deaths as a suspect may have, then none; the counts are taken back."""
    world = World()
    attempt, lives = render_flow._attempt, False

    async def die(ports: Any, evidence: Any, request: Any, time: Any) -> Any:
        nonlocal lives
        lives |= request.data["start_count"] == MOST_STARTS
        if lives:
            return await attempt(ports, evidence, request, time)
        await world.clock.sleep(30)
        raise Killed

    monkeypatch.setattr(render_flow, "_attempt", die)
    await world.submit("unlucky")
    assert await _until_quiet(world) >= SUSPECT_AFTER
    status = world.status("unlucky")
    assert status["status"] == "succeeded"
    assert (status["unclaimed_count"], status["start_count"]) == (0, 0)


async def test_a_fleet_that_is_away_makes_nobody_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases that no worker ever began, for half an hour: nothing is held against the request."""
    world = World()
    attempt, back_at = count_start, world.clock.monotonic() + timedelta(minutes=30).total_seconds()

    async def lost(ports: Any, request: Any) -> Any:
        if world.clock.monotonic() < back_at:
            await world.clock.sleep(back_at - world.clock.monotonic())
            raise Killed
        return await attempt(ports, request)

    monkeypatch.setattr(render_flow, "count_start", lost)
    await world.submit("waiting")
    await _until_quiet(world)
    assert world.status("waiting")["status"] == "succeeded"


async def _until_quiet(world: World) -> int:
    """How often the worker died."""
    for deaths in range(100):
        try:
            await world.run_until_quiet(timedelta(hours=2))
            return deaths
        except Killed:
            await world.restart()
    raise AssertionError("it never ends")
