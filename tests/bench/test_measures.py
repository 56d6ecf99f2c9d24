"""The figures of the live bench, on hand-made calls."""

from __future__ import annotations

import math

import pytest

from scripts.bench.harness.percentile import percentile
from scripts.bench.quota_live import measures
from scripts.bench.quota_live.measures import ObservedCall, SceneFigure


def paid(request_id: str, at: float) -> ObservedCall:
    return ObservedCall(request_id, at, 200, charged=True)


def rejected(request_id: str, at: float) -> ObservedCall:
    return ObservedCall(request_id, at, 429, charged=False)


def test_a_window_that_is_always_full_is_used_whole() -> None:
    calls = [paid(f"r{second}", second) for second in range(300)]
    assert measures.window_use(calls, limit=60, since=60, until=240) == pytest.approx(1, abs=0.01)


def test_bursts_every_60_5_seconds_use_60_of_60_5() -> None:
    bursts = [paid("r", burst * 60.5) for burst in range(41) for _ in range(10)]
    assert measures.window_use(bursts, limit=10, since=60.5, until=40 * 60.5) == pytest.approx(60 / 60.5)


def test_a_rejected_call_is_no_goodput() -> None:
    calls = [paid("a", 0), rejected("b", 0)]
    assert measures.window_use(calls, limit=1, since=0, until=60) == 1
    assert measures.images_within(calls, 0, 60) == 1


def test_rejections_are_counted_for_a_thousand_renders_and_shown_where_nothing_was_rendered() -> None:
    assert measures.rejected_per_1000([paid("a", 0), paid("b", 0), rejected("c", 0)]) == 500
    assert measures.rejected_per_1000([rejected("a", 0)]) == 1000
    assert measures.rejected_per_1000([]) == 0


def test_a_wait_ends_with_the_first_call_whatever_its_answer() -> None:
    calls = [paid("a", 9), rejected("a", 5), paid("somebody else's", 1)]
    assert measures.start_waits({"a": 2, "never called": 3}, calls) == [3]


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([3, 1, 2], 0.99) == 3
    assert percentile([7], 0.01) == 7
    assert math.isnan(percentile([], 0.5))


def test_the_ideal_of_a_backlog_is_its_requests_over_the_limit() -> None:
    assert measures.ideal_seconds(7000, 500) == 14 * 60
    assert measures.ideal_seconds(7250, 500) == 14.5 * 60


def test_a_request_with_two_paid_calls_is_named() -> None:
    assert measures.paid_twice([paid("b", 0), paid("b", 1), paid("a", 0), rejected("a", 1)]) == {"b": 2}


def test_a_figure_that_is_not_a_number_meets_no_goal() -> None:
    assert not SceneFigure("wait", math.nan, "s", "at most", 1).met
    assert not SceneFigure("goodput", math.nan, "%", "at least", 98).met


def test_a_figure_meets_its_goal_at_the_border() -> None:
    assert SceneFigure("wait", 1, "s", "at most", 1).met
    assert SceneFigure("goodput", 98, "%", "at least", 98).met
    assert not SceneFigure("goodput", 97.9, "%", "at least", 98).met
    assert SceneFigure("images", 5, "images").met


def test_a_call_of_the_simulator_is_read_with_its_time_and_answer() -> None:
    call = {"marker": "a", "received_at": "1970-01-01T00:01:00+00:00", "status": None, "charged": False}
    assert ObservedCall.of(call) == ObservedCall("a", 60.0, 0, charged=False)
