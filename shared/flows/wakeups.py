"""Waking the pump: when a message is worthwhile, and never more than one a second from one process."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from shared.core.admission.fair_queueing import queue_name
from shared.core.messages.pubsub_messages import Kick
from shared.core.messages.topics import PUMP_KICKS
from shared.flows.pump_status import PumpView
from shared.ports import Ports

if TYPE_CHECKING:  # a function that settles nothing does not load how
    from shared.core.lifecycle.settlement import Effect

SPACING = timedelta(seconds=1)


class Kicks:
    """One per process."""

    def __init__(self, ports: Ports, view: PumpView) -> None:
        self._ports = ports
        self._view = view
        self._kicked_at = float("-inf")
        self._queues: set[str] = set()
        self._waiting = False

    async def after_queueing(self, model: str, priority: str) -> None:
        """Called by intake: an interactive request, an empty queue or a lapsed lead is worth a kick."""
        queue = queue_name(model, priority)
        if priority == "interactive" or not await self._view.knows_of(queue):
            await self.kick(queue)

    async def after_open_start(self, model: str, priority: str, *, runs_low: bool) -> None:
        """Called by intake: the pump opens slots for the next ones, and notices this start, if it would not do so
        soon."""
        if runs_low or await self._view.state() != "leads":
            await self.kick(queue_name(model, priority))

    async def is_worth_an_open_slot(self, model: str, priority: str) -> bool:
        """The queue is not known to have waiting requests."""
        return not await self._view.knows_of(queue_name(model, priority))

    async def after_render(self, effect: Effect, *, has_news: bool = False) -> None:
        """Called by render and collect: a pump that died, or left before this request came back, would not notice.
        `has_news`: this process has reported something that the pump should look at early."""
        if has_news:
            await self.kick()
        match await self._view.state():
            case "lapsed":
                await self.kick()
            case "left" if effect in ("queued", "awaiting"):
                await self.kick()
            case _:
                pass

    async def kick(self, *queues: str) -> None:
        """Have the pump look at these queues, or at all. A kick that comes too soon is sent when its second is over."""
        self._queues |= set(queues) or {""}
        if self._waiting:
            return  # the waiting call takes ours along
        self._waiting = True
        try:
            spacing = SPACING.total_seconds() * (0.8 + 0.2 * self._ports.chance())
            rest = self._kicked_at + spacing - self._ports.clock.monotonic()
            if rest > 0:
                await self._ports.clock.sleep(rest)
        finally:
            self._waiting = False
        self._kicked_at = self._ports.clock.monotonic()
        named, self._queues = self._queues, set()
        self._view.forget()
        await self._ports.topics.publish(PUMP_KICKS, Kick(frozenset(named - {""})).to_bytes())
