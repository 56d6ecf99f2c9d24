"""What one failure says about its model's limits."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.core.limits.observations import Closing, StartSignal
from shared.core.provider.failure import Failure, FailureKind

LONGEST_MINUTE_CLOSING = timedelta(seconds=60)
UNHINTED_CLOSING = timedelta(seconds=1)
"""The longest that a full minute may close a model, and for how long without a hint."""


def closing(failure: Failure, now: datetime) -> Closing | None:
    """Until when this failure closes its model: at most as long as a full minute takes to clear. Anything longer is a
    conclusion, and no single answer leads to one (`conclusion`)."""
    if failure.kind is not FailureKind.QUOTA_MINUTE:
        return None
    pause = min(failure.retry_after or UNHINTED_CLOSING, LONGEST_MINUTE_CLOSING)
    return Closing(now + pause, failure.kind.value)


def sign(failure: Failure) -> StartSignal | None:
    match failure.kind:
        case FailureKind.QUOTA_MINUTE:
            return StartSignal.MINUTE
        case FailureKind.QUOTA_SPEND | FailureKind.QUOTA_UNKNOWN:
            return StartSignal.UNEXPLAINED
        case FailureKind.OVERLOAD:
            return StartSignal.OVERLOAD
        case FailureKind.LATE:
            return StartSignal.LATE
        case _:
            return None


def named_limit(failure: Failure) -> tuple[str, int] | None:
    """The dimension and number that a 429 names, if its quota id identifies the dimension."""
    quota_id = (failure.quota_id or "").lower()
    if failure.quota_value is None or failure.kind not in (FailureKind.QUOTA_MINUTE, FailureKind.QUOTA_DAY):
        return None
    if "token" in quota_id:
        dimension = "tpm"
    elif "image" in quota_id and "request" not in quota_id:
        dimension = "ipm"
    elif "request" in quota_id:
        dimension = "rpd" if failure.kind is FailureKind.QUOTA_DAY else "rpm"
    else:
        return None
    return (dimension, failure.quota_value) if failure.kind is FailureKind.QUOTA_MINUTE or dimension == "rpd" else None
