"""Requests that wait because a route was sick, and that a breaker has led to another route since.

They wait no longer: what they wait out is the sickness of a route that they will not take. Looked for when a breaker
trips and when a call on a closed route has failed, for LOOKED_FOR: the failed request is queued a moment later.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from msgspec import Struct, field

from shared.core.lifecycle import queries
from shared.core.lifecycle.request_record import Head
from shared.core.lifecycle.retry import MAX_PROBE_BACKOFF
from shared.core.provider.circuit_health import ALL_WELL, Health
from shared.core.routing.flag import BREAKER, Flag
from shared.core.routing.ladder import Planned
from shared.flows.pump.planner import Planner
from shared.flows.pump.queue_fronts import PAGE
from shared.flows.requests.item_by_item import heads
from shared.ports import Ports

LOOKED_FOR = timedelta(seconds=3)


class LedAway(Struct):
    """One per lead."""

    ports: Ports
    planner: Planner
    _newest_sick: dict[str, int] = field(default_factory=dict)
    """The second of the last sick answer that was known, by circuit of an open breaker."""
    _looks_until: datetime | None = None

    async def look(self, flags: Collection[Flag], health: Mapping[str, Health], now: datetime) -> list[Head]:
        """The sleepers that have another route under these flags, a page of them, those that wake soonest first."""
        closed = {flag.circuit for flag in flags if flag.actor == BREAKER and flag.circuit is not None}
        newest = {circuit: max(health.get(circuit, ALL_WELL).sick, default=0) for circuit in closed}
        if any(self._newest_sick.get(circuit) != second for circuit, second in newest.items()):
            self._looks_until = now + LOOKED_FOR
        self._newest_sick = newest
        if not closed or self._looks_until is None or now > self._looks_until:
            return []
        asleep = await self.ports.store.query(queries.woken(now + MAX_PROBE_BACKOFF, PAGE))
        return [head for head in heads(self.ports, asleep) if head.circuit in closed and self._has_another_route(head)]

    def _has_another_route(self, head: Head) -> bool:
        plan = self.planner.plan(head)
        return isinstance(plan, Planned) and plan.route.circuit not in {head.circuit, *head.course.sick_on}
