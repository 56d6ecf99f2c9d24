"""Heads that end in their queue: no route is left, no money, or the deadline cannot be kept; and lost releases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from shared.core.admission.slot_calendar import Blocked
from shared.core.admission.tick import TickResult
from shared.core.lifecycle import head_changes, request_record
from shared.core.lifecycle.request_record import Head
from shared.core.provider.outcome import Outcome, cannot_begin_in_time
from shared.core.records.versioned import request_in
from shared.core.routing.ladder import Planned
from shared.core.values.documents import Committed, Document, Update
from shared.core.values.lanes import BATCH
from shared.core.values.status import FinalStatus
from shared.flows.pump.planner import Planner
from shared.flows.pump.queue_fronts import QueueFronts
from shared.flows.pump.release import take_back_unclaimed
from shared.flows.pump.state import PumpDocuments
from shared.flows.requests.expiry import expire_due_before, expire_overdue
from shared.flows.requests.result_events import ended
from shared.ports import Ports

WORTH_WAITING = timedelta(minutes=1)
"""What opens later than this is left to the next kick of the schedule."""
SWEEP_EVERY = timedelta(seconds=5)
"""Between two looks for deadlines that passed and releases that nobody took up."""


class Overdue:
    """One per lead."""

    def __init__(self, ports: Ports, documents: PumpDocuments, pages: QueueFronts, planner: Planner) -> None:
        self._ports = ports
        self._documents = documents
        self._pages = pages
        self._planner = planner
        self._swept_at = documents.time.now() - timedelta(days=1)

    async def end(self, head: Head, status: FinalStatus, outcome: Outcome) -> None:
        changes = head_changes.ended(status, outcome, self._documents.time.now())
        self._pages.gone([head.request_id])
        committed = await self._ports.store.commit(Update(request_record.path(head.request_id), changes, head.version))
        if isinstance(committed, Committed):
            request = await self._ports.store.get(request_record.path(head.request_id))
            assert isinstance(request, Document)
            await ended(self._ports, request_in(request), was="queued")

    async def end_missed(self, ticked: TickResult, held_back: Mapping[str, Blocked]) -> None:
        """Heads whose deadline cannot be kept any more: at once, with the reason, and those behind them.

        `held_back` by model: what the tick before this found full, and those behind it are ended already.
        """
        opens_at = self._planner.terms.opens if self._planner.terms is not None else {}
        for candidate, full in ticked.missed:
            if candidate.model in opens_at:  # else the next tick plans another route, where there is one
                await self.end(candidate.head, "expired", _too_late(candidate.model, full))
        new = {model: full for model, full in ticked.blocked.items() if model not in held_back}
        await self._expire_behind(new, self._documents.time.now())

    async def sweep(self, held_back: Mapping[str, Blocked]) -> None:
        """Lost releases and passed deadlines, now and then."""
        now = self._documents.time.now()
        if now - self._swept_at < SWEEP_EVERY:
            return
        self._swept_at = now
        for head in await take_back_unclaimed(self._ports, self._documents.time):
            self._pages.left(head)
        await expire_overdue(self._ports, now)
        await self._expire_behind(held_back, now)

    async def _expire_behind(self, blocked: Mapping[str, Blocked], now: datetime) -> None:
        """End those behind the heads that are due before their model opens."""
        for model, full in blocked.items():
            if full.lasts and full.until is not None and full.until > now + WORTH_WAITING:
                stay = await expire_due_before(
                    self._ports, model, full.until, _too_late(model, full), now, unless=self._has_another_route
                )
                self._pages.ahead(stay)

    def _has_another_route(self, head: Head, model: str) -> bool:
        if self._planner.terms is None or model not in self._planner.terms.opens:
            return True  # the next tick knows
        plan = self._planner.plan(head)
        return isinstance(plan, Planned) and (plan.route.pool != model or plan.route.lane == BATCH)


def _too_late(model: str, full: Blocked) -> Outcome:
    assert full.until is not None
    return cannot_begin_in_time(model, full.reason, full.until)
