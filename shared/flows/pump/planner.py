"""The route of every head, planned under the flags and breakers of this moment: the whole backlog bends by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.admission.allocation import Candidate
from shared.core.admission.outlook import denials, denied_apart, offers
from shared.core.admission.priority import RANK
from shared.core.admission.route_memory import Routing
from shared.core.conclusions.conclusion import Conclusion, asks_best
from shared.core.conclusions.evidence import short
from shared.core.lifecycle.request_record import Head
from shared.core.provider.circuit_health import ALL_WELL, Health
from shared.core.routing import ladder
from shared.core.routing.breaker import may_probe_again, probe_due, probes_allowed
from shared.core.routing.context import RoutingContext
from shared.core.routing.flag import BREAKER, Flag
from shared.core.routing.ladder import Plan, Planned, Unroutable, Waits, saved
from shared.core.values.lanes import is_apart
from shared.core.values.route import Route, circuit
from shared.ports import Ports

PLANS_KEPT = 5_000
CLOCK_STEP = timedelta(minutes=1)
"""A plan that looks at the clock (a batch before a deadline) is made again so often."""


class Planning(Struct, frozen=True):
    """What became of the heads of one tick."""

    candidates: tuple[Candidate, ...]
    waiting: tuple[tuple[Head, Waits], ...]
    """Those whose every route is closed for now."""
    unroutable: tuple[tuple[Head, Unroutable], ...]


class Planner(Struct):
    """One per lead: it remembers plans as long as nothing they rest on changes."""

    ports: Ports
    terms: RoutingContext | None = None
    shadows: tuple[Flag, ...] = ()
    _plans: dict[str, tuple[str, Plan]] = field(default_factory=dict)
    """By request: the version that was planned, and its plan."""

    def under(
        self,
        flags: Sequence[Flag],
        opens: Mapping[str, datetime],
        routing: Routing,
        now: datetime,
        gateways_off: Mapping[str, str | None] = MappingProxyType({}),
    ) -> None:
        """Plan under these terms from now on. `gateways_off` by name: why nothing goes there."""
        ports = self.ports
        terms = RoutingContext(
            catalogue=ports.catalogue,
            lanes=ports.open_lanes,
            flags=tuple(flag for flag in flags if not flag.shadow),
            opens=opens,
            lacking=routing.lacking,
            offers=offers(ports.catalogue, ports.gateways, gateways_off, denials(routing)),
            denied=denied_apart(routing),
            vertex=ports.vertex,
            now=now - timedelta(seconds=now.timestamp() % CLOCK_STEP.total_seconds()),
        )
        self.shadows = tuple(flag for flag in flags if flag.shadow)
        if terms != self.terms or len(self._plans) > PLANS_KEPT:
            self.terms, self._plans = terms, {}

    def plan(self, head: Head) -> Plan:
        cached = self._plans.get(head.request_id)
        if cached is not None and cached[0] == head.version:
            return cached[1]
        fresh = ladder.plan(head.ask, self._terms, head.course)
        self._plans[head.request_id] = (head.version, fresh)
        return fresh

    def step_down(self, head: Head, within_micros: int, because: str) -> Planned | None:
        """The cheapest route, where so much money is enough for it."""
        return ladder.stepped_down(head.ask, self._terms, head.course, within_micros, because)

    def plan_all(
        self, heads: Sequence[Head], routing: Routing, health: Mapping[str, Health], now: datetime
    ) -> Planning:
        """All of them, with a probe among them for each open breaker and each conclusion that is due for one."""
        plans = {head.request_id: self.plan(head) for head in heads}
        for flag in self._terms.flags:
            if flag.actor == BREAKER and flag.circuit is not None:
                plans |= self._breaker_probe(flag, flag.circuit, routing, health, heads, now)
        for conclusion in routing.conclusions.due(now):
            plans |= self._conclusion_probe(conclusion, routing, heads)
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

    def saved_by_shadows(self, candidate: Candidate) -> list[tuple[str, int]]:
        """The flags in shadow that would have changed this route, and how much less it would have cost."""
        savings = []
        for flag in self.shadows:
            plan = ladder.plan(candidate.head.ask, self._terms.with_flag(flag), candidate.head.course)
            if not isinstance(plan, Planned):
                savings.append((flag.id, 0))
            elif plan.route != candidate.planned.route:
                planned = candidate.planned
                less = saved(planned.route, planned.estimate_micros, plan.route, plan.estimate_micros)
                savings.append((flag.id, less))
        return savings

    def _breaker_probe(
        self, flag: Flag, closed: str, routing: Routing, health: Mapping[str, Health], heads: Sequence[Head],
        now: datetime,
    ) -> dict[str, Plan]:  # fmt: skip
        """One that was not sick there; after a while one that was, where no other waits."""
        circuit = routing.circuits.get(closed)
        most = 1 if circuit is None else probes_allowed(circuit, health.get(closed, ALL_WELL), now)
        if not most:
            return {}
        well = [head for head in heads if closed not in head.course.sick_on]
        due = None if circuit is None or most > 1 else probe_due(circuit)
        probes = self._probe(closed, self._terms.without(flag), well, closed, most, due)
        if probes or circuit is None or not may_probe_again(circuit, now):
            return probes
        return self._probe(closed, self._terms.without(flag), [head for head in heads if head not in well], closed)

    def _conclusion_probe(self, about: Conclusion, routing: Routing, heads: Sequence[Head]) -> dict[str, Plan]:
        """One whose failure did not make the conclusion, best of a tenant that none of them is of; else one of them."""
        voices = routing.conclusions.cases[about.id].voices
        by_trust = sorted(heads, key=lambda head: asks_best(voices, short(head.request_id), short(head.tenant)))
        terms = self._terms
        match about.policy.effect:
            case "strikes":
                terms = terms.without_lacking(about.subject)
            case "closes":
                terms = terms.without_shut(about.subject)
        return self._probe(about.subject, terms, by_trust, about.id)

    def _probe(
        self, subject: str, terms: RoutingContext, heads: Sequence[Head], probe: str, most: int = 1,
        not_before: datetime | None = None,
    ) -> dict[str, Plan]:  # fmt: skip
        """The first requests that would take a route of the subject, of the lowest priority there is."""
        plans: dict[str, Plan] = {}
        for head in sorted(heads, key=lambda head: -RANK[head.priority]):
            plan = ladder.plan(head.ask, terms, head.course)
            if isinstance(plan, Planned) and _is_of(plan.route, subject):
                plans[head.request_id] = replace(plan, probe=probe, not_before=not_before)
                if len(plans) >= most:
                    break
        return plans

    @property
    def _terms(self) -> RoutingContext:
        assert self.terms is not None, "under() comes first"
        return self.terms


def _is_of(route: Route, subject: str) -> bool:
    """`subject`: a circuit, `*/model` in every lane of Google's, or a pool."""
    if "/" in subject:
        return subject == route.circuit or (not is_apart(route.lane) and subject == circuit("*", route.model))
    return route.pool == subject
