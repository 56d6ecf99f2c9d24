"""How many calls to one endpoint a process has in flight: a slow receiver must not block others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

IN_FLIGHT = 16
"""Calls to one endpoint at a time."""
WAITING = 32
"""How many more may wait for one of these calls to end; the rest is deferred."""


NONE_FOR = 1.0
"""How long (in seconds) a tenant without an endpoint is assumed to have none: a burst of results reads them once."""
MOST_TENANTS = 1_000
"""Remembered at once."""


class NoRoom(Exception):
    """Enough deliveries to this endpoint are in flight here."""


class DeliveryRoom:
    def __init__(self, in_flight: int = IN_FLIGHT, waiting: int = WAITING) -> None:
        self._in_flight = in_flight
        self._most = in_flight + waiting
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._inside: dict[str, int] = {}
        self._without: dict[str, float] = {}
        """Tenants without an endpoint, and when they were last read, by the monotonic clock."""

    def has_none(self, tenant: str, now: float) -> bool:
        """It had none a moment ago."""
        return now - self._without.get(tenant, -NONE_FOR) < NONE_FOR

    def note_none(self, tenant: str, now: float) -> None:
        if len(self._without) >= MOST_TENANTS:
            self._without.clear()
        self._without[tenant] = now

    @asynccontextmanager
    async def of(self, endpoint_id: str) -> AsyncIterator[None]:
        """One call's place. Raises NoRoom."""
        inside = self._inside.get(endpoint_id, 0)
        if inside >= self._most:
            raise NoRoom(endpoint_id)
        gate = self._gates.setdefault(endpoint_id, asyncio.Semaphore(self._in_flight))
        self._inside[endpoint_id] = inside + 1
        try:
            async with gate:
                yield
        finally:
            self._inside[endpoint_id] -= 1
            if self._inside[endpoint_id] == 0:
                del self._inside[endpoint_id], self._gates[endpoint_id]
