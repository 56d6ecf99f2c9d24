"""Once a minute while it works, each process records that it is present and which release it runs."""

from __future__ import annotations

import contextlib
from datetime import datetime

from shared.core.observability.workers import COLLECTION, KEPT, TOLD_EVERY
from shared.core.values.documents import Increment
from shared.ports import Ports
from shared.ports.store import StoreUnavailable


class Presence:
    """One per process."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._told_at = float("-inf")
        self._started_at: datetime | None = None
        self._functions: dict[str, datetime] = {}

    async def tell(self, function: str) -> None:
        """After a message or a round of that function: one write a minute. If the store is unavailable, nothing
        fails."""
        ports, now = self._ports, self._ports.clock.now()
        self._started_at = self._started_at or now
        self._functions[function] = now
        if ports.clock.monotonic() - self._told_at < TOLD_EVERY.total_seconds():
            return
        self._told_at = ports.clock.monotonic()
        also = {
            "boot": ports.boot, "seen_at": now, "started_at": self._started_at, "version": ports.release.name,
            "functions": dict(self._functions), "expire_at": now + KEPT,
        }  # fmt: skip
        with contextlib.suppress(StoreUnavailable):  # the next minute says it again
            await ports.store.commit(Increment(f"{COLLECTION}/{ports.boot}", {"reports": 1}, also=also))
