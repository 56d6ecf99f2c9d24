"""The document of the live reading: what a good and a failed reading leave in it."""

from __future__ import annotations

from datetime import timedelta

from shared.core.limits.live_quota import UNLIMITED, Change, LiveLimits, LiveQuota, QuotaProblem, changes
from tests.builders import NOW

PRO = "gemini-3-pro-image"
MINUTE = timedelta(minutes=1)
FIRST = LiveQuota(tried_at=NOW).with_limits({PRO: LiveLimits({"rpm": 60, "rpd": None}, NOW)}, NOW)


def test_a_reading_says_a_number_unlimited_or_nothing() -> None:
    limits = FIRST.by_model[PRO]
    assert [limits.value(dimension) for dimension in ("rpm", "rpd", "tpm")] == [60, UNLIMITED, None]


def test_a_failed_reading_leaves_the_last_good_values_and_keeps_when_the_problem_began() -> None:
    once = FIRST.without_limits("denied", "no", "grant it", NOW + MINUTE)
    twice = once.without_limits("denied", "no again", "grant it", NOW + 2 * MINUTE)
    assert (twice.by_model, twice.read_at, twice.tried_at) == (FIRST.by_model, NOW, NOW + 2 * MINUTE)
    assert twice.problem == QuotaProblem("denied", "no again", "grant it", since=NOW + MINUTE)


def test_another_problem_begins_anew_and_a_good_reading_ends_it() -> None:
    failed = FIRST.without_limits("denied", "no", "grant it", NOW).without_limits("unreachable", "?", "", NOW + MINUTE)
    assert failed.problem is not None
    assert failed.problem.since == NOW + MINUTE
    assert failed.with_limits({}, NOW + MINUTE).problem is None


def test_usage_has_problems_of_its_own() -> None:
    read = FIRST.with_usage({PRO: {"rpm": 7}}, NOW)
    failed = read.without_usage("denied", "no", "grant it", NOW + MINUTE)
    assert (failed.usage, failed.usage_read_at, failed.problem) == ({PRO: {"rpm": 7}}, NOW, None)
    assert failed.with_usage(None, NOW + MINUTE).usage_problem is None
    assert failed.with_usage(None, NOW + MINUTE).usage_read_at is None


def test_the_document_gives_back_the_value() -> None:
    failed = FIRST.with_usage({PRO: {"rpm": 7}}, NOW).without_limits("denied", "no", "grant it", NOW + MINUTE)
    for quota in (LiveQuota(tried_at=NOW), FIRST, failed, failed.without_usage("down", "no", "wait", NOW)):
        assert LiveQuota.from_json(quota.to_json()) == quota


def test_a_change_is_a_limit_that_says_something_else() -> None:
    later = FIRST.with_limits(
        {PRO: LiveLimits({"rpm": 30, "tpm": None}, NOW), "other": LiveLimits({"rpm": 5}, NOW)}, NOW + MINUTE
    )
    assert changes(FIRST, later) == [
        Change(PRO, "rpm", 60, 30),
        Change(PRO, "tpm", None, UNLIMITED),
        Change(PRO, "rpd", UNLIMITED, None),
        Change("other", "rpm", None, 5),
    ]


def test_neither_a_failed_reading_nor_the_first_one_changes_a_limit() -> None:
    assert changes(LiveQuota(tried_at=NOW), FIRST) == []
    assert changes(FIRST, FIRST.without_limits("denied", "no", "grant it", NOW)) == []
