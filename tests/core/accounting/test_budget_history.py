"""A tenant's document keeps the newest changes of its budget, and the newest one can be taken back for a minute."""

from __future__ import annotations

from datetime import timedelta

from shared.core.accounting.budget import Budget
from shared.core.accounting.budget_history import (
    MOST_CHANGES,
    BudgetChange,
    undoable,
    with_change,
)
from shared.core.values.undo import UNDO_WITHIN
from tests.builders import NOW


def budget(dollars: int) -> Budget:
    return Budget(dollars * 1_000_000, "day", "queue", NOW)


def change(dollars: int, minutes: int = 0, *, undoes: bool = False) -> BudgetChange:
    at = NOW + timedelta(minutes=minutes)
    return BudgetChange(at, "ann", "a fair", budget(dollars - 1), budget(dollars), undoes)


def test_the_newest_changes_stand_first_and_old_ones_go() -> None:
    changes: tuple[BudgetChange, ...] = ()
    for dollars in range(1, MOST_CHANGES + 6):
        changes = with_change(changes, change(dollars, dollars))
    assert len(changes) == MOST_CHANGES
    assert (changes[0], changes[-1]) == (change(MOST_CHANGES + 5, MOST_CHANGES + 5), change(6, 6))
    assert str(changes[0]) == "$24.000000 a day, queue -> $25.000000 a day, queue"


def test_only_the_newest_change_is_undone_within_a_minute_and_no_undo_is() -> None:
    assert undoable([change(5), change(4)], NOW + UNDO_WITHIN) == change(5)
    assert undoable([change(5)], NOW + UNDO_WITHIN + timedelta(seconds=1)) is None
    assert undoable([change(5, undoes=True), change(4)], NOW) is None


def test_a_budget_that_was_set_first_or_lifted_has_no_other_side() -> None:
    assert str(BudgetChange(NOW, "ann", "", None, budget(3))) == "none -> $3.000000 a day, queue"
    lifted = BudgetChange(NOW, "ann", "", budget(3), None)
    assert BudgetChange.from_json(lifted.to_json()) == lifted
