"""Waking the pump: when it is worth a message, and never more than one a second from one process."""

from __future__ import annotations

from datetime import timedelta

from shared.core.documents import Absent
from shared.core.topology import PUMP_KICKS
from shared.flows.server_time import ServerTime
from shared.ports import Ports

SPACING = timedelta(seconds=1)
VIEW_GOOD_FOR = timedelta(seconds=1)
PUMP = "pump/pump"
"""The one document that spans models: lead, and whether the queue was empty at the last look."""


class Kicks:
    """One per process."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._kicked_at = float("-inf")
        self._viewed_at = float("-inf")
        self._needed = True

    async def after_queueing(self, priority: str) -> None:
        """Called by intake: an interactive request, an empty queue or a lapsed lead is worth a kick."""
        if priority == "interactive" or await self._pump_would_miss_it():
            await self.kick()

    async def after_settling(self) -> None:
        """Called by render: room has become free, and only a lapsed lead would not notice."""
        if await self._pump_would_miss_it():
            await self.kick()

    async def kick(self) -> None:
        now = self._ports.clock.monotonic()
        spacing = SPACING.total_seconds() * (0.8 + 0.2 * self._ports.chance())
        if now - self._kicked_at < spacing:
            return
        self._kicked_at = now
        self._viewed_at = float("-inf")
        await self._ports.topics.publish(PUMP_KICKS, b"{}")

    async def _pump_would_miss_it(self) -> bool:
        now = self._ports.clock.monotonic()
        if now - self._viewed_at >= VIEW_GOOD_FOR.total_seconds():
            self._viewed_at = now
            pump = await self._ports.store.get(PUMP)
            match pump:
                case Absent():
                    self._needed = True
                case _:
                    lead_until = pump.data["lead_until"]
                    lapsed = lead_until is None or lead_until < ServerTime(self._ports.clock, pump.read_at).now()
                    self._needed = lapsed or pump.data["quiet"]
        return self._needed
