"""The one elected loop: it takes the lead, runs a tick about once a second, and leaves when there is nothing to do."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from shared.core import signals
from shared.core.spend import spend_limit
from shared.flows.grant import tick
from shared.flows.kicks import Kicks
from shared.flows.pump_documents import LeadLost, PumpDocuments
from shared.ports import Ports

TICK = timedelta(seconds=1)
FULL_TICK = timedelta(milliseconds=500)
"""While attempts in flight are what holds the queue: room comes back between two ticks."""
ANSWER_WITHIN = timedelta(seconds=540)
"""A push may stay unanswered for 600 s."""
QUIET_AFTER = timedelta(seconds=3)
"""Without work for so long, the loop gives up its lead; a kick brings it back within milliseconds."""


class Pump:
    """One per process. `kicked` answers at once when the loop runs here already."""

    def __init__(self, ports: Ports, kicks: Kicks) -> None:
        self._ports = ports
        self._kicks = kicks
        self._wake = asyncio.Event()
        self._running = False
        self._ending = False
        self._most_spend = spend_limit(ports.quota.limits(model) for model in ports.catalogue.models)

    async def kicked(self, answer_within: timedelta = ANSWER_WITHIN) -> None:
        """Run the loop until it is quiet, another leads, or time is up; wake it where it runs already."""
        self._wake.set()
        if self._running:
            return
        self._running = True
        try:
            await self._lead(answer_within)
        finally:
            self._running = False

    def end(self) -> None:
        """Ask the loop to leave after its tick (the process is going down)."""
        self._ending = True
        self._wake.set()

    async def _lead(self, answer_within: timedelta) -> None:
        ports = self._ports
        documents = await PumpDocuments.take_lead(ports)
        if documents is None:
            return
        ports.signals.emit(signals.LEAD_TAKEN, holder=ports.boot)
        ends = ports.clock.monotonic() + answer_within.total_seconds()
        busy_at = ports.clock.monotonic()
        why = "quiet"
        try:
            while True:
                self._wake.clear()
                if await tick(ports, documents, self._most_spend):
                    busy_at = ports.clock.monotonic()
                if self._ending:
                    why = "the process is going down"
                    break
                if ports.clock.monotonic() - busy_at > QUIET_AFTER.total_seconds():
                    break
                if ports.clock.monotonic() >= ends:
                    why = "time is up"
                    break
                await self._next_tick(FULL_TICK if documents.crowded else TICK)
        except LeadLost:
            ports.signals.emit(signals.LEAD_LEFT, holder=ports.boot, why="another pump leads")
            return
        await documents.leave()
        ports.signals.emit(signals.LEAD_LEFT, holder=ports.boot, why=why)
        if why != "quiet":
            await self._kicks.kick()

    async def _next_tick(self, after: timedelta) -> None:
        """Some time from now, or at once when kicked."""
        tick = asyncio.ensure_future(self._ports.clock.sleep(after.total_seconds()))
        wake = asyncio.ensure_future(self._wake.wait())
        _, pending = await asyncio.wait({tick, wake}, return_when=asyncio.FIRST_COMPLETED)
        for each in pending:
            each.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
