"""What operators set for one tenant: `tenants/{tenant}`. Most tenants have no document."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from shared.core.accounting.budget import Budget
from shared.core.accounting.budget_history import BudgetChange
from shared.core.values.codec import Record, stored_in
from shared.core.values.documents import Absent, Document


def tenant_path(tenant: str) -> str:
    return f"tenants/{tenant}"


class TenantRecord(Record, frozen=True):
    weight: float | None = None
    """Its weight in shared queues; None if none was set."""
    budget: Budget | None = None
    budget_changes: tuple[BudgetChange, ...] = ()
    """The newest first."""
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @classmethod
    def of(cls, document: Document | Absent) -> Self:
        """Raises UnreadableDocument."""
        return stored_in(document, cls) if isinstance(document, Document) else cls()
