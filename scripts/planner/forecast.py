"""The worker's own admission under a load, in virtual time, on a fleet and a provider with the limits in force."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from scripts.planner.latency import Latencies
from scripts.planner.limits import HeldByModel, numbers
from scripts.planner.load import Wanted
from scripts.virtual_time.models.fleet_model import FleetSize
from scripts.virtual_time.models.provider_limits import ProviderTerms
from scripts.virtual_time.models.renderlane_model import PumpModel
from scripts.virtual_time.request import PublishedRequest
from scripts.virtual_time.run import Rehearsal, Setting, World, rehearse
from shared.core.admission.slot_calendar import BlockReason
from shared.core.limits.quota import Limits

AT_ONCE_EACH = 40
"""Requests that one instance carries at once."""
LONGEST = 30 * 86_400.0
"""Seconds of virtual time after which a plan is broken off."""
LEAST_PAGE, MOST_PAGE = 40, 100
"""Of a queue, that the pump sees at once; fewer make a plan faster, and are enough where that many begin in a tick."""
PAGE_SECONDS = 1.2
TOLD_EVERY = 30.0
"""Seconds of virtual time."""

Tell: TypeAlias = Callable[[int], None]
"""Is told how many requests have ended."""


class ForecastBasis(Struct, frozen=True):
    """What all alternatives are rehearsed on."""

    start: datetime
    limits: HeldByModel
    capacity: int
    """Attempts that the fleet can carry at once."""
    latencies: Latencies
    seed: int


class Forecast(Struct, frozen=True):
    """`rehearsal.requests` are in the order of the requests that were wanted."""

    wanted: Sequence[Wanted]
    rehearsal: Rehearsal
    blocked: Mapping[tuple[str, BlockReason], float]
    """Seconds for which a model's best waited, by model and reason (as in `Full`)."""


class _Reporting(PumpModel):
    """Says how far it is."""

    def __init__(self, tell: Tell, page: int) -> None:
        super().__init__(page=page, leaps=True)
        self._tell = tell

    def begin(self, world: World) -> None:
        super().begin(world)

        def report() -> None:
            self._tell(len(world.requests) - world.unended)
            world.engine.after(TOLD_EVERY, report)

        report()


def play(wanted: Sequence[Wanted], stage: ForecastBasis, tell: Tell = lambda ended: None) -> Forecast:
    """Until every request has ended. The same arguments give the same course."""
    arrivals = [_arrival(number, item, stage.latencies) for number, item in enumerate(wanted)]
    limits = {model: numbers(limit) for model, limit in stage.limits.items()}
    strategy = _Reporting(tell, _page(limits.values()))
    setting = Setting(
        start=stage.start,
        arrivals=lambda chance: arrivals,
        terms={model: ProviderTerms.fixed(limit) for model, limit in limits.items()},
        fleet=_fleet(stage.capacity),
        limits=limits,
        until=LONGEST,
        moved_by=0.0,
    )
    return Forecast(wanted, rehearse(setting, strategy, stage.seed), strategy.blocked_for)


def _page(limits: Iterable[Limits]) -> int:
    """Enough for what may begin in a tick and a little."""
    most = max(
        (MOST_PAGE if limit.rpm is None else math.ceil(limit.rpm * PAGE_SECONDS / 60) for limit in limits), default=0
    )
    return min(max(most, LEAST_PAGE), MOST_PAGE)


def _arrival(number: int, wanted: Wanted, latencies: Latencies) -> PublishedRequest:
    route = wanted.route
    return PublishedRequest(
        request_id=f"{number:06}",
        at=wanted.at,
        tenant=wanted.tenant,
        priority=wanted.priority,
        model=route.model,
        tokens=wanted.planned.input_tokens,
        deadline=wanted.deadline,
        estimate_micros=wanted.planned.estimate_micros,
        latency=latencies.of(route.model, route.image_size),
    )


def _fleet(capacity: int) -> FleetSize:
    """Of instances as alike as the capacity allows."""
    instances = math.ceil(capacity / AT_ONCE_EACH)
    return FleetSize(instances, math.ceil(capacity / instances), instances)
