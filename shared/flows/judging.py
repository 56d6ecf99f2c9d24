"""What is in force at a tick: breakers tripped and reset, what providers lack, and the routing to plan under."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from shared.core import signals
from shared.core.admission import Candidate, Grant
from shared.core.board import FlagRefused
from shared.core.breaker import Judged, judge
from shared.core.calendar import Full
from shared.core.flag import BREAKER
from shared.core.routing import Routing
from shared.flows import flags
from shared.flows.planning import Planner, denials, outlook
from shared.flows.pump_documents import PumpDocuments
from shared.flows.pump_sight import PumpSight
from shared.ports import Ports


class Judging:
    """One per lead."""

    def __init__(self, ports: Ports, documents: PumpDocuments, sight: PumpSight, planner: Planner) -> None:
        self._ports = ports
        self._documents = documents
        self._sight = sight
        self._planner = planner

    async def judge(self, held_back: Mapping[str, Full]) -> Routing:
        """Trip and reset breakers, learn what providers lack, and plan under what is in force from here on.

        `held_back` by model: what the last tick found full.
        """
        documents, sight, now = self._documents, self._sight, self._documents.time.now()
        routing = documents.routing.learned(sight.health, now)
        for name in routing.lacks.keys() - documents.routing.lacks.keys():
            self._ports.signals.emit(signals.ROUTE_LACKING, what=routing.lacking[name])
        judged = judge(
            routing.circuits, sight.health, sight.board.in_force(now), sight.board.overruled, self._ports.catalogue, now
        )
        routing = replace(routing, circuits=judged.circuits)
        await self._flag(judged)
        in_force = sight.board.in_force(now)
        ids = tuple(sorted(f"{each.id}@{each.expires_at.isoformat()}" for each in in_force))
        if ids != routing.in_force or sight.gateways_changed:  # whoever sleeps may have a route now
            documents.memory = replace(documents.memory, epoch=documents.memory.epoch + 1)
        opens = outlook(documents.memory.standings, sight.reports, held_back, now)
        denied = denials(documents.memory.standings, sight.reports, now)
        self._planner.under(in_force, opens, routing, now, sight.gateways_off, denied)
        return routing.under(ids, tuple(sight.board.flags))

    async def _flag(self, judged: Judged) -> None:
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
                    signals.BREAKER_PROBED, circuit=planned.probe, request_id=grant.candidate.head.request_id,
                    slot_at=grant.slot_at, trace_id=grant.candidate.head.trace_id,
                )  # fmt: skip
        return self.bent(routing, [grant.candidate for grant in grants]).granted(grants)

    def bent(self, routing: Routing, candidates: Sequence[Candidate]) -> Routing:
        """With what the flags in shadow would have changed among these."""
        for candidate in candidates:
            for flag_id, saved in self._planner.saved_by_shadows(candidate):
                routing = routing.shadowed(flag_id, saved)
        return routing
