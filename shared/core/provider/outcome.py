"""How an attempt or a request ended, as a value."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.outcome_code import OutcomeCode, PlainEnd, code_of
from shared.core.values.codec import Stored


class Outcome(Stored, frozen=True):
    """`code` is a word for programs, `message` what happened, `advice` what to do now (empty if all is well)."""

    code: str
    """An OutcomeCode, or one of a newer release."""
    message: str
    advice: str = ""

    @classmethod
    def of(cls, code: OutcomeCode, message: str, advice: str = "") -> Self:
        return cls(code.value, message, advice)

    @property
    def kind(self) -> OutcomeCode | None:
        """None for the code of a newer release."""
        return code_of(self.code)

    @property
    def problem(self) -> str | None:
        """Its code, unless it succeeded."""
        return None if self.kind is PlainEnd.SUCCEEDED else self.code


SUCCEEDED = Outcome.of(PlainEnd.SUCCEEDED, "The image was made and stored.")
CANCELLED = Outcome.of(
    FailureKind.CANCELLED,
    "Cancelled before it began; nothing was paid.",
    "If the image is still needed, submit under a new id.",
)
CANCELLED_IN_FLIGHT = Outcome.of(
    FailureKind.CANCELLED,
    "Cancelled while it was being made; what it cost is booked.",
    "If the image is still needed, submit under a new id.",
)
EXPIRED = Outcome.of(
    PlainEnd.EXPIRED, "Its deadline passed before it could begin.", "Submit it under a new id with a later deadline."
)


def cannot_begin_in_time(model: str, reason: str, opens_at: datetime) -> Outcome:
    """Expired before its deadline, because the deadline could no longer be met."""
    why = "the day's quota is used up" if reason in ("day", "quota_day") else f"it is closed ({reason})"
    opens = opens_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Outcome.of(
        PlainEnd.EXPIRED,
        f"It cannot begin before its deadline: {model} starts nothing before {opens}, {why}. Nothing was paid.",
        "Submit it under a new id with a later deadline, or for another model.",
    )


def of_failure(failure: Failure) -> Outcome:
    text = f"{failure.code}: {failure.message}" if failure.code else failure.message
    return Outcome.of(failure.kind, text, failure.rule.advice)
