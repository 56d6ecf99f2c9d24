"""A provider that does as it is told, in virtual time, and remembers every call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.core.provider.call import Answer, Made, Order, Picture
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.usage import Usage
from shared.ports.clock import Clock
from shared.ports.lanes import AtSlot

PIXELS = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
TOKENS = {"512": 747, "1K": 1120, "2K": 1120, "4K": 2000}


@dataclass(frozen=True)
class Call:
    order: Order
    at: datetime


class ScriptedLane:
    """Answers from the script first, then makes every image."""

    def __init__(self, clock: Clock, latency: timedelta = timedelta(seconds=1)) -> None:
        self.clock = clock
        self.latency = latency
        self.failures_take: timedelta | None = None
        """How long a failure that is told takes; None = as long as a picture. Rejections come sooner."""
        self.calls: list[Call] = []
        self.ended: list[Answer] = []
        self.sick: Callable[[Order, datetime], FailureKind | Failure | None] = lambda _order, _now: None
        """How a call that begins now ends, where the script has nothing for it: a time-out takes its whole time."""
        self._script: list[Answer | FailureKind | Callable[[Order], Answer]] = []

    def then(self, *answers: Answer | FailureKind | Callable[[Order], Answer]) -> None:
        self._script.extend(answers)

    async def prepare(self) -> None:
        pass

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        if await at_slot() < timedelta(0):
            return Failure(FailureKind.LATE, "the call could not leave within its slot")
        self.calls.append(Call(order, self.clock.now()))
        step = self.next_step(order)
        latency = timeout if step is FailureKind.TIMEOUT else min(self.latency, timeout)
        if isinstance(step, Failure) and self.failures_take is not None:
            latency = self.failures_take
        await self.clock.sleep(latency.total_seconds())
        match step:
            case FailureKind():
                answer: Answer = Failure(step, f"a scripted {step.value}")
            case Made() | Failure():
                answer = step
            case _:
                answer = step(order)
        self.ended.append(answer)
        return answer

    def next_step(self, order: Order) -> Answer | FailureKind | Callable[[Order], Answer]:
        """How a call that begins now ends."""
        return self._script.pop(0) if self._script else self.sick(order, self.clock.now()) or made

    async def close(self) -> None:
        pass

    @property
    def images(self) -> list[Made]:
        """What the provider made, and bills."""
        return [answer for answer in self.ended if isinstance(answer, Made)]

    def most_starts_in(self, window: timedelta) -> int:
        """The largest number of calls in any window of that length."""
        starts = sorted(call.at for call in self.calls)
        return max((sum(1 for at in starts if first <= at < first + window) for first in starts), default=0)


def made(order: Order, *, size: str | None = None, model: str | None = None) -> Made:
    """The image that was ordered; or another size, or by another model."""
    given = size or order.image_size or "1K"
    side = PIXELS[given]
    return Made(
        picture=Picture(f"image of {order.request_id}".encode(), "image/jpeg", side, side),
        usage=Usage(text_in=10, image_out=TOKENS[given], thought=100),
        model=model or order.model,
        lane=order.lane,
        provider_request_id=f"v1_{order.request_id}",
    )
