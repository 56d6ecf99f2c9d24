"""What goes wrong between a worker and its ports: the process dies at a step, a port is away, slow, or loses an answer.

A step is a call of a port that changes something outside the process. A death at a reading call is a death before the
step that follows, so that reads are no steps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.ports.images import ImagesUnavailable
from shared.ports.messaging import TopicsUnavailable
from shared.ports.store import StoreUnavailable
from tests.fakes.virtual_clock import VirtualClock
from tests.world import Killed

READS = frozenset({
    "store.get", "store.get_all", "store.query", "store.count", "images.find", "images.read", "images.link",
    "spool.find", "spool.read", "lane.prepare", "interactions.prepare", "interactions.look", "batches.look",
    "batches.find", "batches.results", "webhooks.check",
})  # fmt: skip
UNAVAILABLE: dict[str, type[Exception]] = {
    "store": StoreUnavailable,
    "topics": TopicsUnavailable,
    "images": ImagesUnavailable,
    "spool": ImagesUnavailable,
}
"""Ports that say so when they are away. A provider that is away answers with a failure."""


@dataclass
class Life:
    """One process, from its boot to its death."""

    dead: bool = False


@dataclass
class Faults:
    """As a test sets them; a new process begins without a death in sight."""

    clock: VirtualClock
    kill_at: int | None = None
    """The step at which the process dies."""
    after: bool = False
    """It dies when the step has taken effect, before its answer is there."""
    steps: list[str] = field(default_factory=list)
    """The steps taken, over all lives: the call, and what it wrote or published."""
    killed: str | None = None
    """The step at which a process died."""
    interrupt_at: int | None = None
    """The step before which something else happens, on another machine."""
    interrupt: Callable[[], Awaitable[None]] | None = None
    away_until: dict[str, float] = field(default_factory=dict)
    """By port, a moment of the monotonic clock."""
    slow: dict[str, float] = field(default_factory=dict)
    """By port, seconds that each of its calls takes longer."""
    lost_answers: dict[str, int] = field(default_factory=dict)
    """By port, how many of its next steps take effect and fail nevertheless."""
    life: Life = field(default_factory=Life)

    def __call__(self, port: Any, name: str) -> Any:
        return _Between(port, name, self, self.life)

    def begin_life(self) -> None:
        """What the process before still does reaches nothing any more."""
        self.life.dead = True
        self.life = Life()

    def away(self, port: str, lasts: timedelta) -> None:
        self.away_until[port] = self.clock.monotonic() + lasts.total_seconds()

    def end(self) -> None:
        """Everything works from here on."""
        self.kill_at = None
        self.away_until.clear()
        self.slow.clear()
        self.lost_answers.clear()


class _Between:
    def __init__(self, port: Any, name: str, faults: Faults, life: Life) -> None:
        self._port, self._name, self._faults, self._life = port, name, faults, life

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        real = getattr(self._port, verb)
        if verb == "close":
            return real  # type: ignore[no-any-return]

        async def called(*args: Any, **kwargs: Any) -> Any:
            faults, life, port = self._faults, self._life, self._name
            if life.dead:
                raise Killed
            name = f"{port}.{verb}"
            is_step = name not in READS
            dies = is_step and faults.killed is None and len(faults.steps) == faults.kill_at
            interrupts = is_step and len(faults.steps) == faults.interrupt_at
            if is_step:
                faults.steps.append(_step(name, args))
            if interrupts and faults.interrupt is not None:
                await faults.interrupt()
            if dies and not faults.after:
                self._die(name)
            if seconds := faults.slow.get(port, 0.0):
                await faults.clock.sleep(seconds)
            if faults.clock.monotonic() < faults.away_until.get(port, float("-inf")):
                await faults.clock.sleep(0.1)
                raise UNAVAILABLE[port](f"{port} is away")
            answer = await real(*args, **kwargs)
            if life.dead:
                raise Killed  # it died while the call was on its way
            if dies:
                self._die(name)
            if is_step and faults.lost_answers.get(port, 0) > 0:
                faults.lost_answers[port] -= 1
                raise UNAVAILABLE[port](f"the answer of {name} was lost")
            return answer

        return called

    def _die(self, name: str) -> None:
        self._faults.killed = name
        self._life.dead = True
        raise Killed


def _step(name: str, args: tuple[Any, ...]) -> str:
    match name:
        case "store.commit":
            return " ".join([name, *(write.path for write in args)])
        case "topics.publish":
            return f"{name} {args[0]}"
        case _:
            return name


class SkewedClock:
    """The wall clock of one machine, wrong by `skew`; what it measures is right."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.skew = timedelta(0)

    def now(self) -> datetime:
        return self._clock.now() + self.skew

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
