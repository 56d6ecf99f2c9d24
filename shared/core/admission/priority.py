"""The order of priorities at one model: least shares, the interactive reserve, and the pace."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from msgspec import field
from msgspec.structs import replace

from shared.core.admission.slot_calendar import WINDOW, Weight
from shared.core.limits.quota import Limits
from shared.core.values.codec import Stored

RANK = {"interactive": 0, "normal": 1, "bulk": 2}
LEAST_SHARE = 0.05
"""Guaranteed share of the slots, for normal and for bulk each, while they wait."""
MOST_OWED = 1.0
SEEN_FOR = timedelta(minutes=10)
"""Interactive requests seen in this time are expected again."""
ENOUGH_SEEN = 20
"""How many starts are enough to tell their rate: older ones are ignored, so that the reserve does not wait for a rush
that is over."""
LEAST_LOOKED_BACK = timedelta(seconds=30)
SPREAD = 1.0
"""Standard deviations of a Poisson minute that the reserve covers beyond its mean."""
MOST_RESERVED = 0.5
"""Of a limit."""
CATCH_UP = timedelta(seconds=1.5)
"""How much of a delayed pace (a late tick, a slot given back) may be caught up."""
_STEP = 5
"""Seconds in which interactive starts are counted together."""

Pace: TypeAlias = Literal["all", "lower", "bulk"]
"""Rate allowed over all priorities; for normal and bulk where bursts are disliked; for bulk always."""


class PriorityState(Stored, frozen=True):
    """Of one model; kept in its calendar's document."""

    owed: Mapping[str, float] = field(default_factory=dict)
    """Deficit: slots of its least share that a priority has not had."""
    next_at: Mapping[str, float] = field(default_factory=dict)
    """By pace: the next start, in seconds since the epoch."""
    interactive: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Interactive starts and their tokens, by five seconds since the epoch."""

    def order(self, waiting: Collection[str]) -> list[str]:
        """The waiting priorities in the order in which they are tried: those with a deficit first."""
        return sorted(waiting, key=lambda name: (not self.is_owed(name), RANK[name]))

    def is_owed(self, priority: str) -> bool:
        return self.owed.get(priority, 0.0) >= 1.0

    def granted(self, priority: str, waiting: Collection[str], weight: Weight, slot_at: datetime) -> PriorityState:
        """The state after a slot for `priority`; every other waiting priority that may be overtaken is credited its
        share."""
        owed = {
            name: min(self.owed.get(name, 0.0) + LEAST_SHARE / (1 - LEAST_SHARE), MOST_OWED)
            for name in waiting
            if name not in (priority, "interactive")
        }
        if priority != "interactive" and priority in waiting:
            owed[priority] = max(self.owed.get(priority, 0.0) - 1.0, 0.0)
        interactive = self.interactive
        if priority == "interactive":
            step = int(slot_at.timestamp()) // _STEP
            starts, tokens = interactive.get(step, (0, 0))
            interactive = {**interactive, step: (starts + weight.requests, tokens + weight.tokens)}
        return replace(self, owed=owed, interactive=interactive)

    def paced(self, pace: Pace, interval: timedelta, slot_at: datetime) -> PriorityState:
        """After a start that counts against `pace`."""
        slot = slot_at.timestamp()
        after = max(self.next_at.get(pace, 0.0), slot - CATCH_UP.total_seconds()) + interval.total_seconds()
        return replace(self, next_at={**self.next_at, pace: after})

    def reserve(self, limits: Limits, now: datetime) -> Weight:
        """What the window reserves for the interactive starts expected in a minute, including those already made."""
        expected, tokens = self._expected(now)
        if not expected:
            return Weight(0, 0, 0)
        room = math.ceil(expected + SPREAD * math.sqrt(expected))
        most = min((number for number in (limits.rpm, limits.ipm) if number is not None), default=room * 2)
        room = min(room, int(most * MOST_RESERVED))
        return Weight(room, room, math.ceil(room * tokens))

    def _expected(self, now: datetime) -> tuple[float, float]:
        """Interactive starts per minute, and tokens per start: as of the last ENOUGH_SEEN, or of SEEN_FOR."""
        oldest = int((now - SEEN_FOR).timestamp()) // _STEP
        requests, tokens, since = 0, 0, now - SEEN_FOR
        for step in sorted((number for number in self.interactive if number > oldest), reverse=True):
            pair = self.interactive[step]
            requests, tokens = requests + pair[0], tokens + pair[1]
            if requests >= ENOUGH_SEEN:
                since = datetime.fromtimestamp(step * _STEP, UTC)
                break
        minutes = max(now - since, LEAST_LOOKED_BACK) / timedelta(minutes=1)
        return requests / minutes, tokens / max(requests, 1)

    def interactive_in_window(self, now: datetime) -> Weight:
        requests, tokens = self._since(now - WINDOW)
        return Weight(requests, requests, tokens)

    def _since(self, moment: datetime) -> tuple[int, int]:
        first = int(moment.timestamp()) // _STEP
        pairs = [pair for step, pair in self.interactive.items() if step > first]
        return sum(requests for requests, _ in pairs), sum(tokens for _, tokens in pairs)

    def forget(self, now: datetime) -> PriorityState:
        oldest = int((now - SEEN_FOR).timestamp()) // _STEP
        if all(step >= oldest for step in self.interactive):
            return self
        return replace(self, interactive={step: n for step, n in self.interactive.items() if step >= oldest})


def limits_minus(limits: Limits, reserve: Weight) -> Limits:
    """The limits minus what is reserved."""
    if not reserve.requests:
        return limits
    return replace(
        limits,
        rpm=None if limits.rpm is None else max(limits.rpm - reserve.requests, 0),
        ipm=None if limits.ipm is None else max(limits.ipm - reserve.images, 0),
        tpm=None if limits.tpm is None else max(limits.tpm - reserve.tokens, limits.tpm // 2),
    )


def interval(limits: Limits, weight: Weight) -> timedelta:
    """How much of a window one start takes where starts are spread evenly over it; zero where no rate is known."""
    shares = [
        taken / limit
        for limit, taken in (
            (limits.rpm, weight.requests), (limits.ipm, weight.images), (limits.tpm, weight.tokens),
        )
        if limit
    ]  # fmt: skip
    return WINDOW * min(max(shares, default=0.0), 1.0)
