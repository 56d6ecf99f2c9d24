"""Requests that back off after a failure of their route, and that an open breaker has since given another route.

They start at once: the back-off protects a route that they will not take. Searched for when a breaker trips and when a
call on a closed route has failed, for SEARCH_FOR: the failed request is queued a moment later.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from msgspec import Struct, field

from shared.core.admission.planning import Planner
from shared.core.lifecycle import queries
from shared.core.lifecycle.request_record import Head
from shared.core.lifecycle.retry import MAX_PROBE_BACKOFF
from shared.core.provider.circuit_health import ALL_WELL, Health
from shared.core.routing.context import RoutingContext
from shared.core.routing.ladder import Planned
from shared.flows.pump.queue_fronts import PAGE
from shared.flows.requests.item_by_item import heads
from shared.ports import Ports

SEARCH_FOR = timedelta(seconds=3)


class RerouteSearch(Struct, frozen=True):
    """Until when to search, and what that was decided by. One per tick."""

    newest_sick: Mapping[str, int] = field(default_factory=dict)
    """By circuit of an open breaker: the second of its newest failure that was reported."""
    until: datetime | None = None
    """Ticks search until then."""

    def after(self, closed: Collection[str], health: Mapping[str, Health], now: datetime) -> RerouteSearch:
        """The search as it is with these closed circuits and their newest failures."""
        newest = {circuit: max(health.get(circuit, ALL_WELL).sick, default=0) for circuit in closed}
        is_news = any(self.newest_sick.get(circuit) != second for circuit, second in newest.items())
        return RerouteSearch(newest, now + SEARCH_FOR if is_news else self.until)


async def rerouted(
    ports: Ports,
    planner: Planner,
    context: RoutingContext,
    search: RerouteSearch,
    closed: Collection[str],
    now: datetime,
) -> list[Head]:
    """Sleeping requests that have another route in this context: a page of them, those that wake soonest first."""
    if not closed or search.until is None or now > search.until:
        return []
    asleep = await ports.store.query(queries.woken(now + MAX_PROBE_BACKOFF, PAGE))
    return [
        head for head in heads(ports, asleep) if head.circuit in closed and _has_another_route(planner, head, context)
    ]


def _has_another_route(planner: Planner, head: Head, context: RoutingContext) -> bool:
    plan = planner.plan(head, context)
    return isinstance(plan, Planned) and plan.route.circuit not in {head.circuit, *head.history.sick_on}
