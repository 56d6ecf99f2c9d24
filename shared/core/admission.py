"""Who starts when: one decision over queue heads, calendars and room. Pure; the pump carries it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.core.calendar import SLOT_GOOD_FOR, UNPACED, Calendar, Full, Granted, Weight
from shared.core.ladder import Planned
from shared.core.quota import Limits
from shared.core.record import Head
from shared.core.spend import NOTHING_SPENT, Spend

RANK = {"interactive": 0, "normal": 1, "bulk": 2}

LEAD_TIME = timedelta(milliseconds=150)
"""From the decision to the earliest slot: two commits and a delivery on one machine."""
LONGEST_LEAD_TIME = timedelta(seconds=6)
HORIZON = timedelta(milliseconds=1500)
"""How far ahead slots are given, beyond the lead time."""
UNTIMED_GOOD_FOR = timedelta(seconds=10)
"""Where no rate is known, a late start overruns nothing."""

FIRST_CAP = 20
"""Concurrency while nothing is known about a model's limits; doubles every CAP_DOUBLES_EVERY without a 429."""
CAP_AFTER_429 = 1
"""A full burst after each closing would be rejected again: one call asks."""
CAP_DOUBLES_EVERY = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A head whose route is planned."""

    head: Head
    planned: Planned

    @property
    def weight(self) -> Weight:
        return Weight(tokens=self.planned.input_tokens)


@dataclass(frozen=True, slots=True)
class Grant:
    candidate: Candidate
    slot_at: datetime
    slot_until: datetime
    """A start after this goes back to the front."""


@dataclass(frozen=True, slots=True)
class Admission:
    grants: tuple[Grant, ...]
    calendars: Mapping[str, Calendar]
    """Every calendar as it is after the grants and refunds."""
    held: Mapping[str, Full]
    """Models with candidates left, and why they wait."""
    spend: Spend
    """The project's spend window after the grants."""


def admit(
    candidates: Sequence[Candidate],
    calendars: Mapping[str, Calendar],
    limits: Mapping[str, Limits],
    room: Mapping[str, int],
    *,
    now: datetime,
    spend: Spend = NOTHING_SPENT,
    most: int | None = None,
    pace: int = UNPACED,
) -> Admission:
    """Slots for the candidates, best first, model by model: one model's full day never holds another's queue.

    `room` is how many more attempts each model may have in flight; `pace` how many may begin in half a second;
    `most` is the project's ten-minute spend in micro-dollars, where it is known.
    """
    after = {model: calendar.forget(now) for model, calendar in calendars.items()}
    for candidate in candidates:
        unused = candidate.head.unused_slot
        if unused is not None and unused.model in after:
            key = f"{candidate.head.request_id}:{unused.release}"
            weight = Weight(tokens=unused.tokens)
            after[unused.model] = after[unused.model].refund(key, unused.slot_at, weight, now=now)
    left = dict(room)
    held: dict[str, Full] = {}
    grants: list[Grant] = []
    for candidate in sorted(candidates, key=_order):
        model = candidate.planned.route.model
        if model in held:
            continue
        if left[model] <= 0:
            held[model] = Full("concurrency", None)
            continue
        earliest = now + lead_time(candidate.head.late_count)
        slot = after[model].grant(
            limits[model], candidate.weight, earliest=earliest, horizon=earliest + HORIZON, pace=pace
        )
        match slot:
            case Full():
                held[model] = slot
            case Granted():
                held_spend = spend.hold(candidate.planned.estimate_micros, most, slot.slot_at)
                if held_spend is None:
                    held[model] = Full("spend", None)
                    continue
                spend = held_spend
                after[model] = slot.calendar
                left[model] -= 1
                grants.append(Grant(candidate, slot.slot_at, slot.slot_at + _good_for(limits[model])))
    return Admission(tuple(grants), after, held, spend)


def lead_time(late_count: int) -> timedelta:
    """A request that was late before gets its slot further ahead."""
    return min(LEAD_TIME * (1 << min(late_count, 10)), LONGEST_LEAD_TIME)


FIRST_PACE = 8
"""Starts in half a second before anything is known: what one process on a busy machine can begin in time."""
LEAST_PACE = 4


def most_pace(capacity: int) -> int:
    """Starts in half a second, whatever is learned: a fifth of what the fleet carries."""
    return max(FIRST_PACE, capacity // 5)


def next_pace(pace: int, *, late: int, granted: int, most: int) -> int:
    """Halved where starts came late, else a quarter more where it was used, up to `most`."""
    if late:
        return max(LEAST_PACE, pace // 2)
    return min(most, pace + max(1, pace // 4)) if granted else pace


def concurrency_cap(limits: Limits, capacity: int, unknown_for: timedelta, *, first: int = FIRST_CAP) -> int:
    """Attempts of one model that may be in flight. `unknown_for`: time since its last 429, or its first use."""
    if limits.concurrency is not None:
        return min(limits.concurrency, capacity)
    if any(limit is not None for limit in (limits.rpm, limits.ipm, limits.tpm)):
        return capacity
    doublings = min(int(unknown_for / CAP_DOUBLES_EVERY), 20)
    return min(first << doublings, capacity)


def _order(candidate: Candidate) -> tuple[int, float]:
    return (RANK[candidate.head.priority], candidate.head.fair_tag)


def _good_for(limits: Limits) -> timedelta:
    timed = any(limit is not None for limit in (limits.rpm, limits.ipm, limits.tpm))
    return SLOT_GOOD_FOR if timed else UNTIMED_GOOD_FOR
