"""The provider's quota windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.simulator.provider.quota_windows import (
    NEVER,
    Admitted,
    Bucket,
    FixedWindow,
    ModelQuota,
    PacificDay,
    QuotaRejection,
    SlidingWindow,
    WindowMoment,
    seconds_to_midnight,
)
from shared.core.limits.quota import Limits

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

# Quarter seconds, so that sums of times are exact.
gaps = st.lists(st.integers(0, 80).map(lambda quarters: quarters / 4), min_size=1, max_size=120)


def moment(seconds: float) -> WindowMoment:
    return WindowMoment(START + timedelta(seconds=seconds), seconds)


@settings(deadline=None)
@given(gaps=gaps, limit=st.integers(1, 12))
def test_no_rolling_minute_holds_more_than_the_limit(gaps: list[float], limit: int) -> None:
    window, now, accepted = SlidingWindow(), 0.0, []
    for gap in gaps:
        now += gap
        if window.wait(moment(now), 1, limit) == 0:
            window.record(moment(now), 1)
            accepted.append(now)
    for start in accepted:
        assert sum(start <= at < start + 60 for at in accepted) <= limit


@settings(deadline=None)
@given(
    calls=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 400)), min_size=1, max_size=80),
    limit=st.integers(400, 1000),
)
def test_no_rolling_minute_holds_more_tokens_than_the_limit(calls: list[tuple[int, int]], limit: int) -> None:
    window, now, accepted = SlidingWindow(), 0.0, []
    for quarters, amount in calls:
        now += quarters / 4
        if window.wait(moment(now), amount, limit) == 0:
            window.record(moment(now), amount)
            accepted.append((now, amount))
    for start, _ in accepted:
        assert sum(amount for at, amount in accepted if start <= at < start + 60) <= limit


@settings(deadline=None)
@given(gaps=gaps, limit=st.integers(1, 12))
def test_a_rejection_names_the_first_instant_at_which_there_is_room(gaps: list[float], limit: int) -> None:
    window, now = SlidingWindow(), 0.0
    for gap in gaps:
        now += gap
        wait = window.wait(moment(now), 1, limit)
        if wait > 0:
            assert window.wait(moment(now + wait - 0.125), 1, limit) > 0
            now += wait
        assert window.wait(moment(now), 1, limit) == 0
        window.record(moment(now), 1)


@settings(deadline=None)
@given(gaps=gaps, limit=st.integers(1, 12))
def test_a_bucket_gives_its_depth_and_then_the_even_rate(gaps: list[float], limit: int) -> None:
    window, now, accepted = Bucket(), 0.0, []
    for gap in gaps:
        now += gap
        if window.wait(moment(now), 1, limit) == 0:
            window.record(moment(now), 1)
            accepted.append(now)
    for start in accepted:
        assert sum(start <= at < start + 60 for at in accepted) <= 2 * limit
    promised = window.wait(moment(now), 1, limit)
    assert window.wait(moment(now + promised), 1, limit) == 0


def test_a_fixed_window_lets_twice_the_limit_through_around_a_border() -> None:
    window = FixedWindow()
    for seconds in (59.0, 60.0):
        for _ in range(5):
            assert window.wait(moment(seconds), 1, 5) == 0
            window.record(moment(seconds), 1)
    assert window.wait(moment(60.0), 1, 5) == 60


def test_more_than_the_whole_limit_never_fits() -> None:
    for window in (SlidingWindow(), FixedWindow(), Bucket(), PacificDay()):
        assert window.wait(moment(0), 2, 1) == NEVER
        assert window.wait(moment(0), 1, 0) == NEVER


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        (datetime(2026, 11, 22, 12, 0, tzinfo=UTC), 20 * 3600),
        (datetime(2026, 7, 1, 12, 0, tzinfo=UTC), 19 * 3600),
        (datetime(2026, 11, 1, 7, 0, tzinfo=UTC), 25 * 3600),
        (datetime(2026, 3, 8, 8, 0, tzinfo=UTC), 23 * 3600),
    ],
    ids=["winter", "summer", "clocks go back", "clocks go forward"],
)
def test_the_day_ends_at_midnight_in_los_angeles(at: datetime, seconds: int) -> None:
    assert seconds_to_midnight(at) == seconds
    day = PacificDay()
    day.record(WindowMoment(at, 0.0), 3)
    assert day.wait(WindowMoment(at, 0.0), 1, 3) == seconds
    assert day.wait(WindowMoment(at + timedelta(seconds=seconds), 0.0), 1, 3) == 0


def test_a_call_uses_all_dimensions_or_none() -> None:
    quota = ModelQuota("sliding")
    limits = Limits(rpm=5, tpm=100)
    assert isinstance(quota.admit(limits, moment(0), images=1, input_tokens=90), Admitted)
    rejected = quota.admit(limits, moment(1), images=1, input_tokens=20)
    assert isinstance(rejected, QuotaRejection)
    assert [(violation.dimension, violation.wait) for violation in rejected.violations] == [("tpm", 59.0)]
    for _ in range(4):
        assert isinstance(quota.admit(limits, moment(1), images=1, input_tokens=2), Admitted)
    assert isinstance(quota.admit(limits, moment(1), images=1, input_tokens=2), QuotaRejection)


def test_a_rejected_call_counts_only_where_asked_to() -> None:
    limits = Limits(rpm=1)
    for counts, expected in ((False, Admitted), (True, QuotaRejection)):
        quota = ModelQuota("sliding", rejected_counts=counts)
        quota.admit(limits, moment(0), images=1, input_tokens=0)
        assert isinstance(quota.admit(limits, moment(30), images=1, input_tokens=0), QuotaRejection)
        assert isinstance(quota.admit(limits, moment(60), images=1, input_tokens=0), expected)


def test_money_spent_in_ten_minutes_closes_the_door_until_it_has_rolled_out() -> None:
    quota = ModelQuota("sliding")
    limits = Limits(spend10m_micros=200_000)
    for _ in range(2):
        assert isinstance(quota.admit(limits, moment(0), images=1, input_tokens=0), Admitted)
        quota.leave(moment(5), spent_micros=134_400)
    rejected = quota.admit(limits, moment(10), images=1, input_tokens=0)
    assert isinstance(rejected, QuotaRejection)
    assert rejected.wait == 595
    assert isinstance(quota.admit(limits, moment(605), images=1, input_tokens=0), Admitted)


def test_concurrency_is_freed_when_a_call_leaves() -> None:
    quota = ModelQuota("sliding")
    limits = Limits(concurrency=1)
    assert isinstance(quota.admit(limits, moment(0), images=1, input_tokens=0), Admitted)
    assert isinstance(quota.admit(limits, moment(0), images=1, input_tokens=0), QuotaRejection)
    quota.leave(moment(1), spent_micros=0)
    assert isinstance(quota.admit(limits, moment(1), images=1, input_tokens=0), Admitted)


def test_a_limit_set_later_is_judged_on_what_was_used_before() -> None:
    quota = ModelQuota("sliding")
    for _ in range(10):
        quota.admit(Limits(), moment(0), images=1, input_tokens=0)
    assert isinstance(quota.admit(Limits(rpm=10), moment(1), images=1, input_tokens=0), QuotaRejection)
    assert isinstance(quota.admit(Limits(rpm=11), moment(1), images=1, input_tokens=0), Admitted)
