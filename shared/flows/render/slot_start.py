"""The start of one call: everything is prepared ahead of the slot, and at the slot only the sending is left."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from shared.core.limits.observations import StartSignal
from shared.core.records.versioned import Request
from shared.flows import tracing_waits
from shared.flows.clock import ServerTime
from shared.flows.render.limit_reports import Evidence
from shared.ports import Ports
from shared.ports.store import StoreUnavailable

THE_WAY = timedelta(milliseconds=100)
"""From the first byte that leaves to the moment at which the server counts it."""
TIGHT = timedelta(milliseconds=200)
"""A call that leaves this long after its slot has used up half of its tolerance."""


class Start:
    """Made when preparation begins: with the claim. `released` is the request as its release left it; one that `tells`
    reports a start that was only just in time."""

    def __init__(
        self, ports: Ports, evidence: Evidence, released: Request, time: ServerTime, *, tells: bool = True
    ) -> None:
        self._ports = ports
        self._evidence = evidence
        self._released = released
        self._time = time
        self._tells = tells
        self._readying_since: float | None = ports.clock.monotonic()
        self._telling: asyncio.Task[None] | None = None
        self.began, self.began_at = ports.clock.monotonic(), time.now()
        """When the call left, by the monotonic clock and by the store's."""
        self.in_time = False

    async def at_slot(self) -> timedelta:
        """See shared.ports.lanes.AtSlot."""
        record = self._released.record
        self.is_ready()
        await self._time.wait_until(record.slot_start)
        self.began, self.began_at = self._ports.clock.monotonic(), self._time.now()
        left = record.slot_end - THE_WAY - self.began_at
        self.in_time = left >= timedelta(0)
        if self.in_time:
            tracing_waits.slot_ended(self._ports, self._released, self.began_at)
            if self._tells and self.began_at > record.slot_start + TIGHT:
                self._telling = asyncio.create_task(self._tell_tight())
        return left

    def is_ready(self) -> None:
        """Preparation took this long: the next call here begins it that much earlier."""
        if self._readying_since is not None:
            self._evidence.claims.took(self._ports.clock.monotonic() - self._readying_since)
            self._readying_since = None

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Reports about the start are done. These wait for their turn; no id and no image waits for them."""
        if self._telling is not None and error is None:
            await self._telling

    async def _tell_tight(self) -> None:
        """At once, and negligible beside the call that it is about."""
        record = self._released.record
        with contextlib.suppress(StoreUnavailable):
            await self._evidence.late(record.route.pool, StartSignal.TIGHT, record.slot_start, self._time)
