"""The ledger's rows of a day, read once and then kept up to date by reading only changed rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.core.accounting.ledger import LedgerRow
from shared.core.lifecycle import queries
from shared.core.values.codec import stored_in
from shared.core.values.documents import Document
from shared.flows.operations.ledger_reading import PAGE
from shared.ports.store import Store

PAGES = 20
OVERLAP = timedelta(seconds=15)
"""Rows are stamped by their writers' clocks: this much of the past is read again."""


class LedgerRows:
    """Of today, and around midnight also of the day before. One per lead of a pump."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: dict[str, dict[str, LedgerRow]] = {}
        """By day and name."""
        self._read_at: dict[str, datetime] = {}
        self._complete: dict[str, bool] = {}

    async def of(self, day: str, now: datetime) -> list[LedgerRow]:
        """Raises StoreUnavailable."""
        if day not in self._rows:
            self._rows = {item: rows for item, rows in self._rows.items() if item >= _day_before(now)}
            self._rows[day] = await self._whole(day)
        elif self._read_at[day] != now:
            await self._changed(day)
        self._read_at[day] = now
        return list(self._rows[day].values())

    async def has_news(self, day: str, since: datetime) -> bool:
        """Whether anything was booked since, as far as clocks agree: at most one row is read."""
        return bool(await self._store.query(queries.ledger_since(day, since - OVERLAP, 1)))

    def is_complete(self, day: str) -> bool:
        """False if the day has more rows than are read."""
        return self._complete.get(day, True)

    async def _whole(self, day: str) -> dict[str, LedgerRow]:
        result: dict[str, LedgerRow] = {}
        after: tuple[str, str] | None = None
        for _ in range(PAGES):
            page = await self._store.query(queries.ledger(day, day, PAGE, after))
            result |= _readable(page)
            if len(page) < PAGE:
                self._complete[day] = True
                return result
            after = stored_in(page[-1], LedgerRow).place
        self._complete[day] = False
        return result

    async def _changed(self, day: str) -> None:
        """Page after page; if one moment fills more than a page, the rest comes with a later read."""
        since = self._read_at[day] - OVERLAP
        for _ in range(PAGES):
            page = await self._store.query(queries.ledger_since(day, since, PAGE))
            self._rows[day].update(_readable(page))
            if len(page) < PAGE:
                return
            newest = stored_in(page[-1], LedgerRow).updated_at
            if newest is None or newest == since:
                return
            since = newest


def _readable(page: Sequence[Document]) -> dict[str, LedgerRow]:
    """By name."""
    return {document.id: stored_in(document, LedgerRow) for document in page if document.is_readable}


def _day_before(now: datetime) -> str:
    return (now - timedelta(days=1)).date().isoformat()
