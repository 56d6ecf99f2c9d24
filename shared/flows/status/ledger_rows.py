"""The ledger's rows of a day, read once and then kept up to date by reading only what was raised since."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.core.lifecycle import queries
from shared.core.values.documents import Document, Fields
from shared.ports.store import Store

PAGE = 500
PAGES = 20
OVERLAP = timedelta(seconds=15)
"""Rows are stamped by their writers' clocks: so far back is read again."""


class LedgerRows:
    """Of today, and of the day before around midnight. One per lead of a pump."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: dict[str, dict[str, Fields]] = {}
        """By day and name."""
        self._read_at: dict[str, datetime] = {}
        self._complete: dict[str, bool] = {}

    async def of(self, day: str, now: datetime) -> list[Fields]:
        """Raises StoreUnavailable."""
        if day not in self._rows:
            self._rows = {item: rows for item, rows in self._rows.items() if item >= _day_before(now)}
            self._rows[day] = {item.id: item.data for item in await self._whole(day) if item.is_readable}
        elif self._read_at[day] != now:
            await self._changed(day)
        self._read_at[day] = now
        return list(self._rows[day].values())

    async def has_news(self, day: str, since: datetime) -> bool:
        """Whether anything was booked since, as far as clocks agree: one row at most is read."""
        return bool(await self._store.query(queries.ledger_since(day, since - OVERLAP, 1)))

    def is_complete(self, day: str) -> bool:
        """Else the day has more rows than are read."""
        return self._complete.get(day, True)

    async def _whole(self, day: str) -> list[Document]:
        result: list[Document] = []
        after: tuple[str, str] | None = None
        for _ in range(PAGES):
            page = await self._store.query(queries.ledger(day, day, PAGE, after))
            result += page
            if len(page) < PAGE:
                self._complete[day] = True
                return result
            after = (page[-1].data["day"], page[-1].data["name"])
        self._complete[day] = False
        return result

    async def _changed(self, day: str) -> None:
        """Page after page; where one moment fills more than a page, the rest comes with a later reading."""
        since = self._read_at[day] - OVERLAP
        for _ in range(PAGES):
            page = await self._store.query(queries.ledger_since(day, since, PAGE))
            self._rows[day].update({item.id: item.data for item in page if item.is_readable})
            if len(page) < PAGE or page[-1].data["updated_at"] == since:
                return
            since = page[-1].data["updated_at"]


def _day_before(now: datetime) -> str:
    return (now - timedelta(days=1)).date().isoformat()
