"""What one failure says of its model's limits: the rows of the table of evidence that one answer decides."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.core.calendar import next_pacific_midnight
from shared.core.failure import FailureKind
from shared.core.report import Sign
from shared.core.testimony import NO_BALANCE_CLOSING, closing, named_limit, sign
from tests.builders import NOW, a_failure

SIGNS = {
    FailureKind.QUOTA_MINUTE: Sign.MINUTE,
    FailureKind.QUOTA_SPEND: Sign.UNEXPLAINED,
    FailureKind.QUOTA_UNKNOWN: Sign.UNEXPLAINED,
    FailureKind.OVERLOAD: Sign.OVERLOAD,
    FailureKind.LATE: Sign.LATE,
}


@pytest.mark.parametrize("retry_after", [None, timedelta(milliseconds=856), timedelta(hours=30)])
def test_a_days_429_closes_until_midnight_in_los_angeles_whatever_its_retry_delay(
    retry_after: timedelta | None,
) -> None:
    found = closing(a_failure(FailureKind.QUOTA_DAY, retry_after=retry_after), NOW)
    assert found is not None
    assert (found.until, found.why) == (next_pacific_midnight(NOW), "quota_day")


@pytest.mark.parametrize(("hinted", "closed"), [(None, 1.0), (0.3, 0.3), (17, 17), (60, 60), (3_600, 60)])
def test_a_minutes_429_closes_for_its_retry_delay_a_minute_at_most(hinted: float | None, closed: float) -> None:
    retry_after = None if hinted is None else timedelta(seconds=hinted)
    found = closing(a_failure(FailureKind.QUOTA_MINUTE, retry_after=retry_after), NOW)
    assert found is not None
    assert found.until == NOW + timedelta(seconds=closed)


def test_no_balance_closes_for_minutes_at_a_time() -> None:
    found = closing(a_failure(FailureKind.BALANCE), NOW)
    assert found is not None
    assert found.until == NOW + NO_BALANCE_CLOSING


CLOSING = (FailureKind.CREDENTIAL, FailureKind.PERMISSION)


@pytest.mark.parametrize("kind", CLOSING)
def test_a_dead_key_or_a_project_without_leave_closes_the_model_for_a_minute(kind: FailureKind) -> None:
    found = closing(a_failure(kind), NOW)
    assert found is not None
    assert found.until == NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    "kind",
    [
        each
        for each in FailureKind
        if each not in (*CLOSING, FailureKind.QUOTA_DAY, FailureKind.QUOTA_MINUTE, FailureKind.BALANCE)
    ],
)
def test_no_other_failure_closes_a_model_by_itself(kind: FailureKind) -> None:
    assert closing(a_failure(kind, retry_after=timedelta(seconds=30)), NOW) is None


@pytest.mark.parametrize("kind", FailureKind)
def test_what_counts_is_rejections_overload_and_late_starts_alone(kind: FailureKind) -> None:
    """A refused prompt or a broken connection is no sign of a limit."""
    assert sign(a_failure(kind)) == SIGNS.get(kind)


@pytest.mark.parametrize(
    ("kind", "quota_id", "named"),
    [
        (FailureKind.QUOTA_MINUTE, "GenerateRequestsPerMinutePerProjectPerModel", ("rpm", 60)),
        (FailureKind.QUOTA_DAY, "GenerateRequestsPerDayPerProjectPerModel-FreeTier", ("rpd", 60)),
        (FailureKind.QUOTA_MINUTE, "GenerateContentInputTokensPerModelPerMinute-PaidTier", ("tpm", 60)),
        (FailureKind.QUOTA_MINUTE, "GenerateImagesPerMinutePerProjectPerModel", ("ipm", 60)),
        (FailureKind.QUOTA_DAY, "GenerateContentInputTokensPerModelPerDay", None),
        (FailureKind.QUOTA_DAY, "GenerateImagesPerDay", None),
        (FailureKind.QUOTA_MINUTE, "SomethingNobodyKnows", None),
        (FailureKind.QUOTA_MINUTE, None, None),
        (FailureKind.QUOTA_UNKNOWN, "GenerateRequestsPerMinutePerProjectPerModel", None),
        (FailureKind.OVERLOAD, "GenerateRequestsPerMinutePerProjectPerModel", None),
    ],
)
def test_a_quota_id_names_the_dimension_of_its_number(
    kind: FailureKind, quota_id: str | None, named: tuple[str, int] | None
) -> None:
    assert named_limit(a_failure(kind, quota_id=quota_id, quota_value=60)) == named
    assert named_limit(a_failure(kind, quota_id=quota_id)) is None
