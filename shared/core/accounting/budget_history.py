"""What was changed of a tenant's budget, by whom and why, kept in the tenant's document: the newest changes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shared.core.accounting.budget import Budget
from shared.core.values.codec import Stored
from shared.core.values.undo import may_be_undone

FIELD = "budget_changes"
MOST_CHANGES = 20


class BudgetChange(Stored, frozen=True):
    """One change; `before` and `after` are None where there was or is no budget."""

    at: datetime
    actor: str
    reason: str
    before: Budget | None = None
    after: Budget | None = None
    undoes: bool = False
    """It reverted the change before it."""

    def __str__(self) -> str:
        return f"{_in_words(self.before)} -> {_in_words(self.after)}"


class UndoRefused(Exception):
    """A change cannot be reverted. Says why and what to do."""


def with_change(changes: Sequence[BudgetChange], change: BudgetChange) -> tuple[BudgetChange, ...]:
    """The history including it."""
    return (change, *changes[: MOST_CHANGES - 1])


def undoable(changes: Sequence[BudgetChange], now: datetime) -> BudgetChange | None:
    """The newest change, while it can still be reverted."""
    newest = changes[0] if changes else None
    return newest if newest is not None and not newest.undoes and may_be_undone(newest.at, now) else None


def _in_words(limit: Budget | None) -> str:
    return "none" if limit is None else f"{limit}, {limit.over}"
