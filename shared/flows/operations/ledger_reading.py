"""Rows of the ledger over a range of days, page by page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TypeAlias, TypeVar

from shared.core.accounting.ledger import LedgerRow, SpentRow
from shared.core.lifecycle import queries
from shared.core.values.codec import stored_in
from shared.core.values.documents import Query
from shared.ports.store import Store

PAGE = 500
Row = TypeVar("Row", LedgerRow, SpentRow)
After: TypeAlias = tuple[str, str] | None


async def read_rows(store: Store, since: date, until: date) -> list[LedgerRow]:
    """All tenants' rows, both days included. Raises StoreUnavailable, UnreadableDocument."""
    first, last = since.isoformat(), until.isoformat()
    return await _all(store, LedgerRow, lambda after: queries.ledger(first, last, PAGE, after))


async def read_spent(store: Store, tenant: str, since: date, until: date) -> int:
    """Micro-dollars of one tenant, both days included. Raises StoreUnavailable, UnreadableDocument."""
    first, last = since.isoformat(), until.isoformat()
    rows = await _all(store, SpentRow, lambda after: queries.ledger_of(tenant, first, last, PAGE, after))
    return sum(row.cost_micros for row in rows)


async def _all(store: Store, kind: type[Row], query: Callable[[After], Query]) -> list[Row]:
    rows: list[Row] = []
    while True:
        page = await store.query(query(rows[-1].place if rows else None))
        rows += [stored_in(document, kind) for document in page]
        if len(page) < PAGE:
            return rows
