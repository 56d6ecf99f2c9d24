"""One builder for each value of a rehearsal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random

from scripts.simulator.provider.latency import Distribution
from scripts.virtual_time.arrivals import Source, backlog
from scripts.virtual_time.engine import Engine
from scripts.virtual_time.models.fleet_model import FleetSize
from scripts.virtual_time.models.latency import BoundedLatency
from scripts.virtual_time.models.provider_limits import ProviderTerms
from scripts.virtual_time.models.provider_model import ModelledCall, Provider
from scripts.virtual_time.models.provider_reply import Answer
from scripts.virtual_time.request import ModelledRequest, Priority, PublishedRequest, Status
from scripts.virtual_time.run import Rehearsal, Setting
from shared.core.limits.quota import Limits

MODEL = "gemini-nano-banana-2.1"
START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TEN_SECONDS = BoundedLatency(Distribution("fixed", 10.0))


def an_engine(start: datetime = START) -> Engine:
    return Engine(start)


def an_arrival(
    request_id: str = "r-0", at: float = 0.0, *, tenant: str = "t", priority: Priority = "normal"
) -> PublishedRequest:
    return PublishedRequest(request_id, at, tenant, priority, MODEL, tokens=200, deadline=None)


def a_request(
    request_id: str = "r-0",
    at: float = 0.0,
    *,
    tenant: str = "t",
    priority: Priority = "normal",
    status: Status = "succeeded",
    began_at: float | None = None,
    ended_at: float | None = None,
    accepted: int = 0,
) -> ModelledRequest:
    arrival = an_arrival(request_id, at, tenant=tenant, priority=priority)
    return ModelledRequest(arrival, status, began_at, ended_at, accepted)


def a_provider(engine: Engine, terms: ProviderTerms) -> Provider:
    return Provider(engine, {MODEL: terms}, Random(1))


def answers_at(engine: Engine, provider: Provider, instants: Sequence[float]) -> list[Answer]:
    """What calls at those instants are answered, in their order."""
    answers: list[Answer] = []
    for at in instants:
        engine.at(at, lambda: answers.append(provider.call(an_arrival(), lambda _: None)))
    engine.run()
    return answers


def a_setting(
    count: int = 60, *, rpm: int = 20, crashes: Sequence[float] = (), until: float = 7200.0, instances: int = 2
) -> Setting:
    """A backlog, and a fleet with room for all of it."""
    limits = Limits(rpm=rpm)
    return Setting(
        start=START,
        arrivals=lambda chance: backlog(Source("r", MODEL), count),
        terms={MODEL: ProviderTerms.fixed(limits)},
        fleet=FleetSize(instances=instances, concurrency=100, most_instances=instances),
        limits={MODEL: limits},
        crashes=crashes,
        until=until,
    )


def a_rehearsal(
    requests: Sequence[ModelledRequest] = (),
    calls: Sequence[tuple[float, Answer]] = (),
    writes: dict[str, list[float]] | None = None,
    ended_at: float = 100.0,
) -> Rehearsal:
    traced = [ModelledCall(at, f"r-{number}", MODEL, answer) for number, (at, answer) in enumerate(calls)]
    return Rehearsal(requests, traced, writes or {}, ended_at)
