"""The slots granted in the current window of one model's quota.

A slot lies in the first part of a half-second bucket, and a start is valid until 0.4 s after the beginning of the
bucket, so it stays in its bucket. Any 121 consecutive buckets hold at most the limit, and so does any minute of any
alignment. Only the pump writes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Literal, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.limits.quota import Limits
from shared.core.times.pacific import next_pacific_midnight, pacific_day
from shared.core.values.codec import Stored

BUCKET = timedelta(milliseconds=500)
WINDOW_BUCKETS = 121
"""60.5 s: a minute, and the bucket it may begin in."""
WINDOW = WINDOW_BUCKETS * BUCKET
SLOT_GOOD_FOR = timedelta(milliseconds=400)
"""From the beginning of a bucket to its last valid start: later ones would fall into the next bucket."""
PATIENCE = 4
"""For how many more buckets a patient slot is valid. While one is in sight, windows are wider by as many: 62.5 s."""
LEEWAY = timedelta(milliseconds=200)
"""The least time that a slot leaves a worker; a bucket with less left is skipped."""
UNTIMED_GOOD_FOR = timedelta(seconds=10)
"""If no rate is known, a late start exceeds nothing."""
REFUND_WITHIN = timedelta(minutes=10)
"""The latest time after a slot at which it can be given back; its refund is remembered for longer, so that it is given
back only once."""
KEPT_LONGER = timedelta(seconds=5)
"""By how much the next pump's clock may be behind this one's: what it can still see is kept for it."""
CLOCKS_APART = 4
"""By how many buckets the clock of a process that takes an open slot may be behind the pump's."""
UNPACED = 1_000_000


class Weight(Struct, frozen=True, array_like=True):
    """What one start uses of each per-minute limit. Stored as a list."""

    requests: int = 1
    images: int = 1
    tokens: int = 0
    """Estimated input tokens."""

    def plus(self, more: Weight) -> Weight:
        return Weight(self.requests + more.requests, self.images + more.images, self.tokens + more.tokens)


NO_WEIGHT = Weight(0, 0, 0)


class Granted(Struct, frozen=True):
    calendar: Calendar
    slot_at: datetime
    slot_until: datetime
    """A start after this is not made: the request returns to the front of its queue."""


BlockReason: TypeAlias = Literal[
    "closed", "zero", "day", "minute", "pace", "concurrency", "spend", "paused", "no route"
]
Reach: TypeAlias = Literal["all", "lower", "own"]
"""Which priorities it blocks: all of the model's, this one and those below, or this one alone."""


class Blocked(Struct, frozen=True):
    """No slot within the horizon."""

    reason: BlockReason
    until: datetime | None
    """When to look again, if known."""

    @property
    def lasts(self) -> bool:
        """Until a known moment that may be hours away, unless a person or the provider changes it."""
        match self.reason:
            case "closed" | "day":
                return True
            case "zero" | "minute" | "pace" | "concurrency" | "spend" | "paused" | "no route":
                return False

    @property
    def reach(self) -> Reach:
        match self.reason:
            case "closed" | "zero" | "day" | "concurrency" | "spend":
                return "all"
            case "minute":  # smaller requests of lower priorities must not take what this one waits for
                return "lower"
            case "pace" | "paused" | "no route":
                return "own"


class Calendar(Stored, frozen=True):
    """Values only; every change gives a new calendar."""

    buckets: Mapping[int, Weight] = field(default_factory=dict)
    """Weight of the starts granted in each bucket, by its number since the epoch."""
    days: Mapping[date, int] = field(default_factory=dict)
    """Starts granted on each Pacific day: around midnight, a slot of the old day may follow one of the new day."""
    closed_until: datetime | None = None
    closed_why: str = ""
    refunded: Mapping[str, int] = field(default_factory=dict)
    """Releases whose slots were given back, by bucket: each is given back only once."""
    last_patient: int | None = None
    """The last bucket with a patient slot."""

    def grant(
        self,
        limits: Limits,
        weight: Weight,
        *,
        earliest: datetime,
        horizon: datetime,
        pace: float = UNPACED,
        patient: bool = False,
        kept: Weight = NO_WEIGHT,
    ) -> Granted | Blocked:
        """The first slot from `earliest` to `horizon` that keeps every limit, or why there is none.

        `kept` starts are reserved: they may start in any window at any time. `pace` is how many starts one bucket may
        hold on average: beyond what the fleet can begin, starts would be late. A `patient` slot may also be used
        PATIENCE buckets later: it counts in every window that may contain its start.
        """
        if self.closed_until is not None and self.closed_until > earliest:
            return Blocked("closed", self.closed_until)
        if 0 in (limits.rpm, limits.ipm, limits.tpm, limits.rpd):
            return Blocked("zero", None)
        if is_untimed(limits):
            return self._grant_untimed(limits, weight, earliest, kept)
        weight = _at_most(limits, weight)
        full = Blocked("minute", None)
        for number in range(_bucket_from(earliest), bucket_of(horizon) + 1):
            if self.buckets.get(number, NO_WEIGHT).requests >= _paced(number, pace):
                continue
            if not self._fits(number, limits, weight, self._width(number, patient), kept):
                continue
            slot_at = max(begin_of(number), earliest)
            if self._day_has_room(slot_at, limits, weight, kept):
                return self._granted(number, slot_at, limits, weight, patient)
            full = Blocked("day", next_pacific_midnight(slot_at))
        return full

    def has_room(self, limits: Limits, weight: Weight, now: datetime, kept: Weight) -> bool:
        """Whether a start of that weight keeps every limit at any moment from now on, in addition to what is `kept`."""
        is_zero = 0 in (limits.rpm, limits.ipm, limits.tpm, limits.rpd)
        if is_zero or not self._day_has_room(now, limits, weight, kept):
            return False
        number = bucket_of(now) - CLOCKS_APART
        return is_untimed(limits) or self._fits(number, limits, weight, WINDOW_BUCKETS + PATIENCE, kept)

    def started(self, slot_at: datetime, weight: Weight) -> Calendar:
        """With a reserved start, as a patient slot."""
        calendar, number = self._with(slot_at, weight), bucket_of(slot_at)
        return replace(calendar, last_patient=max(self.last_patient or number, number))

    def _grant_untimed(self, limits: Limits, weight: Weight, slot_at: datetime, kept: Weight) -> Granted | Blocked:
        """Counted even without a limit: one may become known within the minute."""
        if self._day_has_room(slot_at, limits, weight, kept):
            return Granted(self._with(slot_at, weight), slot_at, slot_at + UNTIMED_GOOD_FOR)
        return Blocked("day", next_pacific_midnight(slot_at))

    def _granted(self, number: int, slot_at: datetime, limits: Limits, weight: Weight, patient: bool) -> Granted:
        calendar, until, longer = self._with(slot_at, weight), begin_of(number) + SLOT_GOOD_FOR, patient_until(slot_at)
        if not patient or (limits.rpd is not None and pacific_day(longer) != pacific_day(slot_at)):
            return Granted(calendar, slot_at, until)
        last = number if self.last_patient is None else max(self.last_patient, number)
        return Granted(replace(calendar, last_patient=last), slot_at, longer)

    def _width(self, number: int, patient: bool) -> int:
        """Buckets of a window that holds bucket `number`."""
        wide = WINDOW_BUCKETS + PATIENCE
        was_patient = self.last_patient is not None and self.last_patient > number - wide
        return wide if patient or was_patient else WINDOW_BUCKETS

    def _day_has_room(self, slot_at: datetime, limits: Limits, weight: Weight, kept: Weight) -> bool:
        if limits.rpd is None:
            return True
        return self.days.get(pacific_day(slot_at), 0) + weight.requests + kept.requests <= limits.rpd

    def _with(self, slot_at: datetime, weight: Weight) -> Calendar:
        number, day = bucket_of(slot_at), pacific_day(slot_at)
        return replace(
            self,
            buckets={**self.buckets, number: self.buckets.get(number, NO_WEIGHT).plus(weight)},
            days={**self.days, day: self.days.get(day, 0) + weight.requests},
        )

    def _fits(self, number: int, limits: Limits, weight: Weight, width: int, kept: Weight) -> bool:
        """Whether every window of `width` buckets that contains bucket `number` keeps its limits with `weight`
        added."""
        weight = weight.plus(kept)
        last = min(max(self.buckets, default=number), number + width - 1)
        used = self._used(number, width)
        for end in range(number, max(last, number) + 1):
            if end > number:  # the window moves on by one bucket
                enters, leaves = self.buckets.get(end, NO_WEIGHT), self.buckets.get(end - width, NO_WEIGHT)
                used = Weight(
                    used.requests + enters.requests - leaves.requests,
                    used.images + enters.images - leaves.images,
                    used.tokens + enters.tokens - leaves.tokens,
                )
            if limits.rpm is not None and used.requests + weight.requests > limits.rpm:
                return False
            if limits.ipm is not None and used.images + weight.images > limits.ipm:
                return False
            if limits.tpm is not None and used.tokens + weight.tokens > limits.tpm:
                return False
        return True

    def _used(self, end: int, width: int = WINDOW_BUCKETS) -> Weight:
        requests = images = tokens = 0
        for number, weight in self.buckets.items():
            if end - width < number <= end:
                requests += weight.requests
                images += weight.images
                tokens += weight.tokens
        return Weight(requests, images, tokens)

    def starts(self, since: datetime, until: datetime) -> int:
        """Slots granted in the buckets from the one of `since` to before the one of `until`."""
        first, last = bucket_of(since), bucket_of(until)
        return sum(weight.requests for number, weight in self.buckets.items() if first <= number < last)

    def correct_tokens(self, drift: Mapping[int, int]) -> Calendar:
        """Corrected by the tokens that starts really used; by bucket, negative if the estimate was too high."""
        corrected = {
            number: replace(bucket, tokens=max(bucket.tokens + drift[number], 0))
            for number, bucket in self.buckets.items()
            if number in drift
        }
        return replace(self, buckets={**self.buckets, **corrected})

    def refund(self, release: str, slot_at: datetime, weight: Weight, *, now: datetime) -> Calendar:
        """Give back the slot of a release that did not start. A second refund of the same release changes nothing."""
        number, day = bucket_of(slot_at), pacific_day(slot_at)
        if release in self.refunded or slot_at < now - REFUND_WITHIN:
            return self
        buckets = dict(self.buckets)
        if number in buckets:
            left = buckets.pop(number)
            rest = Weight(
                max(left.requests - weight.requests, 0),
                max(left.images - weight.images, 0),
                max(left.tokens - weight.tokens, 0),
            )
            if rest != NO_WEIGHT:
                buckets[number] = rest
        days = dict(self.days)
        if day in days:
            days[day] = max(days[day] - weight.requests, 0)
        return replace(self, buckets=buckets, days=days, refunded={**self.refunded, release: number})

    def close(self, until: datetime, why: str) -> Calendar:
        """No slot before `until`; an earlier closing that lasts longer is kept."""
        if self.closed_until is not None and self.closed_until >= until:
            return self
        return replace(self, closed_until=until, closed_why=why)

    def reopened(self) -> Calendar:
        return replace(self, closed_until=None, closed_why="")

    def forget(self, now: datetime) -> Calendar:
        """Drop what no window from `now` on can see, not even that of a pump whose clock is KEPT_LONGER behind."""
        oldest = bucket_of(now - KEPT_LONGER) - WINDOW_BUCKETS - PATIENCE
        oldest_refund = bucket_of(now - REFUND_WITHIN) - WINDOW_BUCKETS
        today = pacific_day(now - KEPT_LONGER)
        reopened = self.closed_until is not None and self.closed_until <= now
        return replace(
            self,
            buckets={number: weight for number, weight in self.buckets.items() if number > oldest},
            days={day: count for day, count in self.days.items() if day >= today},
            refunded={release: number for release, number in self.refunded.items() if number > oldest_refund},
            closed_until=None if reopened else self.closed_until,
            closed_why="" if reopened else self.closed_why,
            last_patient=self.last_patient if self.last_patient and self.last_patient > oldest else None,
        )

    def used(self, now: datetime) -> Weight:
        """What the window that ends with the bucket of `now` holds."""
        return self._used(bucket_of(now))


def is_untimed(limits: Limits) -> bool:
    """No rate is known."""
    return limits.rpm is None and limits.ipm is None and limits.tpm is None


def bucket_of(at: datetime) -> int:
    """Half-seconds since the epoch."""
    return math.floor(at.timestamp() / BUCKET.total_seconds())


def begin_of(number: int) -> datetime:
    return datetime.fromtimestamp(number * BUCKET.total_seconds(), UTC)


def patient_until(slot_at: datetime) -> datetime:
    """The last valid start of a patient slot."""
    return begin_of(bucket_of(slot_at) + PATIENCE) + SLOT_GOOD_FOR


def _bucket_from(at: datetime) -> int:
    """The first bucket in which a start from `at` on has enough time left."""
    return bucket_of(at + BUCKET - SLOT_GOOD_FOR + LEEWAY)


def _paced(number: int, pace: float) -> int:
    """With a pace of 2.5, one bucket holds two, the next three."""
    return math.floor((number + 1) * pace) - math.floor(number * pace)


def _at_most(limits: Limits, weight: Weight) -> Weight:
    """A request with more tokens than a minute may hold takes a whole minute: otherwise it would never start, nor would
    its queue."""
    return replace(weight, tokens=min(weight.tokens, limits.tpm)) if limits.tpm else weight
