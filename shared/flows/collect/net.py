"""The safety net under webhooks: an arrival is published for each interaction that should have ended, then ever later.

The pump looks at each tick and remembers what it published; `watch` looks once a minute, in case no pump leads or its
arrivals had no effect. Neither writes anything.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from shared.core.lifecycle import awaiting, queries
from shared.core.records.request import AwaitingRow
from shared.core.values.documents import Document
from shared.flows.render.interaction_start import publish
from shared.flows.requests.item_by_item import attempt
from shared.ports import Ports

PAGE = 500
MOST_AT_ONCE = 100
"""Arrivals per tick: looks at the provider are cheap, and limited."""
REST, REST_WHERE_OFF = 1.0, 60.0
"""Seconds between two looks of the pump for anything that waits, while nothing does. The first is shorter than a pump
stays without work."""
OVERDUE = timedelta(minutes=2)
"""How long after its first look `watch` steps in although a pump leads."""


class Net:
    """One per lead of a pump."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._next: dict[str, datetime] = {}
        """By interaction, when it is looked at again."""
        self._rested_until = float("-inf")
        self.holds = False
        """Something waits for its interaction: the pump stays because of it."""

    async def tend(self, now: datetime) -> int:
        """Publish what is due. How many arrivals."""
        monotonic = self._ports.clock.monotonic()
        if not self.holds and monotonic < self._rested_until:
            return 0
        due = await self._ports.store.query(queries.awaiting(now, PAGE))
        waiting = {_row(request).interaction_id for request in due if request.is_readable}
        self._next = {name: at for name, at in self._next.items() if name in waiting}
        ready = [request for request in due if self._is_due(request, now)][:MOST_AT_ONCE]
        counts = await asyncio.gather(*(self._one(request, now) for request in ready))
        if not due:
            self.holds = bool(await self._ports.store.query(queries.awaiting(queries.FAR_AHEAD, 1)))
            self._rested_until = monotonic + (REST_WHERE_OFF if self._ports.background == "off" else REST)
        else:
            self.holds = True
        return sum(count or 0 for count in counts)

    def _is_due(self, request: Document, now: datetime) -> bool:
        """One that cannot be read is: looking at it reports it."""
        return not request.is_readable or now >= self._next.get(_row(request).interaction_id, now)

    async def _one(self, request: Document, now: datetime) -> int | None:
        return await attempt(self._ports, "look for an interaction", request.path, self._publish(request, now))

    async def _publish(self, request: Document, now: datetime) -> int:
        row = _row(request)
        usual = None if row.usual_ms is None else timedelta(milliseconds=row.usual_ms)
        age = now - (row.slot_at or row.collect_at)
        self._next[row.interaction_id] = now + awaiting.spacing(age, usual, has_webhooks=self._ports.has_webhooks)
        await publish(self._ports, row.interaction_id, request.id, row.attempt_count)
        return 1


async def publish_overdue(ports: Ports, now: datetime, *, pump_leads: bool) -> int:
    """For `watch`. How many arrivals."""
    until = now - OVERDUE if pump_leads else now
    due = await ports.store.query(queries.awaiting(until, PAGE))
    for request in due:
        await attempt(ports, "look for an interaction", request.path, _of(ports, request))
    return len(due)


async def _of(ports: Ports, request: Document) -> None:
    row = _row(request)
    await publish(ports, row.interaction_id, request.id, row.attempt_count)


def _row(document: Document) -> AwaitingRow:
    return AwaitingRow.from_json(document.data)
