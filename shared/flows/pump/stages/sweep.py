"""Stage 1: lost releases are taken back, overdue requests are ended, and requests that may have a route again are
woken."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from shared.flows.clock import ClockReading
from shared.flows.pump.stages.ports import TickPorts
from shared.flows.pump.state import PumpState

SWEEP_EVERY = timedelta(seconds=5)
"""Between two looks for passed deadlines and for releases that no worker took."""


class Swept(Struct, frozen=True):
    at: ClockReading
    """When the tick began."""
    swept_at: datetime
    """When the last sweep began, in this tick or before."""
    woken_epoch: int
    """Requests that fell asleep in an older epoch are all awake."""


async def sweep(act: TickPorts, state: PumpState) -> Swept:
    at = act.time.moment()
    is_due = at.now - state.swept_at >= SWEEP_EVERY
    if is_due:
        await act.overdue.sweep(state.blocked, state.context, at.now)
    woken_epoch = await act.dormant.wake_older_than(state.memory.epoch, state.woken_epoch, at.now)
    return Swept(at, at.now if is_due else state.swept_at, woken_epoch)
