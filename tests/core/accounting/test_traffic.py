"""Counts of attempts: what a row of the ledger says beside the money, and percentiles from buckets."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.accounting import traffic
from shared.core.accounting.traffic import EDGES, Timing, bucket_of, failures, less, percentile, tallies
from tests.builders import a_ledger_row


def clocked(*seconds: float) -> dict[str, int]:
    result: dict[str, int] = {}
    for item in seconds:
        for name in Timing(took=timedelta(seconds=item)).buckets():
            result[name] = result.get(name, 0) + 1
    return result


def test_a_time_counts_in_the_first_bucket_that_holds_it() -> None:
    assert bucket_of(timedelta(0)) == 0
    assert bucket_of(timedelta(seconds=EDGES[3])) == 3
    assert bucket_of(timedelta(seconds=EDGES[3] + 0.001)) == 4
    assert bucket_of(timedelta(days=2)) == len(EDGES)


@given(st.lists(st.floats(0.01, 14_000), min_size=1, max_size=60), st.sampled_from((0.5, 0.95)))
def test_a_percentile_lies_in_the_bucket_of_the_real_one(times: list[float], share: float) -> None:
    ordered = sorted(times)
    rank = max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))
    result = percentile(clocked(*times), "model", share)
    assert result is not None
    number = bucket_of(timedelta(seconds=ordered[rank]))
    low, high = (0.0, *EDGES)[number], (*EDGES, traffic.LONGEST)[number]
    assert low <= result <= high


def test_where_nothing_was_clocked_there_is_no_percentile() -> None:
    assert percentile({}, "wait", 0.5) is None
    assert percentile(clocked(3), "wait", 0.5) is None


def test_rows_add_up_by_circuit_whatever_their_tenant() -> None:
    row: dict[str, object] = {
        "attempts": 2,
        "failed_overload": 1,
        "micros_image": 5,
    }
    rows = [a_ledger_row(**row), a_ledger_row(**row, tenant="other")]
    assert tallies(rows) == {"standard/m": {"attempts": 4, "failed_overload": 2}}


@pytest.mark.parametrize("kind", ["refused", "invalid_request", "reference", "late"])
def test_a_failure_of_the_request_alone_says_nothing_about_its_route(kind: str) -> None:
    assert failures({"attempts": 3, traffic.failed(kind): 2, "failed_overload": 1}) == {"overload": 1}


def test_what_was_undone_is_not_less_than_nothing() -> None:
    assert less({"failed_crashed": 0, "attempts": 5}, {"failed_crashed": 1, "attempts": 3}) == {"attempts": 2}
