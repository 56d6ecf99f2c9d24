"""The one elected loop: it takes the lead, runs a tick about once a second, and leaves when there is nothing to do."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.core.observability import events
from shared.flows.clock import ClockSetBack
from shared.flows.pump.lead import LeadLost, leave, take_lead
from shared.flows.pump.tick import TickRunner
from shared.flows.requests.item_by_item import reason_of
from shared.flows.wakeups import Kicks
from shared.ports import Ports
from shared.ports.clock import wait_for
from shared.ports.messaging import TopicsUnavailable
from shared.ports.store import StoreUnavailable

if TYPE_CHECKING:
    from shared.flows.status.summary import Summarizing

TICK = timedelta(seconds=1)
FULL_TICK = timedelta(milliseconds=500)
"""While attempts in flight block the queue: room returns between two ticks."""
LEAST_BETWEEN = timedelta(milliseconds=150)
EXTRA_TICKS = 3.0
"""How many extra ticks kicks can save up, and how many are added per second: the pump's documents sustain about one
write a second."""
EXTRA_PER_SECOND = 0.35
ANSWER_WITHIN = timedelta(seconds=540)
"""A push may stay unanswered for 600 s."""
LONGEST_REST = 10.0
"""Seconds after a tick that failed; the first rest is two."""
QUIET_AFTER = timedelta(seconds=3)
"""After this long without work, the loop gives up its lead; a kick brings it back within milliseconds."""


class Pump:
    """One per process. `kicked` returns at once if the loop already runs here."""

    def __init__(self, ports: Ports, kicks: Kicks) -> None:
        self._ports = ports
        self._kicks = kicks
        self._wake = asyncio.Event()
        self._kicked: set[str] | None = set()
        """Queues that have something new; None = any may."""
        self._running = False
        self._ending = False
        self._extra = EXTRA_TICKS

    async def kicked(self, queues: Collection[str] = (), answer_within: timedelta = ANSWER_WITHIN) -> None:
        """Run the loop until it is idle, another pump leads, or time is up; wake it if it already runs."""
        if queues and self._kicked is not None:
            self._kicked |= set(queues)
        else:
            self._kicked = None
        self._wake.set()
        if self._running:
            return
        from shared.flows.status.summary import Summarizing  # a start does not wait for it

        summarizing = Summarizing(self._ports)
        self._running = True
        try:
            await self._lead(summarizing, answer_within)
        finally:
            self._running = False
        await summarizing.close()

    def end(self) -> None:
        """Ask the loop to leave after its tick (the process is shutting down)."""
        self._ending = True
        self._wake.set()

    async def _lead(self, summarizing: Summarizing, answer_within: timedelta) -> None:
        ports, clock = self._ports, self._ports.clock
        ends = clock.monotonic() + answer_within.total_seconds()
        failed = 0
        while True:
            lead = await take_lead(ports)
            if lead is None:
                return
            ports.signals.emit(events.LEAD_TAKEN, holder=ports.boot, release=ports.release.identity)
            granting = TickRunner(ports, lead)
            try:
                why = await self._loop(granting, summarizing, ends)
                break
            except LeadLost:
                ports.signals.emit(events.LEAD_LEFT, holder=ports.boot, why="another pump leads")
                return
            except ClockSetBack:
                continue  # with everything read again
            except (StoreUnavailable, TopicsUnavailable):
                raise
            except Exception as error:
                failed = 1 if granting.state.ticks else failed + 1
                if failed == 1:
                    ports.signals.emit(events.TICK_FAILED, reason=reason_of(error))
                if self._ending or clock.monotonic() + LONGEST_REST >= ends:
                    raise
                await clock.sleep(min(2.0**failed, LONGEST_REST))
        await leave(ports, granting.state.documents)
        ports.signals.emit(events.LEAD_LEFT, holder=ports.boot, why=why)
        if why != "quiet" or self._wake.is_set():
            await self._kicks.kick()

    async def _loop(self, granting: TickRunner, summarizing: Summarizing, ends: float) -> str:
        """Tick until there is a reason to leave, including `ends` by the monotonic clock, and return it."""
        clock = self._ports.clock
        busy_at = clock.monotonic()
        while True:
            began = clock.monotonic()
            self._wake.clear()
            kicked, self._kicked = self._kicked, set()
            if await granting.tick(kicked):
                busy_at = clock.monotonic()
            summarizing.tend()
            if self._ending:
                return "the process is going down"
            if clock.monotonic() - busy_at > QUIET_AFTER.total_seconds():
                return "quiet"
            if clock.monotonic() >= ends:
                return "time is up"
            usual = FULL_TICK if granting.state.crowded else TICK
            await self._next_tick(began, granting.next_at(began + usual.total_seconds()))

    async def _next_tick(self, began: float, at: float) -> None:
        """Returns at that time; after a kick, at once, as long as extra ticks are saved up."""
        clock = self._ports.clock
        await clock.sleep(LEAST_BETWEEN.total_seconds())
        left = at - clock.monotonic()
        if left <= 0:
            return
        if self._extra < 1.0:
            await clock.sleep(left)
        elif not await wait_for(clock, left, self._wake):
            self._extra -= 1.0
        self._extra = min(EXTRA_TICKS, self._extra + EXTRA_PER_SECOND * (clock.monotonic() - began))
