"""What others see of the pump: its document, looked at once a second at most."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, TypeAlias

from shared.core.records.pump import PumpRecord
from shared.core.values.documents import Absent, Document
from shared.flows.clock import ServerTime
from shared.ports import Ports

PUMP = "pump/pump"
"""The one document about all models: the lead, what waits, how far each queue is served."""
PumpState: TypeAlias = Literal["leads", "left", "lapsed"]
"""A pump leads; or it left because there was nothing to do; or its process died while it led."""
LONGEST_LEAD = timedelta(minutes=1)
"""No lead lasts this long: one that seems to was taken before the clock was set back."""
GOOD_FOR = 1.0
"""Seconds."""


class PumpView:
    """One per process."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._looked_at = float("-inf")
        self._pump: Document | Absent | None = None

    async def state(self) -> PumpState:
        pump = await self._look()
        until = PumpRecord.of(pump).lead_until
        if until is None:
            return "left"
        now = ServerTime(self._ports.clock, pump.read_at).now()
        return "leads" if now <= until <= now + LONGEST_LEAD else "lapsed"

    async def knows_of(self, queue: str) -> bool:
        """It leads, and will serve this queue without a kick: requests already wait in it."""
        pump = await self._look()
        return await self.state() == "leads" and queue in PumpRecord.of(pump).waiting

    async def served(self, queue: str) -> float:
        """The queue's virtual time: the largest fair tag that got a slot."""
        pump = await self._look()
        return PumpRecord.of(pump).served.get(queue, 0.0)

    async def document(self) -> Document | Absent:
        """At most GOOD_FOR old."""
        return await self._look()

    def forget(self) -> None:
        self._looked_at = float("-inf")

    async def _look(self) -> Document | Absent:
        now = self._ports.clock.monotonic()
        if self._pump is None or now - self._looked_at >= GOOD_FOR:
            self._looked_at = now
            self._pump = await self._ports.store.get(PUMP)
        return self._pump
