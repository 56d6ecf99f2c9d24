"""What is in force at a tick: breakers tripped and reset, what is concluded, and the routing to plan under."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.core.admission.allocation import Candidate, Grant
from shared.core.admission.outlook import outlook
from shared.core.admission.route_memory import Routing
from shared.core.admission.slot_calendar import Blocked
from shared.core.conclusions.claims import POLICIES, parted
from shared.core.conclusions.conclusion import Conclusion, Conclusions
from shared.core.conclusions.conclusion import judge as conclude
from shared.core.observability import events
from shared.core.provider.circuit_health import ALL_WELL
from shared.core.routing.breaker import BreakerChanges, judge, next_tick
from shared.core.routing.flag import BREAKER
from shared.core.routing.flag_board import FlagRefused
from shared.core.values.route import GATEWAY, pool
from shared.flows.operations import flags
from shared.flows.pump.observations import PumpSight
from shared.flows.pump.planner import Planner
from shared.flows.pump.state import PumpDocuments
from shared.ports import Ports


class Breakers:
    """One per lead."""

    def __init__(self, ports: Ports, documents: PumpDocuments, sight: PumpSight, planner: Planner) -> None:
        self._ports = ports
        self._documents = documents
        self._sight = sight
        self._planner = planner
        self._suspected: frozenset[str] = frozenset()
        """Cases of too few requests for a conclusion, that somebody has been told of."""

    async def judge(self, held_back: Mapping[str, Blocked]) -> Routing:
        """Trip and reset breakers, conclude what evidence allows, and plan under what is in force from here on.

        `held_back` by model: what the last tick found full.
        """
        documents, sight, now = self._documents, self._sight, self._documents.time.now()
        before = documents.routing
        conclusions = conclude(
            before.conclusions, sight.heard, before.starts, now, resets=sight.board.resets, longest=self._longest()
        )
        self._tell(before.conclusions, conclusions)
        self._suspect(conclusions.suspected(sight.heard, before.starts, now))
        routing = replace(before, conclusions=conclusions)
        judged = judge(
            routing.circuits, sight.health, sight.board.in_force(now), sight.board.overruled, self._ports.catalogue, now
        )
        routing = replace(routing, circuits=judged.circuits)
        await self._flag(judged)
        in_force = sight.board.in_force(now)
        ids = tuple(sorted(f"{flag.id}@{flag.expires_at.isoformat()}" for flag in in_force))
        concluded = conclusions.reached.keys() != before.conclusions.reached.keys()
        if ids != routing.in_force or sight.gateways_changed or concluded:  # sleeping requests may have a route now
            documents.memory = replace(documents.memory, epoch=documents.memory.epoch + 1)
        opens = outlook(documents.memory.standings, sight.reports, held_back, routing, now)
        self._planner.under(in_force, opens, routing, now, sight.gateways_off)
        return routing.under(ids, tuple(sight.board.flags))

    def next_tick(self, now: datetime) -> datetime | None:
        """When a tick should come before its time; None where none has to."""
        circuits, health = self._documents.routing.circuits, self._sight.health
        in_force = self._sight.board.in_force(now)
        open_now = {flag.circuit for flag in in_force if flag.actor == BREAKER and flag.circuit in circuits}
        ticks = [next_tick(circuits[name], health.get(name, ALL_WELL), now) for name in open_now if name is not None]
        return min((moment for moment in ticks if moment is not None), default=None)

    def _longest(self) -> dict[str, timedelta]:
        """The most between two probes of a gateway's account, as its row in the catalogue says."""
        ports = self._ports
        return {
            pool(GATEWAY, model): max(ports.catalogue.gateways[name].ask_again for name in names)
            for model, names in ports.gateways.items()
        }

    def _tell(self, before: Conclusions, after: Conclusions) -> None:
        signals, was, now = self._ports.signals, before.reached, after.reached
        for name in sorted(now.keys() - was.keys()):
            conclusion = now[name]
            signals.emit(
                events.CONCLUDED, conclusion=name, why=conclusion.why, requests=len(after.cases[name].fresh),
                next_probe_at=conclusion.next_probe_at,
            )  # fmt: skip
            self._warn(conclusion)
        for name in sorted(was.keys() - now.keys()):
            signals.emit(events.CONCLUSION_CLEARED, conclusion=name, since=was[name].since, probes=was[name].probes)

    def _warn(self, conclusion: Conclusion) -> None:
        signals = self._ports.signals
        if conclusion.policy.runbook:
            signals.emit(events.ESCALATION, what=conclusion.why, request_id=None, runbook=conclusion.policy.runbook)
        elif conclusion.policy.effect == "strikes":
            signals.emit(events.ROUTE_LACKING, what=conclusion.why)

    def _suspect(self, suspected: Sequence[str]) -> None:
        """Tell somebody, once, where nothing but such failures comes and too few requests speak for a conclusion."""
        for name in suspected:
            if name not in self._suspected:
                claim, subject = parted(name)
                what = f"{subject} {POLICIES[claim].means}, say the few calls that were made"
                self._ports.signals.emit(events.ESCALATION, what=what, request_id=None, runbook=POLICIES[claim].runbook)
        self._suspected = frozenset(suspected)

    async def _flag(self, judged: BreakerChanges) -> None:
        """Have the board show what the breakers do."""
        for flag in judged.trips:
            with contextlib.suppress(FlagRefused):
                await flags.trip(self._ports.store, self._ports.signals, flag)
        for flag in judged.resets:
            with contextlib.suppress(FlagRefused):
                await flags.reset(self._ports.store, self._ports.signals, flag.id, BREAKER, "its probes went well")
        if judged.trips or judged.resets:
            await self._sight.read_flags()

    def granted(self, routing: Routing, grants: Sequence[Grant]) -> Routing:
        """With the starts, the probes and what flags changed among the grants."""
        for grant in grants:
            planned = grant.candidate.planned
            if planned.probe is not None:
                self._ports.signals.emit(
                    events.BREAKER_PROBED, circuit=planned.probe, request_id=grant.candidate.head.request_id,
                    slot_at=grant.slot_at, trace_id=grant.candidate.head.trace_id,
                )  # fmt: skip
        return self.bent(routing, [grant.candidate for grant in grants]).granted(grants)

    def bent(self, routing: Routing, candidates: Sequence[Candidate]) -> Routing:
        """With what the flags in shadow would have changed among these."""
        for candidate in candidates:
            for flag_id, saved in self._planner.saved_by_shadows(candidate):
                routing = routing.shadowed(flag_id, saved)
        return routing
