"""One rehearsal: a strategy is put into a world of provider, fleet and documents, and what happened is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Protocol

from msgspec import Struct, field

from scripts.virtual_time.engine import Engine
from scripts.virtual_time.models.firestore_model import Documents
from scripts.virtual_time.models.fleet_model import FleetModel, FleetSize
from scripts.virtual_time.models.provider_limits import ProviderTerms
from scripts.virtual_time.models.provider_model import ModelledCall, Provider
from scripts.virtual_time.models.pubsub_model import DeliveryCounts, PubsubFleet
from scripts.virtual_time.request import ModelledRequest, PublishedRequest
from shared.core.limits.quota import Limits


class Setting(Struct, frozen=True):
    """Everything but strategy and seed. Times in seconds since the start."""

    start: datetime
    """Aware; the seed moves it by up to `moved_by`, so that clock minutes fall differently."""
    arrivals: Callable[[Random], Sequence[PublishedRequest]]
    """By time."""
    terms: Mapping[str, ProviderTerms]
    """By model."""
    fleet: FleetSize
    limits: Mapping[str, Limits]
    """By model: what the strategies are told of the limits at the start."""
    crashes: Sequence[float] = ()
    """When the process that leads dies."""
    until: float = 7200.0
    """When the rehearsal is broken off, if requests are still under way."""
    moved_by: float = 60.0


class Strategy(Protocol):
    """Decides when requests start. A new one for each rehearsal."""

    def begin(self, world: World) -> None:
        """Once, before the first event."""

    def arrive(self, request: ModelledRequest) -> None:
        """A request is published at this instant."""

    def crash(self) -> None:
        """The process that leads dies at this instant; where nobody leads, an instance of the fleet."""


class World:
    """What a strategy may use. It tells the world of each request when it has ended."""

    def __init__(self, setting: Setting, seed: int) -> None:
        chance = Random(f"{seed}:arrivals")
        arrivals = setting.arrivals(chance)
        self.engine = Engine(setting.start + timedelta(seconds=chance.uniform(0, setting.moved_by)))
        self.provider = Provider(self.engine, setting.terms, Random(f"{seed}:provider"))
        model = FleetModel if setting.fleet.terms is None else PubsubFleet
        self.fleet = model(self.engine, self.provider, setting.fleet, Random(f"{seed}:fleet"))
        self.documents = Documents(self.engine, Random(f"{seed}:documents"))
        self.limits = setting.limits
        self.seed = seed
        self.chance = Random(f"{seed}:strategy")
        self.requests = [ModelledRequest(arrival) for arrival in arrivals]
        self._open = len(self.requests)

    @property
    def unended(self) -> int:
        """How many requests have not ended, those to come included."""
        return self._open

    def succeed(self, request: ModelledRequest) -> None:
        self._end(request)
        request.status = "succeeded"

    def lose(self, request: ModelledRequest) -> None:
        """The strategy has given it up."""
        self._end(request)
        request.status = "lost"

    def _end(self, request: ModelledRequest) -> None:
        if request.ended_at is not None:
            raise ValueError(f"{request.arrival.request_id} has ended before")
        request.ended_at = self.engine.now
        self._open -= 1
        if not self._open:
            self.engine.stop()


class Rehearsal(Struct, frozen=True):
    """What happened."""

    requests: Sequence[ModelledRequest]
    calls: Sequence[ModelledCall]
    """In the order of arrival at the provider."""
    writes: Mapping[str, Sequence[float]]
    """Instants of the strategy's own writes, by document path."""
    ended_at: float
    """When the last request ended, or the rehearsal was broken off."""
    deliveries: DeliveryCounts = field(default_factory=DeliveryCounts)


def rehearse(setting: Setting, strategy: Strategy, seed: int) -> Rehearsal:
    """Runs until every request has ended. The same arguments give the same rehearsal."""
    world = World(setting, seed)
    strategy.begin(world)
    for request in world.requests:
        world.engine.at(request.arrival.at, partial(strategy.arrive, request))
    for instant in setting.crashes:
        world.engine.at(instant, strategy.crash)
    world.engine.run(setting.until)
    counts = world.fleet.counts if isinstance(world.fleet, PubsubFleet) else DeliveryCounts()
    return Rehearsal(world.requests, world.provider.calls, world.documents.writes, world.engine.now, counts)
