"""The same arrivals on the real flows in memory and on the rehearsal: the model of the pump has not drifted from it."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from statistics import median

import pytest
from msgspec.structs import replace

from scripts.virtual_time.models import renderlane_model
from scripts.virtual_time.models.provider_limits import ProviderTerms
from scripts.virtual_time.models.renderlane_model import PumpModel
from scripts.virtual_time.request import Priority, PublishedRequest
from scripts.virtual_time.run import rehearse
from shared.core.limits.quota import Limits
from shared.flows.pump import lead, loop, queue_fronts, sight
from shared.flows.render import limit_reports
from shared.flows.upkeep import live_quota
from tests.virtual_time.worlds import MODEL, a_setting
from tests.world import World

COUNT = 200
TICK = loop.TICK.total_seconds()
WAY = 0.25
"""Seconds that stores, deliveries and processors take in the rehearsal, and nothing in memory."""


def some_arrivals(priority: Priority, over: float) -> list[PublishedRequest]:
    chance = Random(7)
    times = sorted(chance.uniform(0.0, over) for _ in range(COUNT))
    return [PublishedRequest(f"r-{number}", at, "t", priority, MODEL, 200, None) for number, at in enumerate(times)]


async def real_starts(arrivals: list[PublishedRequest], rpm: int) -> list[float]:
    world = World(quota=f"*=rpm:{rpm}", latency=timedelta(seconds=10))

    async def publish() -> None:
        for arrival in arrivals:
            await world.clock.sleep(arrival.at - world.clock.monotonic())
            await world.submit(arrival.request_id, model=MODEL, priority=arrival.priority, tenant=arrival.tenant)

    await world.run_for(timedelta(seconds=COUNT * 60 / rpm + 180), publish())
    assert set(world.statuses().values()) == {"succeeded"}
    return sorted((call.at - world.started).total_seconds() for call in world.lane.calls)


def rehearsed_starts(arrivals: list[PublishedRequest], rpm: int) -> list[float]:
    limits = Limits(rpm=rpm)
    setting = replace(
        a_setting(),
        arrivals=lambda chance: arrivals,
        terms={MODEL: ProviderTerms.fixed(limits)},
        limits={MODEL: limits},
    )
    return sorted(
        request.began_at for request in rehearse(setting, PumpModel(), 1).requests if request.began_at is not None
    )


@pytest.mark.parametrize(
    ("priority", "rpm", "over"), [("normal", 60, 60.0), ("interactive", 120, 150.0), ("normal", 300, 100.0)]
)
async def test_starts_agree_within_a_tick(priority: Priority, rpm: int, over: float) -> None:
    arrivals = some_arrivals(priority, over)
    real, rehearsed = await real_starts(arrivals, rpm), rehearsed_starts(arrivals, rpm)
    assert len(real) == len(rehearsed) == COUNT
    apart = [abs(one - other) for one, other in zip(real, rehearsed, strict=True)]
    assert max(apart) <= TICK + WAY
    assert median(apart) <= TICK / 2 + WAY


def test_the_rehearsal_s_constants_are_the_pump_s() -> None:
    assert (renderlane_model.EXTRA_TICKS, renderlane_model.EXTRA_PER_SECOND) == (
        loop.EXTRA_TICKS,
        loop.EXTRA_PER_SECOND,
    )
    assert timedelta(seconds=renderlane_model.LEAD) == lead.LEADER_LEASE
    assert (renderlane_model.PAGE, renderlane_model.PAGE_FRESH_FOR) == (queue_fronts.PAGE, queue_fronts.FRESH_FOR)
    assert sight.COUNT_EVERY == renderlane_model.COUNT_EVERY
    assert timedelta(seconds=renderlane_model.REPORT_SPACING) == limit_reports.SPACING
    assert timedelta(seconds=renderlane_model.LIVE_EVERY) == live_quota.READ_EVERY
