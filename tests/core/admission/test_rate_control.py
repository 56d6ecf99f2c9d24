"""The table of evidence, row by row: what a kind of answer does to how fast a model starts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.admission import rate_control as rules
from shared.core.admission.rate_control import Pressure, RateUpdate, updated
from shared.core.admission.slot_calendar import Calendar, Weight, bucket_of
from shared.core.limits.observations import NOTHING_SEEN, ModelObservations, StartSignal
from shared.core.limits.quota import Limits
from tests.builders import NOW

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
RPM = Limits(rpm=600)


def ago(seconds: float) -> int:
    return int((NOW - timedelta(seconds=seconds)).timestamp())


def saw(sign: StartSignal, by_age: Mapping[int, int]) -> ModelObservations:
    """So many of a sign, by how many seconds ago they started."""
    return ModelObservations(counts={sign: {ago(age): count for age, count in by_age.items()}})


def started(by_age: Mapping[float, int]) -> Calendar:
    """So many starts, by how many seconds ago."""
    return Calendar({bucket_of(NOW - timedelta(seconds=age)): Weight(n, n, 0) for age, n in by_age.items()})


def steady(a_second: int, seconds: int = 60) -> Calendar:
    return started(dict.fromkeys(range(1, seconds + 1), a_second))


class Course:
    """A controller over many ticks of a second: each second's starts, how many of them came back with a sign."""

    def __init__(self, pressure: Pressure = Pressure(), limits: Limits = Limits()) -> None:  # noqa: B008
        self.pressure, self.limits, self.now = pressure, limits, NOW
        self.calendar, self.observations = Calendar(), NOTHING_SEEN
        self.closed_until = NOW
        self.caps: list[float | None] = []

    def second(self, wanted: int, share: float, sign: StartSignal) -> RateUpdate:
        """Up to `wanted` starts, as far as the cap allows; `share` of them come back at once."""
        cap = self.pressure.cap
        allowed = wanted if cap is None else min(wanted, round(cap / 60 + 0.5))
        starts = 0 if self.now < self.closed_until else allowed
        bucket = bucket_of(self.now)
        self.calendar = Calendar({**self.calendar.buckets, bucket: Weight(starts, starts, 0)})
        for _ in range(round(starts * share)):
            self.observations = self.observations.with_sign(sign, self.now, self.now)
        self.now += SECOND
        felt = updated(self.pressure, self.observations, self.calendar.forget(self.now), self.limits, self.now)
        self.calendar, self.pressure = self.calendar.forget(self.now), felt.pressure
        self.closed_until = max(self.closed_until, felt.close_until or self.now)
        self.caps.append(self.pressure.cap)
        return felt

    def run(self, seconds: int, wanted: int, share: float, sign: StartSignal) -> None:
        for _ in range(seconds):
            self.second(wanted, share, sign)


def test_where_nothing_is_reported_nothing_changes() -> None:
    felt = updated(Pressure(), NOTHING_SEEN, Calendar(), RPM, NOW)
    assert felt == RateUpdate(Pressure(), None)
    assert felt.pressure.cap is None
    assert felt.pressure.limits(RPM) == RPM


# -- 429 per minute, the value that we know ---------------------------------------------------------------------------


@pytest.mark.parametrize(("rejected", "left"), [(1, 0.99), (30, 0.95), (599, 0.90)])
def test_the_same_value_again_takes_as_much_of_the_limit_as_was_rejected_one_to_ten_percent(
    rejected: int, left: float
) -> None:
    pressure = updated(Pressure(), saw(StartSignal.MINUTE, {2: rejected}), steady(10), RPM, NOW).pressure
    assert pressure.share == pytest.approx(left, abs=0.002)


def test_a_share_is_of_every_limit_of_a_minute_and_leaves_at_least_one() -> None:
    limits = Limits(rpm=100, ipm=200, tpm=10_000, rpd=50, concurrency=7, spend10m_micros=9)
    assert Pressure(share=0.97).limits(limits) == replace(limits, rpm=97, ipm=194, tpm=9_700)
    assert Pressure(share=0.97).limits(Limits(rpm=1, ipm=0)) == Limits(rpm=1, ipm=0)


def test_the_limit_is_cut_at_most_once_in_twenty_seconds_however_many_are_rejected() -> None:
    course = Course(limits=RPM)
    course.calendar = steady(10)
    course.run(61, 10, 0.5, StartSignal.MINUTE)
    assert course.pressure.share_cuts in (3, 4)
    assert course.pressure.share >= 0.9**course.pressure.share_cuts - 1e-9


def test_the_same_report_read_again_cuts_nothing_more() -> None:
    observed, calendar = saw(StartSignal.MINUTE, {2: 5}), steady(10)
    pressure = updated(Pressure(), observed, calendar, RPM, NOW).pressure
    for later in (1, 25, 60):
        again = updated(pressure, observed, calendar, RPM, NOW + timedelta(seconds=later)).pressure
        assert again.share == pressure.share
        assert again.bursts_disliked_at is None


def test_what_was_rejected_by_chance_comes_back_after_two_minutes() -> None:
    course = Course(Pressure(share=0.99, share_cut_at=NOW, share_cuts=1, rejected_at=NOW), RPM)
    course.run(int(rules.SHARE_GROWS_AFTER.total_seconds()) - 2, 1, 0.0, StartSignal.MINUTE)
    assert course.pressure.share == 0.99
    course.run(4, 1, 0.0, StartSignal.MINUTE)
    assert course.pressure.share == 1.0


def test_what_was_cut_by_much_comes_back_a_percent_a_minute() -> None:
    course = Course(Pressure(share=0.95, share_cut_at=NOW, share_cuts=1, rejected_at=NOW), RPM)
    course.run(int(rules.SHARE_GROWS_AFTER.total_seconds()) + 90, 1, 0.0, StartSignal.MINUTE)
    assert course.pressure.share == pytest.approx(0.97)
    course.run(4 * 60, 1, 0.0, StartSignal.MINUTE)
    assert course.pressure.share == 1.0


def test_a_limit_that_is_smaller_than_it_says_is_tried_ever_less_often() -> None:
    """Of a provider that lets 98 of 100 in and names 100: seconds between one rejection and the next."""
    pressure, calendar, rejected = Pressure(), steady(10), []
    for minute in range(24 * 60):
        now = NOW + minute * MINUTE
        over = pressure.share > 0.98 + 1e-9
        if over:
            rejected.append(minute)
        observed = ModelObservations(
            {StartSignal.MINUTE: {int(moment.timestamp()): 6 for moment in [now - SECOND] if over}}
        )
        filled = replace(calendar, buckets={bucket_of(now - SECOND): Weight(600, 0, 0)})
        pressure = updated(pressure, observed, filled, RPM, now).pressure
    apart = [later - earlier for earlier, later in itertools.pairwise(rejected)]
    assert apart == sorted(apart)
    assert apart[-1] >= 60
    assert pressure.share >= 0.97 - 1e-9


def test_cuts_far_apart_are_each_the_first() -> None:
    cut_at = NOW - rules.SHARE_CUTS_KNOWN_FOR
    before = Pressure(share=1.0, share_cut_at=cut_at, share_cuts=5, rejected_at=cut_at)
    assert updated(before, saw(StartSignal.MINUTE, {2: 1}), steady(10), RPM, NOW).pressure.share_cuts == 1


# -- 429 per minute with room left ------------------------------------------------------------------------------------


def test_rejected_under_85_percent_full_it_was_the_burst_and_the_limit_stays() -> None:
    pressure = updated(Pressure(), saw(StartSignal.MINUTE, {2: 3}), started({3: 500}), RPM, NOW).pressure
    assert pressure.bursts_disliked(NOW)
    assert pressure.share == 1.0


def test_rejected_over_85_percent_full_it_was_the_limit() -> None:
    pressure = updated(Pressure(), saw(StartSignal.MINUTE, {2: 3}), started({3: 520}), RPM, NOW).pressure
    assert not pressure.bursts_disliked(NOW)
    assert pressure.share < 1.0


def test_bursts_are_tried_again_after_a_while() -> None:
    pressure = Pressure(bursts_disliked_at=NOW)
    assert pressure.bursts_disliked(NOW + rules.BURSTS_DISLIKED_FOR - SECOND)
    assert not pressure.bursts_disliked(NOW + rules.BURSTS_DISLIKED_FOR)


# -- 429 without details ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rejected", "starts", "acts"),
    [(3, 10, False), (3, 3, False), (4, 100, False), (7, 100, False), (4, 57, True), (8, 100, True), (4, 4, True)],
)
def test_what_is_unexplained_acts_from_four_and_over_seven_percent_of_the_last_twenty_seconds(
    rejected: int, starts: int, acts: bool
) -> None:
    pressure = updated(
        Pressure(), saw(StartSignal.UNEXPLAINED, {10: rejected}), started({10: starts}), RPM, NOW
    ).pressure
    assert (pressure.cap is not None) == acts


def test_what_is_older_than_twenty_seconds_is_judged_no_more() -> None:
    assert updated(Pressure(), saw(StartSignal.UNEXPLAINED, {21: 50}), steady(5), RPM, NOW).pressure.cap is None


def test_the_first_cut_is_to_what_was_accepted() -> None:
    observed = saw(StartSignal.UNEXPLAINED, dict.fromkeys(range(1, 21), 2))
    pressure = updated(Pressure(), observed, steady(10), RPM, NOW).pressure
    assert 0.93 * 480 <= (pressure.cap or 0) <= 480  # eight of ten a second, over a minute


def test_rejections_in_a_models_first_seconds_leave_the_rate_of_those_seconds_not_a_few_starts_a_minute() -> None:
    young = Pressure(first_used_at=NOW - 6 * SECOND)
    calendar, observed = steady(2, seconds=6), saw(StartSignal.UNEXPLAINED, {1: 2, 2: 2})
    cap = updated(young, observed, calendar, Limits(), NOW).pressure.cap or 0
    assert 60 <= cap <= 80, "eight accepted in six seconds"
    old = Pressure(first_used_at=NOW - MINUTE)
    assert updated(old, observed, calendar, Limits(), NOW).pressure.cap == 8


def test_further_cuts_come_every_five_seconds_at_most_and_grow_smaller_than_what_was_accepted() -> None:
    course = Course()
    course.run(60, 10, 0.2, StartSignal.UNEXPLAINED)
    changes = [second for second in range(1, 60) if course.caps[second] != course.caps[second - 1]]
    cuts = [change for change in changes if (course.caps[change] or 0) < (course.caps[change - 1] or 10**9)]
    assert cuts
    assert course.caps[-1] is not None
    assert course.caps[-1] < 300


def test_above_thirty_percent_nothing_starts_for_one_two_four_and_then_eight_seconds() -> None:
    pressure, pauses = Pressure(), []
    now = NOW
    for _ in range(6):
        now += timedelta(seconds=10)
        observed = ModelObservations(counts={StartSignal.UNEXPLAINED: {int((now - 2 * SECOND).timestamp()): 40}})
        calendar = Calendar({bucket_of(now - 2 * SECOND): Weight(100, 100, 0)})
        felt = updated(pressure, observed, calendar, RPM, now)
        pressure = felt.pressure
        assert felt.close_until is not None
        pauses.append((felt.close_until - now).total_seconds())
    assert pauses == [1, 2, 4, 8, 8, 8]


def test_below_thirty_percent_the_model_stays_open() -> None:
    felt = updated(Pressure(), saw(StartSignal.UNEXPLAINED, {5: 29}), started({5: 100}), RPM, NOW)
    assert felt.pressure.cap is not None
    assert felt.close_until is None


def test_the_same_unexplained_report_cuts_once() -> None:
    observed, calendar = saw(StartSignal.UNEXPLAINED, {2: 20}), steady(10)
    pressure = updated(Pressure(), observed, calendar, RPM, NOW).pressure
    again = updated(pressure, observed, calendar, RPM, NOW + SECOND).pressure
    assert again.cap == pressure.cap
    assert again.back_offs == pressure.back_offs


def test_the_rate_comes_back_quickly_to_near_the_last_good_one_and_then_beyond_it() -> None:
    course = Course(Pressure(rate=100.0, good=600.0, cut_at=NOW, grown_at=NOW))
    course.run(25, 60, 0.0, StartSignal.UNEXPLAINED)
    assert (course.pressure.cap or 0) >= rules.NEAR * 600 - 1
    before = course.pressure.cap or 0
    course.run(10, 60, 0.0, StartSignal.UNEXPLAINED)
    assert before < (course.pressure.cap or 0) < 1.1 * before  # slowly now
    course.run(120, 60, 0.0, StartSignal.UNEXPLAINED)
    assert (course.pressure.cap or 0) > 1.2 * 600


def test_a_rate_that_nobody_uses_does_not_grow() -> None:
    course = Course(Pressure(rate=100.0, good=600.0, cut_at=NOW, grown_at=NOW))
    course.run(60, 0, 0.0, StartSignal.UNEXPLAINED)
    assert course.pressure.cap == 100.0


def test_a_cap_that_has_not_been_cut_for_an_hour_is_lifted() -> None:
    old = NOW - rules.UNCAPPED_AFTER
    pressure = Pressure(rate=100.0, good=100.0, cut_at=old, grown_at=old)
    assert updated(pressure, NOTHING_SEEN, Calendar(), RPM, NOW).pressure.cap is None


def test_a_minutes_429_where_no_limit_is_known_counts_as_unexplained() -> None:
    observed, calendar = saw(StartSignal.MINUTE, {2: 20}), steady(10)
    assert updated(Pressure(), observed, calendar, Limits(), NOW).pressure.cap is not None
    assert updated(Pressure(), observed, calendar, RPM, NOW).pressure.cap is None


# -- overload ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("overloads", "starts", "acts"), [(20, 100, False), (21, 100, True), (2, 2, False)])
def test_overload_acts_over_a_fifth_of_the_last_eight_seconds(overloads: int, starts: int, acts: bool) -> None:
    observed, calendar = saw(StartSignal.OVERLOAD, {6: overloads}), started({6: starts})
    pressure = updated(Pressure(), observed, calendar, RPM, NOW).pressure
    assert (pressure.cap is not None) == acts
    if acts:
        assert pressure.cap == pytest.approx(rules.SICK_CUT * starts * 60 / 8)


def test_overload_cuts_at_most_once_in_two_and_a_half_seconds_down_to_a_floor_that_still_asks() -> None:
    course = Course()
    course.run(10, 100, 0.0, StartSignal.OVERLOAD)
    course.run(60, 100, 1.0, StartSignal.OVERLOAD)
    caps = course.caps[10:]
    cuts = [n for n in range(1, len(caps)) if (caps[n] or 0) < (caps[n - 1] or 10**9) and caps[n] is not None]
    assert len(cuts) >= 2
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(cuts))
    floor = rules.SICK_FLOOR * course.pressure.well_rate
    assert caps[-1] is not None
    assert floor <= caps[-1] <= 0.2 * course.pressure.well_rate
    assert min(cap for cap in caps if cap is not None) >= max(floor, 1.0)


def test_after_an_overload_the_rate_is_back_by_steps_and_free_only_far_beyond_where_it_was() -> None:
    course = Course()
    course.run(10, 100, 0.0, StartSignal.OVERLOAD)
    course.run(60, 100, 1.0, StartSignal.OVERLOAD)
    well, began = course.pressure.well_rate, len(course.caps)
    course.run(90, 100, 0.0, StartSignal.OVERLOAD)
    caps = course.caps[began - 1 :]
    capped = [cap for cap in caps if cap is not None]
    assert all(later <= earlier * rules.SICK_GROWS + 1e-6 for earlier, later in itertools.pairwise(capped))
    assert caps[-1] is None
    assert capped[-1] * rules.SICK_GROWS >= rules.UNCAPPED_AT * well
    assert next(second for second, cap in enumerate(caps) if cap is None or cap >= 0.9 * well) <= 20


def test_an_overloaded_model_that_nobody_asks_does_not_get_well_by_itself() -> None:
    sick = Pressure(sick_rate=10.0, well_rate=600.0, sick_high=20.0, sick_at=NOW, sick_cut_at=NOW)
    course = Course(sick)
    course.run(60, 0, 0.0, StartSignal.OVERLOAD)
    assert course.pressure.cap == 10.0


def test_the_smaller_of_two_caps_holds() -> None:
    assert Pressure(rate=50.0, sick_rate=10.0).cap == 10.0
    assert Pressure(rate=5.0, sick_rate=10.0).cap == 5.0


# -- together ---------------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sampled_from([StartSignal.MINUTE, StartSignal.UNEXPLAINED, StartSignal.OVERLOAD, StartSignal.LATE]),
            st.floats(0, 1),
            st.sampled_from([1.0, 1.0, 1.0, -3.0, 20.0, 4_000.0]),
        ),
        max_size=60,
    ),
    st.sampled_from([Limits(), Limits(rpm=60), Limits(rpm=1), Limits(rpm=600, tpm=5)]),
)
def test_whatever_is_reported_and_however_time_jumps_something_may_start_and_no_pause_is_long(
    steps: list[tuple[int, StartSignal, float, float]], limits: Limits
) -> None:
    course = Course(limits=limits)
    for wanted, sign, share, seconds in steps:
        course.now += timedelta(seconds=seconds - 1)
        felt = course.second(wanted, share, sign)
        pressure = felt.pressure
        assert pressure.cap is None or pressure.cap >= 1.0
        assert 0 < pressure.share <= 1.0
        left = pressure.limits(limits)
        assert 0 not in (left.rpm, left.ipm, left.tpm)
        assert felt.close_until is None or felt.close_until - course.now <= rules.BACK_OFF[-1]
        assert Pressure.from_json(pressure.to_json()) == pressure
