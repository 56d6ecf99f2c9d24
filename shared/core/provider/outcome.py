"""How an attempt or a request ended, as a value."""

from __future__ import annotations

from datetime import datetime

from shared.core.provider.failure import Failure, FailureKind
from shared.core.values.codec import Stored
from shared.core.values.status import FinalStatus


class Outcome(Stored, frozen=True):
    """`code` is a word for programs, `message` what happened, `advice` what to do now (empty where all is well)."""

    code: str
    message: str
    advice: str = ""


SUCCEEDED = Outcome("succeeded", "The image was made and stored.")
CANCELLED = Outcome("cancelled", "Cancelled before it began; nothing was paid.", "Submit it under a new id to have it.")
CANCELLED_IN_FLIGHT = Outcome(
    "cancelled", "Cancelled while it was being made; what it cost is booked.", "Submit it under a new id to have it."
)
EXPIRED = Outcome(
    "expired", "Its deadline passed before it could begin.", "Submit it under a new id with a later deadline."
)


def cannot_begin_in_time(model: str, reason: str, opens_at: datetime) -> Outcome:
    """Expired before its deadline, since it could not be kept any more."""
    why = "the day's quota is used up" if reason in ("day", "quota_day") else f"it is closed ({reason})"
    opens = opens_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Outcome(
        EXPIRED.code,
        f"It cannot begin before its deadline: {model} starts nothing before {opens}, {why}. Nothing was paid.",
        "Submit it under a new id with a later deadline, or for another model.",
    )


def of_failure(failure: Failure) -> Outcome:
    text = f"{failure.code}: {failure.message}" if failure.code else failure.message
    return Outcome(failure.kind.value, text, failure.rule.advice)


def final_status(kind: FailureKind) -> FinalStatus:
    """`refused` for an answer of the model's own, `failed` for everything that went wrong."""
    match kind:
        case FailureKind.REFUSED:
            return "refused"
        case FailureKind.CANCELLED:
            return "cancelled"
        case _:
            return "failed"
