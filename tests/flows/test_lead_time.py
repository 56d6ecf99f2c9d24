"""How far ahead of its slot a worker claims: as long as its own latest claims took."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.core.limits.observations import StartSignal
from shared.core.observability import events
from shared.core.values.documents import Update, Write
from shared.flows.lead_time import CUSHION, LEAST_AHEAD, MOST_AHEAD, REMEMBERED, ClaimTimes
from tests.world import World


def test_a_worker_that_has_claimed_nothing_yet_or_claims_fast_keeps_the_least() -> None:
    claims = ClaimTimes(World().clock)
    assert claims.ahead == LEAST_AHEAD
    claims.took(0.03)
    assert claims.ahead == LEAST_AHEAD


async def test_the_longest_claim_of_late_counts_with_a_cushion_and_is_forgotten() -> None:
    world = World()
    claims = ClaimTimes(world.clock)
    for seconds in (0.1, 0.8, 0.2):
        claims.took(seconds)
    assert claims.ahead == timedelta(seconds=0.8 * CUSHION)

    async def story() -> None:
        await world.clock.sleep(REMEMBERED + 1)
        assert claims.ahead == LEAST_AHEAD

    await world.run_for(timedelta(seconds=REMEMBERED + 2), story())


def test_no_claim_is_made_more_than_two_seconds_ahead() -> None:
    claims = ClaimTimes(World().clock)
    claims.took(30.0)
    assert claims.ahead == MOST_AHEAD == timedelta(seconds=2)


class SlowClaims:
    """A store in which putting an attempt on record takes longer than a slot is good for."""

    def __init__(self, store: Any, world: World) -> None:
        self._store = store
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, *writes: Write) -> Any:
        if any(isinstance(write, Update) and write.changes.get("status") == "rendering" for write in writes):
            await self._world.clock.sleep(0.75)
        return await self._store.commit(*writes)


async def test_a_worker_whose_claims_are_slow_is_late_at_first_and_then_claims_sooner() -> None:
    world = World(quota="*=rpm:60")
    world.guard = lambda port, name: SlowClaims(port, world) if name == "store" else port
    world.boot()
    for number in range(30):
        await world.submit(f"r-{number:02d}", priority="bulk")
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    requeued = [signals for signals in world.signals.emitted if signals[0] is events.REQUEUED]
    assert len(requeued) <= 4, requeued


async def test_a_call_that_leaves_late_in_its_leeway_is_told_as_tight() -> None:
    world = World(quota="*=rpm:60")
    world.guard = lambda port, name: SlowClaims(port, world) if name == "store" else port
    world.boot()
    world.evidence.claims.took(0.48)  # claimed as its release arrives: ready 0.25 s after the second slot
    await world.submit("r-1")
    await world.run_until_quiet()
    (report,) = world.store.all("evidence")
    (observations,) = report.data["models"].values()
    assert StartSignal.TIGHT.value in observations["counts"]
    assert world.statuses() == {"r-1": "succeeded"}
