"""Requests that end in their queue: no route is left, no money, or the deadline cannot be met; and lost releases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from shared.core.admission.planning import Planner
from shared.core.admission.slot_calendar import Blocked
from shared.core.admission.tick import TickResult
from shared.core.lifecycle import head_changes, request_record
from shared.core.lifecycle.request_record import Head
from shared.core.provider.outcome import Outcome, cannot_begin_in_time
from shared.core.records.versioned import request_in
from shared.core.routing.context import RoutingContext
from shared.core.routing.ladder import Planned
from shared.core.values.documents import Committed, Document, Update
from shared.core.values.lanes import BATCH
from shared.core.values.status import FinalStatus
from shared.flows.clock import ServerTime
from shared.flows.pump.queue_fronts import QueueFronts
from shared.flows.pump.release import take_back_unclaimed
from shared.flows.requests.expiry import expire_due_before, expire_overdue
from shared.flows.requests.result_events import ended
from shared.ports import Ports

WORTH_WAITING = timedelta(minutes=1)
"""What opens later than this is left to the next scheduled kick."""


class Overdue:
    """Ends requests in their queue. Keeps no state; what it writes is stamped with the time of the write."""

    def __init__(self, ports: Ports, time: ServerTime, fronts: QueueFronts, planner: Planner) -> None:
        self._ports = ports
        self._time = time
        self._fronts = fronts
        self._planner = planner

    async def end(self, head: Head, status: FinalStatus, outcome: Outcome) -> None:
        changes = head_changes.ended(status, outcome, self._time.now())
        self._fronts.gone([head.request_id])
        committed = await self._ports.store.commit(Update(request_record.path(head.request_id), changes, head.version))
        if isinstance(committed, Committed):
            request = await self._ports.store.get(request_record.path(head.request_id))
            assert isinstance(request, Document)
            await ended(self._ports, request_in(request), was="queued")

    async def end_missed(
        self, result: TickResult, blocked_before: Mapping[str, Blocked], context: RoutingContext, now: datetime
    ) -> None:
        """End requests whose deadline can no longer be met, at once and with the reason, and those behind them.

        `blocked_before` by model: what was full at the tick before; requests behind it are ended already.
        """
        for candidate, full in result.missed:
            if candidate.model in context.opens:  # otherwise the next tick plans another route, if there is one
                await self.end(candidate.head, "expired", _too_late(candidate.model, full))
        new = {model: full for model, full in result.blocked.items() if model not in blocked_before}
        await self._expire_behind(new, context, now)

    async def sweep(self, blocked: Mapping[str, Blocked], context: RoutingContext | None, now: datetime) -> None:
        """Take back lost releases and end requests past their deadline. `context`: of the last tick, None before it."""
        for head in await take_back_unclaimed(self._ports, self._time):
            self._fronts.left(head)
        await expire_overdue(self._ports, now)
        await self._expire_behind(blocked, context, now)

    async def _expire_behind(
        self, blocked: Mapping[str, Blocked], context: RoutingContext | None, now: datetime
    ) -> None:
        """End requests behind the heads whose deadline comes before their model opens."""

        def has_another_route(head: Head, model: str) -> bool:
            if context is None or model not in context.opens:
                return True  # the next tick knows
            plan = self._planner.plan(head, context)
            return isinstance(plan, Planned) and (plan.route.pool != model or plan.route.lane == BATCH)

        for model, full in blocked.items():
            if full.lasts and full.until is not None and full.until > now + WORTH_WAITING:
                stay = await expire_due_before(
                    self._ports, model, full.until, _too_late(model, full), now, unless=has_another_route
                )
                self._fronts.ahead(stay)


def _too_late(model: str, full: Blocked) -> Outcome:
    assert full.until is not None
    return cannot_begin_in_time(model, full.reason, full.until)
