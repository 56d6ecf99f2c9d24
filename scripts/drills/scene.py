"""One failure with the traffic it meets, as data: what breaks, for how long, and what must hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from scripts.drills.traffic import Traffic
from scripts.simulator.provider.faults import Fault

if TYPE_CHECKING:
    from scripts.drills.recording import DrillRecording


class Hold(Struct, frozen=True):
    """Something that must be true of what was played."""

    promise: str
    check: Callable[[DrillRecording], str | None]
    """None where it is kept, else what is wrong."""


class DrillScene(Struct, frozen=True):
    name: str
    about: str
    """One line, for tables."""
    traffic: Traffic
    holds: tuple[Hold, ...]
    """What must be true of the end, and of everything on the way."""
    faults: tuple[Fault, ...] = ()
    """Set when the failure begins; one that names no end lasts as long as the failure."""
    lasts: float = 6.0
    """Seconds of failure."""
    mends: bool = True
    """False: the failure stays to the end of the scene."""
    every: float = 0.0
    """Seconds on and as many off, over and over while the failure lasts; 0 = all the time."""
    calm_first: float = 2.0
    """Seconds of traffic before the failure begins."""
    patience: float = 25.0
    """Seconds after the last request in which all must have ended."""
    afterwards: tuple[Hold, ...] = ()
    """What must be true in addition where the scene is played to the end of its recovery."""
    recovery: float = 0.0
    """Further seconds of traffic and patience until the worker is back on its first route."""
    timeout: int | None = None
    """Seconds, in place of each model's own time-out in the catalogue."""
    limits: str = ""
    """The provider's, and the worker's RENDERLANE_QUOTA."""
    latency: str = "uniform:0.3,0.6"
    twice: bool = False
    """Each request is published twice."""
    gateway: bool = False
    """A provider gateway stands beside, proven and with the flag `use-gateway`; the failure is its own."""
    background: Literal["auto", "on", "off"] = "auto"
    """The worker's RENDERLANE_BACKGROUND."""
    announced: bool = False
    """What upstream apps are told is read too."""

    def script(self) -> tuple[Fault, ...]:
        """The faults with their ends, in seconds from the failure's beginning."""
        if not self.mends:
            return self.faults
        if not self.every:
            return tuple(_between(fault, fault.after, fault.until or self.lasts) for fault in self.faults)
        periods = range(round(self.lasts / (2 * self.every)))
        return tuple(
            _between(fault, 2 * self.every * period, 2 * self.every * period + self.every)
            for period in periods
            for fault in self.faults
        )

    def to_the_end(self) -> DrillScene:
        """With all of its recovery, under traffic."""
        lasting = replace(self.traffic, seconds=self.traffic.seconds + self.recovery)
        return replace(self, traffic=lasting, holds=(*self.holds, *self.afterwards))


def _between(fault: Fault, after: float, until: float) -> Fault:
    return msgspec.structs.replace(fault, after=after, until=until)
