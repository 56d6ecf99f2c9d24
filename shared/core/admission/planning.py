"""The route of every queued request, planned under the current flags and breakers: a change reroutes the whole
backlog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from shared.core.admission.allocation import Candidate
from shared.core.admission.priority import RANK
from shared.core.admission.route_memory import Routing
from shared.core.conclusions.conclusion import Conclusion, asks_best
from shared.core.conclusions.evidence import short
from shared.core.lifecycle.request_record import Head
from shared.core.provider.circuit_health import ALL_WELL, Health
from shared.core.routing import ladder
from shared.core.routing.breaker import may_probe_again, open_breakers, probe_due, probes_allowed
from shared.core.routing.context import RoutingContext
from shared.core.routing.flag import Flag
from shared.core.routing.ladder import Plan, Planned, Unroutable, Waits, saved
from shared.core.values.lanes import is_apart
from shared.core.values.route import Route, circuit

PLANS_KEPT = 5_000
CLOCK_STEP = timedelta(minutes=1)
"""How often a plan that depends on the clock (a batch before a deadline) is made again."""


class Planning(Struct, frozen=True):
    """The result of planning the heads of one tick."""

    candidates: tuple[Candidate, ...]
    waiting: tuple[tuple[Head, Waits], ...]
    """Heads whose every route is closed for now."""
    unroutable: tuple[tuple[Head, Unroutable], ...]


class Planner:
    """Plans heads, and caches plans as long as their inputs do not change. Losing the cache changes no plan."""

    def __init__(self) -> None:
        self._context: RoutingContext | None = None
        self._plans: dict[str, tuple[str, Plan]] = {}
        """By request: the version that was planned, and its plan."""

    def plan(self, head: Head, context: RoutingContext) -> Plan:
        if context is not self._context:
            if context != self._context:
                self._plans = {}
            self._context = context
        cached = self._plans.get(head.request_id)
        if cached is not None and cached[0] == head.version:
            return cached[1]
        fresh = ladder.plan(head.ask, context, head.history)
        self._plans[head.request_id] = (head.version, fresh)
        return fresh

    def plan_all(
        self, heads: Sequence[Head], context: RoutingContext, routing: Routing, health: Mapping[str, Health],
        now: datetime,
    ) -> Planning:  # fmt: skip
        """Plan all of them, including one probe for each open breaker and each conclusion that is due for one."""
        if len(self._plans) > PLANS_KEPT:
            self._plans = {}
        plans = {head.request_id: self.plan(head, context) for head in heads}
        for closed, flag in open_breakers(context.flags).items():
            plans |= _breaker_probe(flag, closed, context, routing, health, heads, now)
        for conclusion in routing.conclusions.due(now):
            plans |= _conclusion_probe(conclusion, context, routing, heads)
        candidates, waiting, unroutable = [], [], []
        for head in heads:
            match plans[head.request_id]:
                case Planned() as planned:
                    candidates.append(Candidate(head, planned))
                case Waits() as waits:
                    waiting.append((head, waits))
                case Unroutable() as problem:
                    unroutable.append((head, problem))
        return Planning(tuple(candidates), tuple(waiting), tuple(unroutable))


def to_the_minute(now: datetime) -> datetime:
    """The clock as plans see it: it moves once every CLOCK_STEP."""
    return now - timedelta(seconds=now.timestamp() % CLOCK_STEP.total_seconds())


def with_shadow_effects(
    routing: Routing, candidates: Sequence[Candidate], context: RoutingContext, shadows: Sequence[Flag]
) -> Routing:
    """With what shadow flags would have changed among these, and how much they would have saved."""
    for candidate in candidates:
        for flag in shadows:
            planned = candidate.planned
            plan = ladder.plan(candidate.head.ask, context.with_flag(flag), candidate.head.history)
            if not isinstance(plan, Planned):
                routing = routing.shadowed(flag.id, 0)
            elif plan.route != planned.route:
                less = saved(planned.route, planned.estimate_micros, plan.route, plan.estimate_micros)
                routing = routing.shadowed(flag.id, less)
    return routing


def _breaker_probe(
    flag: Flag, closed: str, context: RoutingContext, routing: Routing, health: Mapping[str, Health],
    heads: Sequence[Head], now: datetime,
) -> dict[str, Plan]:  # fmt: skip
    """A request that did not fail there; after a while one that did, if no other waits."""
    circuit = routing.circuits.get(closed)
    most = 1 if circuit is None else probes_allowed(circuit, health.get(closed, ALL_WELL), now)
    if not most:
        return {}
    well = [head for head in heads if closed not in head.history.sick_on]
    due = None if circuit is None or most > 1 else probe_due(circuit)
    probes = _probe(closed, context.without(flag), well, closed, most, due)
    if probes or circuit is None or not may_probe_again(circuit, now):
        return probes
    return _probe(closed, context.without(flag), [head for head in heads if head not in well], closed)


def _conclusion_probe(
    about: Conclusion, context: RoutingContext, routing: Routing, heads: Sequence[Head]
) -> dict[str, Plan]:
    """A request whose failure did not contribute to the conclusion, preferably of a tenant that did not either; else
    one that did."""
    voices = routing.conclusions.cases[about.id].voices
    by_trust = sorted(heads, key=lambda head: asks_best(voices, short(head.request_id), short(head.tenant)))
    match about.policy.effect:
        case "strikes":
            context = context.without_lacking(about.subject)
        case "closes":
            context = context.without_shut(about.subject)
    return _probe(about.subject, context, by_trust, about.id)


def _probe(
    subject: str, context: RoutingContext, heads: Sequence[Head], probe: str, most: int = 1,
    not_before: datetime | None = None,
) -> dict[str, Plan]:  # fmt: skip
    """The first requests of the lowest priority that would take a route of the subject."""
    plans: dict[str, Plan] = {}
    for head in sorted(heads, key=lambda head: -RANK[head.priority]):
        plan = ladder.plan(head.ask, context, head.history)
        if isinstance(plan, Planned) and _is_of(plan.route, subject):
            plans[head.request_id] = replace(plan, probe=probe, not_before=not_before)
            if len(plans) >= most:
                break
    return plans


def _is_of(route: Route, subject: str) -> bool:
    """`subject`: a circuit, `*/model` in every lane of Google's, or a pool."""
    if "/" in subject:
        return subject == route.circuit or (not is_apart(route.lane) and subject == circuit("*", route.model))
    return route.pool == subject
