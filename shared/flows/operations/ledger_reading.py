"""Rows of the ledger from day to day, page after page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from shared.core.accounting.ledger import LedgerRow
from shared.core.lifecycle import queries
from shared.core.values.codec import stored_in
from shared.core.values.documents import Document
from shared.ports.store import Store

PAGE = 500


async def read_rows(store: Store, since: date, until: date, *, tenant: str | None = None) -> list[LedgerRow]:
    """Of all tenants or of one, both days included. Raises StoreUnavailable, UnreadableDocument."""
    first, last = since.isoformat(), until.isoformat()
    rows: list[LedgerRow] = []
    while True:
        after = rows[-1].place if rows else None
        page = await store.query(
            queries.ledger(first, last, PAGE, after)
            if tenant is None
            else queries.ledger_of(tenant, first, last, PAGE, after)
        )
        rows += rows_in(page)
        if len(page) < PAGE:
            return rows


def rows_in(page: Sequence[Document]) -> list[LedgerRow]:
    """Raises UnreadableDocument."""
    return [stored_in(document, LedgerRow) for document in page]
