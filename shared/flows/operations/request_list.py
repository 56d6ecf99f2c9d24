"""A page of requests that match a filter, read by time: there is no index for every combination of filters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from shared.core.lifecycle import queries, request_filter
from shared.core.lifecycle.request_filter import AWAITING, RequestFilter
from shared.core.records.request import ROW_FIELDS
from shared.core.records.versioned import Row, row_in
from shared.core.times.moments import read_moment
from shared.core.values.documents import Query, Range, UnreadableDocument
from shared.ports.store import Store

PAGE = 500
MOST_READ = 4_000
"""Documents that one page of a list reads at most; a page that stopped there says so."""
MOST_SAME = 60
"""Ids of one moment that a cursor carries."""


class Cursor(Struct, frozen=True):
    """Where the next page begins: at a moment, after these ids of the same moment."""

    at: datetime
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return "|".join([self.at.isoformat(), *self.ids])

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """None if there is none, or it cannot be read."""
        moment, *ids = text.split("|")
        at = read_moment(moment)
        return cls(at, tuple(ids[:MOST_SAME])) if at is not None else None


class ListPage(Struct, frozen=True):
    rows: tuple[Row, ...]
    next: Cursor | None
    """None if this is the last page."""
    read: int
    """Documents that were read."""
    stopped: bool
    """MOST_READ were read before the page was full."""
    unreadable: int
    now: datetime


async def read(store: Store, chosen: RequestFilter, cursor: Cursor | None, size: int, now: datetime) -> ListPage:
    """Newest first. In another order: the first `size` among the newest MOST_READ. Raises StoreUnavailable."""
    limit = size if chosen.sort == "newest" else MOST_READ
    rows: list[Row] = []
    read = unreadable = 0
    edge, same = (cursor.at, set(cursor.ids)) if cursor is not None else (chosen.until, set())
    wanted = PAGE if chosen.sort != "newest" else min(PAGE, size + 1 if _is_exact(chosen) else 2 * size)
    while True:
        limit_of_page = wanted + len(same)
        page = await store.query(_query(chosen, edge, limit_of_page))
        fresh = [document for document in page if document.id not in same]
        read += len(fresh)
        for document in fresh:
            try:
                row = row_in(document)
            except UnreadableDocument:
                unreadable += 1
                continue
            at = row.record.created_at
            same = {*same, document.id} if at == edge else {document.id}
            edge = at
            if chosen.takes(row.id, row.record):
                rows.append(row)
                if len(rows) == limit:
                    break
        is_full = len(rows) == limit
        is_end = not is_full and len(page) < limit_of_page
        if is_full or is_end or not fresh or read >= MOST_READ:
            is_end = is_end or not fresh
            at_end = is_end or edge is None
            following = None if at_end or edge is None else Cursor(edge, tuple(sorted(same))[:MOST_SAME])
            return ListPage(
                _sorted(rows, chosen, now)[:size], following, read, not is_full and not is_end, unreadable, now
            )
        wanted = min(PAGE, 2 * wanted)  # a filter that many meet needs few more


def _query(chosen: RequestFilter, edge: datetime | None, limit: int) -> Query:
    if chosen.tenant is not None:
        query = queries.newest_of(chosen.tenant, chosen.stored_status, chosen.since, edge, limit)
    else:
        since = () if chosen.since is None else (Range("created_at", ">=", chosen.since),)
        until = () if edge is None else (Range("created_at", "<=", edge),)
        query = replace(queries.newest(chosen.stored_status, limit), bounds=(*since, *until))
    return replace(query, fields=ROW_FIELDS)


def _is_exact(chosen: RequestFilter) -> bool:
    """The query alone decides."""
    if chosen.status == AWAITING:
        return False
    return replace(chosen, status=None, tenant=None, since=None, until=None, words={}) == RequestFilter()


def _sorted(rows: Sequence[Row], chosen: RequestFilter, now: datetime) -> tuple[Row, ...]:
    match chosen.sort:
        case "newest":
            return tuple(rows)
        case "longest":
            return tuple(sorted(rows, key=lambda row: request_filter.lasted(row.record, now), reverse=True))
        case "dearest":
            return tuple(sorted(rows, key=lambda row: -row.record.cost_micros))
