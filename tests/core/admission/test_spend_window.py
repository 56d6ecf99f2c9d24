"""No ten minutes of any alignment hold more than the project's spend window."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.admission.allocation import Admission, Shared, admit
from shared.core.admission.model_state import ModelState
from shared.core.admission.slot_calendar import Blocked
from shared.core.admission.spend_window import BUCKET, NOTHING_SPENT, WINDOW_BUCKETS, Spend, spend_limit
from shared.core.limits.quota import Limits
from tests.builders import NOW, a_candidate

TEN_MINUTES = timedelta(minutes=10)
LATER = NOW + timedelta(seconds=8)
"""The slots that are granted now lie before it."""


@given(
    st.integers(0, 1_000),
    st.lists(st.tuples(st.timedeltas(timedelta(0), timedelta(minutes=4)), st.integers(0, 600)), max_size=40),
)
def test_no_ten_minutes_hold_more_than_the_limit_and_nothing_is_held_back_that_fits(
    limit: int, steps: list[tuple[timedelta, int]]
) -> None:
    now, spend = NOW, NOTHING_SPENT
    spent: list[tuple[timedelta, int]] = []
    for wait, micros in steps:
        now += wait
        more = spend.hold(micros, limit, now)
        since = now - NOW
        if more is None:
            recent = sum(amount for at, amount in spent if since - at < WINDOW_BUCKETS * BUCKET)
            assert recent + micros > limit or limit == 0
        else:
            spend = Spend.from_json(more.to_json())
            spent.append((since, min(micros, limit)))  # what is dearer than the window takes all of it
    for begins, _ in spent:
        assert sum(amount for at, amount in spent if begins <= at <= begins + TEN_MINUTES) <= limit


def test_without_a_limit_nothing_is_written_down() -> None:
    assert NOTHING_SPENT.hold(10**12, None, NOW) is NOTHING_SPENT


def test_what_is_older_than_the_window_is_forgotten() -> None:
    spend: Spend | None = NOTHING_SPENT
    for minute in range(120):
        assert spend is not None
        spend = spend.hold(1, 100, NOW + timedelta(minutes=minute))
    assert spend is not None
    assert len(spend.buckets) <= 21


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ([], None),
        ([Limits(rpm=5)], None),
        ([Limits(spend10m_micros=7), Limits(), Limits(spend10m_micros=5)], 5),
        ([Limits(spend10m_micros=0), Limits(spend10m_micros=5)], 0),
    ],
)
def test_the_smallest_limit_that_any_model_names_is_the_projects(limits: list[Limits], most: int | None) -> None:
    assert spend_limit(limits) == most


def admitted(limit: int, spend: Spend = NOTHING_SPENT) -> Admission:
    models = ("gemini-3-pro-image", "gemini-nano-banana-2.1")
    queue = [a_candidate(f"{model}-{number}", model=model, fair_tag=number) for number in range(5) for model in models]
    return admit(
        queue,
        {model: ModelState() for model in models},
        {model: Limits(rpm=60, spend10m_micros=limit) for model in models},
        dict.fromkeys(models, 100),
        Shared(spend=spend, most_spend=limit),
        NOW,
    )


def test_the_estimates_of_all_models_together_keep_the_window() -> None:
    first = admitted(500_000)
    assert sum(grant.candidate.planned.estimate_micros for grant in first.grants) == first.spend.used(LATER) <= 500_000
    assert first.blocked["gemini-3-pro-image"] == Blocked("spend", None)
    again = admitted(500_000, first.spend)
    assert len(again.grants) < len(first.grants)
    assert again.spend.used(LATER) <= 500_000


def test_a_window_that_is_wide_enough_holds_nobody() -> None:
    assert len(admitted(10**9).grants) == 10
    assert admitted(10**9).blocked == {}
