"""What one failure says of its model's limits: the rows of the table of evidence that one answer decides."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.core.limits.failure_evidence import closing, named_limit, sign
from shared.core.limits.observations import StartSignal
from shared.core.provider.failure import FailureKind
from tests.builders import NOW, a_failure

SIGNS = {
    FailureKind.QUOTA_MINUTE: StartSignal.MINUTE,
    FailureKind.QUOTA_SPEND: StartSignal.UNEXPLAINED,
    FailureKind.QUOTA_UNKNOWN: StartSignal.UNEXPLAINED,
    FailureKind.OVERLOAD: StartSignal.OVERLOAD,
    FailureKind.LATE: StartSignal.LATE,
}


@pytest.mark.parametrize(("hinted", "closed"), [(None, 1.0), (0.3, 0.3), (17, 17), (60, 60), (3_600, 60)])
def test_a_minutes_429_closes_for_its_retry_delay_a_minute_at_most(hinted: float | None, closed: float) -> None:
    retry_after = None if hinted is None else timedelta(seconds=hinted)
    closed_ = closing(a_failure(FailureKind.QUOTA_MINUTE, retry_after=retry_after), NOW)
    assert closed_ is not None
    assert closed_.until == NOW + timedelta(seconds=closed)


@pytest.mark.parametrize(
    "kind", [failure_kind for failure_kind in FailureKind if failure_kind is not FailureKind.QUOTA_MINUTE]
)
def test_no_other_answer_closes_a_model_by_itself_that_takes_a_conclusion(kind: FailureKind) -> None:
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
