"""Time and waiting."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime: ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        ...

    async def sleep(self, seconds: float) -> None: ...


async def wait_for(clock: Clock, seconds: float, event: asyncio.Event) -> bool:
    """Until the event, or at most this long. Returns whether the time was up first, or at the same moment."""
    timer = asyncio.ensure_future(clock.sleep(seconds))
    wake = asyncio.ensure_future(event.wait())
    done, pending = await asyncio.wait({timer, wake}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return timer in done
