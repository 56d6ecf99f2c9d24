"""How many requests the fleet can hold, accept and begin in time: learned from how earlier releases ended. Pure."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from shared.core.admission.slot_calendar import is_untimed
from shared.core.limits.quota import Limits
from shared.core.values.codec import Stored

USED_SHARE = 0.8
"""Share of instances x concurrency that is used: the rest is for deliveries that end and for an instance that dies."""
FIRST_CAP = 20
"""Attempts in flight while a model's limits are unknown and none has ended."""
CAP_DOUBLES_EVERY = timedelta(seconds=5)
"""How long without a 429."""
FIRST_PACE = 8.0
"""Starts per half second before anything is known: what one process on a busy machine can begin in time."""
LEAST_PACE = 0.5
PACE_GROWS, PACE_GROWS_NEAR = 0.25, 0.005
"""Growth per second, while the pace is used and nothing starts late; and near a pace that failed."""
TIGHT_SHARE = 0.25
"""Share of a patient fleet's starts that leave late in their slots: above it, the fleet is about to fall behind."""
PACE_SHRINKS = 0.01
"""Reduction per second, while that is so."""
PACE_GROWS_PATIENT = 0.05
"""Growth per second beyond a pace that failed, while the fleet is the bottleneck: overload shows seconds later, and by
then the pace would have doubled."""
DRAINS_FOR = timedelta(seconds=4)
"""Pause after a cut of a patient fleet: its processors still work on what was sent too fast."""
PACE_NEAR = 0.75, 1.25
"""Band around the pace that failed, as a fraction of it. Once the pace leaves the band without late starts, the failure
is forgotten."""
MAX_PACE_OVER_DEMAND = 1.5
"""As a multiple of the pace that fills the limits: near a pace that failed, no higher one is tried."""
PACE_USED = 0.8
STRICT_SLOTS_ABOVE = 1.2
"""As a multiple of the pace that fills the limits: a fleet that begins this much gets slots that must be used exactly
on time."""
LEAST_CUT, MOST_CUT = 0.1, 0.5
"""Bounds of a cut: the pace is reduced by the share of starts that were late."""
LATE_SHARE = 0.05
"""Share of late starts in the last seconds that is normal: where the fleet begins most, one in twenty is late by
chance."""
SIGNIFICANCE_SIGMAS = 2.0
"""Standard deviations above that share that count as significant."""
LEAST_IN_AIR = 20
"""Releases that no worker has taken up yet: push delivery starts with single digits and doubles."""
MIN_LEAD_TIME = timedelta(milliseconds=150)
"""Time from the decision to the earliest slot: two commits and a delivery on one machine."""
LONGEST_LEAD = timedelta(seconds=6)
HORIZON = timedelta(milliseconds=1250)
"""How far ahead slots are granted beyond the lead time: a tick, and a little for a late one."""
LEAD_GROWS, LEAD_SHRINKS, LEAD_SHRINKS_NEAR = 2.0, 0.95, 0.995
"""Change of the lead time: after late arrivals; per second of starts without late or tight ones; and near a lead time
that failed."""
LEAD_NEAR = timedelta(milliseconds=-50), timedelta(milliseconds=100)
"""Band around the lead time that failed, as a fraction of it. Once the lead time leaves the band without late releases,
the failure is forgotten."""


class Late(Struct, frozen=True):
    """Releases that did not become a call in time, or only just."""

    starts: int = 0
    """They arrived in time, but the call could not leave."""
    deliveries: int = 0
    """They arrived too late."""
    tight: int = 0
    """They became a call with little of the slot's tolerance left: a tighter pace would make such ones late."""

    @property
    def count(self) -> int:
        return self.starts + self.deliveries


class Recent(Struct, frozen=True):
    """Slots of the last seconds."""

    starts: int = 0
    """Including those given back."""
    busiest: int = 0
    """In one half-second of one model."""


class FleetPace(Stored, frozen=True):
    """Kept in the pump's document."""

    pace: float = FIRST_PACE
    """How many starts half a second may hold."""
    judged_from: datetime | None = None
    """Slots before this were granted at a pace, or with a lead time, that is known to have failed."""
    failed_pace: float | None = None
    """The pace at which starts were last late."""
    patient: bool = False
    """The fleet begins less than the limits allow: a late start exceeds no limit."""
    in_air: int = 0
    """Releases that should be under way, after the last tick."""
    most_in_air: float = LEAST_IN_AIR
    lead_seconds: float = MIN_LEAD_TIME.total_seconds()
    """Time from a decision to the earliest slot."""
    failed_lead_seconds: float | None = None
    """The lead time with which releases were last late."""
    seen_at: datetime | None = None

    @property
    def lead(self) -> timedelta:
        return timedelta(seconds=self.lead_seconds)

    def after(
        self, *, in_air: int, late: Late, recent: Recent, capacity: int, now: datetime, filling: float = math.inf
    ) -> FleetPace:
        """The pace updated with what became of earlier releases: `in_air` are not taken up, `late` did not become a
        call. `filling` is the even pace that uses up the largest limit; infinite if no limit is known."""
        claimed = max(self.in_air - in_air, 0)
        most = max(LEAST_IN_AIR, 2 * claimed * (1 + self.lead_seconds), 0.9 * self.most_in_air)
        fleet = replace(self, in_air=in_air, most_in_air=most, seen_at=now)
        seconds = 0.0 if self.seen_at is None else min(max((now - self.seen_at).total_seconds(), 0.0), 2.0)
        starts = max(recent.starts, late.count)
        if _too_many(late.count, starts):
            return fleet._cut(late.count / starts, _too_many(late.deliveries, starts), filling, now)
        if late.count > LATE_SHARE * starts:
            return fleet
        if self.patient and late.tight > TIGHT_SHARE * starts:  # before one is late
            return replace(fleet, pace=max(LEAST_PACE, self.pace * float((1 - PACE_SHRINKS) ** seconds)))
        pace = self._grown(recent, seconds, capacity, filling)
        fleet = replace(fleet, pace=pace, patient=self.patient and pace < STRICT_SLOTS_ABOVE * filling < math.inf)
        if late.tight > LATE_SHARE * starts:
            return fleet
        return replace(fleet, lead_seconds=self._shrunk(recent, seconds))

    def _cut(self, share: float, earlier: bool, filling: float, now: datetime) -> FleetPace:
        """Reduced to what began in time; if releases arrived late, they are also sent earlier."""
        pace = max(LEAST_PACE, self.pace * (1 - min(max(share, LEAST_CUT), MOST_CUT)))
        cut = replace(
            self,
            pace=pace,
            failed_pace=self.pace,
            patient=self.patient or pace < filling < math.inf,
            judged_from=now + self.lead + HORIZON + (DRAINS_FOR if self.patient else timedelta(0)),
        )
        if not earlier:
            return cut
        lead = min(self.lead_seconds * LEAD_GROWS, LONGEST_LEAD.total_seconds())
        return replace(cut, lead_seconds=lead, failed_lead_seconds=self.lead_seconds)

    def _shrunk(self, recent: Recent, seconds: float) -> float:
        """Only while something starts: between two bursts nothing is late, and nothing can be learned."""
        if not recent.starts:
            return self.lead_seconds
        shortest, longest = (0.0, 0.0)
        if self.failed_lead_seconds is not None:
            shortest, longest = (self.failed_lead_seconds + item.total_seconds() for item in LEAD_NEAR)
        near = shortest < self.lead_seconds <= longest
        shrinks = LEAD_SHRINKS_NEAR if near else LEAD_SHRINKS
        return max(self.lead_seconds * float(shrinks**seconds), MIN_LEAD_TIME.total_seconds())

    def _grown(self, recent: Recent, seconds: float, capacity: int, filling: float) -> float:
        """Only if the pace is used: an untested pace proves nothing."""
        if recent.busiest < PACE_USED * self.pace:
            return self.pace
        slowest, fastest = (value * (self.failed_pace or 0.0) for value in PACE_NEAR)
        near = slowest <= self.pace < fastest
        if near and self.pace >= MAX_PACE_OVER_DEMAND * filling:
            return self.pace
        beyond = self.patient and self.pace >= fastest
        growth = PACE_GROWS_NEAR if near else PACE_GROWS_PATIENT if beyond else PACE_GROWS
        return min(self.pace * float((1 + growth) ** seconds), max(FIRST_PACE, capacity / 5))

    def released(self, count: int) -> FleetPace:
        return replace(self, in_air=self.in_air + count)

    def room(self, running: int, capacity: int) -> int:
        """How many more releases the fleet can accept now; `running` are in flight, including those in the air."""
        return max(0, min(int(self.most_in_air) - self.in_air, most_running(capacity) - running))


def _too_many(late: int, starts: int) -> bool:
    """Significantly more than LATE_SHARE."""
    expected = LATE_SHARE * starts
    return late > expected + SIGNIFICANCE_SIGMAS * math.sqrt(expected)


def most_running(capacity: int) -> int:
    return max(1, int(capacity * USED_SHARE))


def concurrency_cap(limits: Limits, capacity: int, unknown_for: timedelta | None, ended: int = 0) -> int:
    """How many attempts of one model may be in flight. `unknown_for`: time since its first use or its last 429; None if
    something else (a rate) limits it. `ended`: attempts that have ended in that time. Each makes room for one more, so
    the cap doubles with each round of answers."""
    most = most_running(capacity)
    if limits.concurrency is not None:
        return min(limits.concurrency, most)
    if unknown_for is None or not is_untimed(limits):
        return most
    doublings = min(max(int(unknown_for / CAP_DOUBLES_EVERY), 0), 20)  # a clock may be set back
    return min(max(FIRST_CAP << doublings, FIRST_CAP + ended), most)
