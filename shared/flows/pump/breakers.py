"""What is in force at a tick: breakers tripped and reset, conclusions, and the context to plan in."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from shared.core.admission.allocation import Grant
from shared.core.admission.outlook import denials, denied_apart, offers, outlook
from shared.core.admission.planning import to_the_minute
from shared.core.admission.route_memory import Routing
from shared.core.admission.slot_calendar import Blocked
from shared.core.admission.tick import Memory
from shared.core.conclusions.claims import POLICIES, parted
from shared.core.conclusions.conclusion import Conclusion, Conclusions
from shared.core.conclusions.conclusion import judge as conclude
from shared.core.observability import events
from shared.core.provider.circuit_health import ALL_WELL
from shared.core.routing.breaker import BreakerChanges, judge, next_tick, open_breakers
from shared.core.routing.context import RoutingContext
from shared.core.routing.flag import BREAKER, Flag
from shared.core.routing.flag_board import FlagRefused
from shared.core.values.route import GATEWAY, pool
from shared.flows.operations import flags
from shared.flows.pump.sight import Reports, Sight, with_flags_read
from shared.ports import Ports


class InForce(Struct, frozen=True):
    """What a tick plans by."""

    routing: Routing
    context: RoutingContext
    shadows: tuple[Flag, ...]
    sight: Sight
    """With the flags after breakers tripped and reset."""
    epoch: int
    """Of the memory: one higher if sleeping requests may have a route now."""
    suspected: frozenset[str]
    """Cases of too few requests for a conclusion that were already reported."""


class Breakers:
    """Trips and resets breakers. Keeps no state: circuits and conclusions are in the Routing."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def judge(
        self, before: Routing, memory: Memory, sight: Sight, reports: Reports, blocked: Mapping[str, Blocked],
        suspected: frozenset[str], now: datetime,
    ) -> InForce:  # fmt: skip
        """Trip and reset breakers, draw the conclusions that evidence allows, and return what is in force from here on.
        `blocked` by model: what was full at the last tick; `suspected`: what was reported by then."""
        board = sight.flags.board
        conclusions = conclude(
            before.conclusions, reports.heard, before.starts, now, resets=board.resets, longest=self._longest()
        )
        self._tell(before.conclusions, conclusions)
        suspects = self._suspect(conclusions.suspected(reports.heard, before.starts, now), suspected)
        routing = replace(before, conclusions=conclusions)
        judged = judge(
            routing.circuits, reports.health, board.in_force(now), board.overruled, self._ports.catalogue, now
        )
        routing = replace(routing, circuits=judged.circuits)
        sight = await self._flag(judged, sight)
        board = sight.flags.board
        in_force = board.in_force(now)
        ids = tuple(sorted(f"{flag.id}@{flag.expires_at.isoformat()}" for flag in in_force))
        concluded = conclusions.reached.keys() != before.conclusions.reached.keys()
        may_have_routes = ids != routing.in_force or sight.gateways.changed or concluded
        opens = outlook(memory.standings, reports.by_model, blocked, routing, now)
        return InForce(
            routing=routing.under(ids, tuple(board.flags)),
            context=self._context(in_force, opens, routing, sight.gateways.off, now),
            shadows=tuple(flag for flag in in_force if flag.shadow),
            sight=sight,
            epoch=memory.epoch + int(may_have_routes),
            suspected=suspects,
        )

    def _context(
        self, in_force: Sequence[Flag], opens: Mapping[str, datetime], routing: Routing,
        gateways_off: Mapping[str, str | None], now: datetime,
    ) -> RoutingContext:  # fmt: skip
        ports = self._ports
        return RoutingContext(
            catalogue=ports.catalogue,
            lanes=ports.open_lanes,
            flags=tuple(flag for flag in in_force if not flag.shadow),
            opens=opens,
            lacking=routing.lacking,
            offers=offers(ports.catalogue, ports.gateways, gateways_off, denials(routing)),
            denied=denied_apart(routing),
            vertex=ports.vertex,
            now=to_the_minute(now),
        )

    def _longest(self) -> dict[str, timedelta]:
        """The longest interval between two probes of a gateway's account, from its row in the catalogue."""
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

    def _suspect(self, suspects: Sequence[str], suspected: frozenset[str]) -> frozenset[str]:
        """Report once that all calls fail the same way, but too few requests for a conclusion."""
        for name in suspects:
            if name not in suspected:
                claim, subject = parted(name)
                what = f"{subject} {POLICIES[claim].means}, say the few calls that were made"
                self._ports.signals.emit(events.ESCALATION, what=what, request_id=None, runbook=POLICIES[claim].runbook)
        return frozenset(suspects)

    async def _flag(self, judged: BreakerChanges, sight: Sight) -> Sight:
        """Have the board show what the breakers do."""
        for flag in judged.trips:
            with contextlib.suppress(FlagRefused):
                await flags.trip(self._ports.store, self._ports.signals, flag)
        for flag in judged.resets:
            with contextlib.suppress(FlagRefused):
                await flags.reset(self._ports.store, self._ports.signals, flag.id, BREAKER, "its probes went well")
        return await with_flags_read(self._ports, sight) if judged.trips or judged.resets else sight

    def tell_probes(self, grants: Sequence[Grant]) -> None:
        for grant in grants:
            planned = grant.candidate.planned
            if planned.probe is not None:
                self._ports.signals.emit(
                    events.BREAKER_PROBED, circuit=planned.probe, request_id=grant.candidate.head.request_id,
                    slot_at=grant.slot_at, trace_id=grant.candidate.head.trace_id,
                )  # fmt: skip


def next_tick_at(routing: Routing, sight: Sight, now: datetime) -> datetime | None:
    """When an earlier tick is needed; None if it is not."""
    if sight.reports is None:
        return None
    health = sight.reports.health
    open_now = open_breakers(sight.flags.board.in_force(now))
    circuits = {name: circuit for name, circuit in routing.circuits.items() if name in open_now}
    ticks = [next_tick(circuit, health.get(name, ALL_WELL), now) for name, circuit in circuits.items()]
    return min((moment for moment in ticks if moment is not None), default=None)
