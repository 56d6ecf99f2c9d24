"""Every code with which an attempt or a request ends: the failures of the table, and ends that no failure caused."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from shared.core.provider.failure import FailureKind


class PlainEnd(StrEnum):
    """An end that no failed call caused."""

    SUCCEEDED = "succeeded"
    DUPLICATE = "duplicate"
    """For an attempt: its image arrived after its request had ended."""
    EXPIRED = "expired"
    UNROUTABLE = "unroutable"
    """No route is left that the request may take."""
    COST_CAP = "cost_cap"
    """The next attempt could exceed `max_cost_usd`."""
    BUDGET = "budget"
    """The budget of its tenant does not have enough left."""


OutcomeCode: TypeAlias = FailureKind | PlainEnd
CODES: tuple[OutcomeCode, ...] = (*PlainEnd, *FailureKind)
OF_REQUESTS = tuple(code.value for code in CODES if code is not PlainEnd.DUPLICATE)
"""The codes by which a list of requests can be filtered."""


def code_of(text: str) -> OutcomeCode | None:
    """None for the code of a newer release: documents outlive a rollback."""
    return _BY_TEXT.get(text)


_BY_TEXT: dict[str, OutcomeCode] = {code.value: code for code in CODES}
