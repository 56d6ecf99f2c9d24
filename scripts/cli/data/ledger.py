"""The ledger's rows of some days, page by page."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from shared.core.lifecycle import queries
from shared.core.values.documents import Fields

if TYPE_CHECKING:
    from shared.ports.store import Store

PAGE = 500


async def rows(store: Store, since: date, until: date) -> list[Fields]:
    """From day to day, both included."""
    found: list[Fields] = []
    after: tuple[str, str] | None = None
    while True:
        page = await store.query(queries.ledger(since.isoformat(), until.isoformat(), PAGE, after))
        found += [each.data for each in page]
        if len(page) < PAGE:
            return found
        after = (page[-1].data["day"], page[-1].data["name"])
