"""Background calls of the scripted provider: they go on by themselves and are billed when they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.core.provider.call import Answer, Made, Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.interaction import (
    BackgroundRefused,
    Begun,
    Finished,
    Gone,
    InProgress,
    Looked,
    Started,
    Unread,
)
from shared.ports.lanes import AtSlot
from tests.fakes.lane import Call, ScriptedLane, made

ENDS_LATER = (FailureKind.REFUSED, FailureKind.NO_IMAGE, FailureKind.MALFORMED_ANSWER)
"""What an interaction comes to; every other failure is the POST's own answer."""
ROUND_TRIP = 0.1


@dataclass
class Record:
    order: Order
    started_at: datetime
    ends_at: datetime | None
    """None: never by itself."""
    answer: Answer | None
    cancelled_at: datetime | None = None
    deleted: bool = False

    def is_over(self, now: datetime) -> bool:
        return self.cancelled_at is not None or (self.ends_at is not None and now >= self.ends_at)


@dataclass
class ScriptedInteractions:
    """The Interactions port; the script and the latency are those of the lane."""

    lane: ScriptedLane
    records: dict[str, Record] = field(default_factory=dict)
    refuses: bool = False
    """Every background call, with a 400."""
    never_ends: Callable[[Order], bool] = lambda _order: False
    bills_cancelled: bool = False
    tells_whole_seconds: bool = False
    """When a call ended, as Google does."""
    looks: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    failing: dict[str, int] = field(default_factory=dict)
    """By verb, how many of the next calls fail with a 503."""
    on_end: Callable[[str, Order], Awaitable[object]] | None = None
    """The webhook: called with the id when an interaction has ended by itself."""
    telling: set[asyncio.Future[None]] = field(default_factory=set)

    async def prepare(self) -> None:
        pass

    async def start(self, order: Order, at_slot: AtSlot) -> Begun:
        if await at_slot() < timedelta(0):
            return Failure(FailureKind.LATE, "the call could not leave within its slot")
        now = self._now()
        self.lane.calls.append(Call(order, now))
        await self.lane.clock.sleep(ROUND_TRIP)
        if self.refuses:
            message = f"background is not supported for {order.model}"
            return BackgroundRefused(Failure(FailureKind.INVALID_REQUEST, message, http_status=400))
        step = self.lane.next_step(order)
        if isinstance(step, FailureKind) and step not in (*ENDS_LATER, FailureKind.TIMEOUT):
            return Failure(step, f"a scripted {step.value}")
        answer: Answer | None
        match step:
            case FailureKind.TIMEOUT:
                answer = None
            case FailureKind():
                answer = Failure(step, f"a scripted {step.value}", http_status=200)
            case Made() | Failure():
                answer = step
            case _:
                answer = step(order)
        endless = answer is None or self.never_ends(order)
        interaction_id = f"v1_{order.request_id}_{len(self.records) + 1}"
        ends_at = None if endless else now + self.lane.latency
        self.records[interaction_id] = Record(order, now, ends_at, answer)
        if ends_at is not None:
            self.telling.add(asyncio.ensure_future(self._tell(interaction_id, order, ends_at)))
        return Started(interaction_id)

    async def _tell(self, interaction_id: str, order: Order, ends_at: datetime) -> None:
        await self.lane.clock.sleep((ends_at - self._now()).total_seconds())
        if self.on_end is not None and self.records[interaction_id].cancelled_at is None:
            await self.on_end(interaction_id, order)

    async def look(self, interaction_id: str, order: Order) -> Looked:
        self.looks.append(interaction_id)
        await self.lane.clock.sleep(ROUND_TRIP)
        if self._fails("look"):
            return Unread(Failure(FailureKind.OVERLOAD, "busy", http_status=503))
        record = self.records.get(interaction_id)
        if record is None or record.deleted:
            return Gone()
        if not record.is_over(self._now()):
            return InProgress("in_progress")
        if record.cancelled_at is not None:
            usage = made(record.order).usage if self.bills_cancelled else None
            failure = Failure(FailureKind.NO_IMAGE, "the interaction ended as cancelled without an image", "cancelled")
            return Finished(Failure(failure.kind, failure.message, failure.code, http_status=200, usage=usage))
        assert record.answer is not None
        ended_at = record.ends_at
        if self.tells_whole_seconds and ended_at is not None:
            ended_at = ended_at.replace(microsecond=0)
        return Finished(record.answer, ended_at)

    async def cancel(self, interaction_id: str) -> Failure | None:
        await self.lane.clock.sleep(ROUND_TRIP)
        if self._fails("cancel"):
            return Failure(FailureKind.OVERLOAD, "busy", http_status=503)
        record = self.records.get(interaction_id)
        if record is not None and not record.is_over(self._now()):
            record.cancelled_at = self._now()
        return None

    async def delete(self, interaction_id: str) -> Failure | None:
        await self.lane.clock.sleep(ROUND_TRIP)
        if self._fails("delete"):
            return Failure(FailureKind.OVERLOAD, "busy", http_status=503)
        record = self.records.get(interaction_id)
        if record is not None:
            record.deleted = True
            self.deleted.append(interaction_id)
        return None

    async def close(self) -> None:
        pass

    @property
    def kept(self) -> list[str]:
        """What the provider still has."""
        return [name for name, record in self.records.items() if not record.deleted]

    @property
    def images(self) -> list[Made]:
        """What the provider made in the background, and bills."""
        now = self._now()
        records = [one for one in self.records.values() if one.cancelled_at is None and one.is_over(now)]
        return [one.answer for one in records if isinstance(one.answer, Made)]

    def _fails(self, verb: str) -> bool:
        left = self.failing.get(verb, 0)
        self.failing[verb] = max(0, left - 1)
        return left > 0

    def _now(self) -> datetime:
        return self.lane.clock.now()
