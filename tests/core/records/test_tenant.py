"""The tenant's document as a record."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.core.accounting.budget import Budget
from shared.core.accounting.budget_history import BudgetChange, undoable
from shared.core.records.tenant import TenantRecord, tenant_path
from shared.core.values.documents import Absent, Document, UnreadableDocument
from tests.builders import NOW

LIMIT = Budget(3_000_000, "day", "queue", NOW)


def record(**fields: Any) -> TenantRecord:
    return TenantRecord.of(Document(tenant_path("web"), fields, "1", NOW))


def test_a_budget_comes_back_as_it_was_written_and_none_is_none() -> None:
    assert record(budget=LIMIT.to_json()).budget == LIMIT
    assert record(weight=2).budget is None
    assert record(budget=None).budget is None
    assert TenantRecord.of(Absent("tenants/web", NOW)) == TenantRecord()


def test_a_tenant_of_an_older_release_has_no_changes() -> None:
    assert record(budget=LIMIT.to_json()).budget_changes == ()
    assert undoable((), NOW) is None


def test_changes_come_back_the_newest_first() -> None:
    changes = tuple(BudgetChange(NOW - timedelta(days=age), "ann", "a fair", None, LIMIT) for age in (0, 1))
    assert record(budget_changes=[change.to_json() for change in changes]).budget_changes == changes


def test_a_damaged_document_is_named() -> None:
    with pytest.raises(UnreadableDocument, match="tenants/web cannot be read"):
        record(weight="much")
