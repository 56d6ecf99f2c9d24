"""A tenant's requests as its caller may see them: one, one until it ends, or a page of many."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from shared.core.lifecycle import queries
from shared.core.lifecycle.queries import LONG_AGO
from shared.core.lifecycle.request_view import RequestView, accepted_view, has_ended, rejected_view, request_view
from shared.core.messages.request_key import key_of
from shared.core.records.note import AcceptedRecord, RejectedRecord
from shared.core.records.request import RequestRow
from shared.core.records.versioned import Request, request_in
from shared.core.times.moments import read_moment
from shared.core.validation.shapes import Problem
from shared.core.values.documents import Document, Query
from shared.flows.requests.lookup import find_request
from shared.ports import Ports
from shared.ports.store import Store

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between looks at a request that a caller waits for."""
HEARTBEAT = 15.0
"""Seconds: proxies close a stream that is silent for longer."""
LONGEST_PAGE = 200
MOST_PAGES = 5
"""Pages of documents read for one answer if a filter matches few of them."""
MOST_SKIPPED = 1_000
"""Documents of one instant that a cursor names; each has the next page read one document more."""


class InvalidCursor(Exception):
    """The cursor is not one of ours."""


class Lookup(Struct, frozen=True):
    """One request at one look."""

    view: RequestView
    image_uri: str | None = None


class Page(Struct, frozen=True):
    views: tuple[RequestView, ...]
    cursor: str | None
    """For the next page; None if this is the last."""


class Filter(Struct, frozen=True):
    tenant: str
    status: str | None = None
    model: frozenset[str] = frozenset()
    """Ids: the requested or the planned model is one of them."""
    group: str | None = None
    since: datetime | None = None


async def find(ports: Ports, tenant: str, request_id: str, origin: str) -> Lookup | None:
    """None if the tenant has no such request. An accepted request that is not on record yet is found, too.

    So is an id that has nothing but rejected messages: their lists and webhooks link to it.
    """
    document = await find_request(ports.store, tenant, request_id)
    if isinstance(document, Document):
        return _lookup(document, origin)
    marker = await ports.store.get(accepted_path(tenant, request_id))
    note = AcceptedRecord.from_json(marker.data) if isinstance(marker, Document) else None
    if note is None or note.expire_at <= marker.read_at:
        rejected = await rejection_since(ports.store, tenant, request_id, LONG_AGO)
        return Lookup(rejected_view(rejected, origin)) if rejected is not None else None
    document = await find_request(ports.store, tenant, request_id)  # it may have come between the two looks
    if isinstance(document, Document):
        return _lookup(document, origin)
    rejection = await rejection_since(ports.store, tenant, request_id, note.created_at)
    return Lookup(accepted_view(note, marker.read_at, origin, rejection))


async def wait(ports: Ports, tenant: str, request_id: str, origin: str, seconds: float) -> Lookup | None:
    """As `find`, once the request has ended or the time is up."""
    give_up_at = ports.clock.monotonic() + seconds
    pause = FIRST_PAUSE
    while True:
        current = await find(ports, tenant, request_id, origin)
        left = give_up_at - ports.clock.monotonic()
        if current is None or has_ended(current.view) or left <= 0:
            return current
        await ports.clock.sleep(min(pause, left))
        pause = min(1.5 * pause, LONGEST_PAUSE)


async def changes(
    ports: Ports, tenant: str, request_id: str, origin: str, lasts: timedelta
) -> AsyncIterator[RequestView | None]:
    """The request, and again at each change of its status, reason, route or attempts, until it has ended. None is a
    heartbeat. Ends after `lasts` at the latest, and when the request no longer exists."""
    ends_at = ports.clock.monotonic() + lasts.total_seconds()
    last: object = None
    silent_since = ports.clock.monotonic()
    pause = FIRST_PAUSE
    while True:
        current = await find(ports, tenant, request_id, origin)
        if current is None:
            return
        mark = _mark(current.view)
        if mark != last:
            yield current.view
            last, silent_since, pause = mark, ports.clock.monotonic(), FIRST_PAUSE
        elif ports.clock.monotonic() - silent_since >= HEARTBEAT:
            yield None
            silent_since = ports.clock.monotonic()
        left = ends_at - ports.clock.monotonic()
        if has_ended(current.view) or left <= 0:
            return
        await ports.clock.sleep(min(pause, left))
        pause = min(1.5 * pause, LONGEST_PAUSE)


async def page(ports: Ports, wanted: Filter, limit: int, cursor: str | None, origin: str) -> Page:
    """Newest first. A page may be short, or empty, and still have a cursor: the filter matched little of what was read.

    Raises InvalidCursor.
    """

    def query(until: datetime | None, count: int) -> Query:
        return queries.newest_of(wanted.tenant, wanted.status, wanted.since, until, count)

    def read(document: Document) -> tuple[datetime, RequestView | None]:
        request = request_in(document)
        shown = _takes(wanted, request.record)
        view = request_view(request.id, request.record, request.read_at, origin) if shown else None
        return request.record.created_at, view

    return await _page(ports.store, query, read, limit, cursor)


async def rejected_page(ports: Ports, wanted: Filter, limit: int, cursor: str | None, origin: str) -> Page:
    """The messages of that tenant that could not be taken, newest first. Raises InvalidCursor."""

    def query(until: datetime | None, count: int) -> Query:
        return queries.rejections_of_tenant(wanted.tenant, wanted.since, until, count)

    def read(document: Document) -> tuple[datetime, RequestView | None]:
        record = RejectedRecord.from_json(document.data)
        return record.created_at, rejected_view(record, origin)

    return await _page(ports.store, query, read, limit, cursor)


async def _page(
    store: Store,
    query: Callable[[datetime | None, int], Query],
    read: Callable[[Document], tuple[datetime, RequestView | None]],
    limit: int,
    cursor: str | None,
) -> Page:
    """`query` gets the moment to begin at and how many; `read` gives a document's moment and, if taken, its view."""
    edge, skipped = _place(cursor) if cursor is not None else (None, frozenset[str]())
    views: list[RequestView] = []
    for _ in range(MOST_PAGES):
        count = limit + len(skipped) + 1
        documents = await store.query(query(edge, count))
        for document in documents:
            if document.id in skipped or not document.is_readable:
                continue
            if len(views) == limit:
                return Page(tuple(views), _cursor(edge, skipped))
            at, view = read(document)
            edge, skipped = at, (skipped if at == edge else frozenset()) | {document.id}
            if view is not None:
                views.append(view)
        if len(documents) < count:
            return Page(tuple(views), None)
    return Page(tuple(views), _cursor(edge, skipped))


def accepted_path(tenant: str, request_id: str) -> str:
    return f"accepted/{key_of(tenant, request_id)}"


async def rejection_since(store: Store, tenant: str, request_id: str, since: datetime) -> RejectedRecord | None:
    """The newest rejection of a message of that tenant and id."""
    documents = await store.query(queries.rejections_of(tenant, request_id, 5))
    records = [RejectedRecord.from_json(document.data) for document in documents if document.is_readable]
    return next((record for record in records if record.created_at >= since), None)


def _mark(view: RequestView) -> object:
    return view.status, view.reason, view.attempt_count, view.reasons


def _lookup(request: Request, origin: str) -> Lookup:
    return Lookup(request_view(request.id, request.record, request.read_at, origin), request.record.image_uri)


def _takes(wanted: Filter, request: RequestRow) -> bool:
    models = {request.asked_model, request.route.model}
    return wanted.group in (None, request.group) and (not wanted.model or bool(models & wanted.model))


def _cursor(edge: datetime | None, skipped: frozenset[str]) -> str | None:
    if edge is None:
        return None
    text = json.dumps([edge.astimezone(UTC).isoformat(), sorted(skipped)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(cursor: str) -> tuple[datetime, frozenset[str]]:
    """Where the previous page ended: its last moment, and its requests of that moment. Raises InvalidCursor."""
    try:
        content: Any = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        edge, skipped = content
        moment = read_moment(edge)
        if moment is None or len(skipped) > MOST_SKIPPED or not all(isinstance(key, str) for key in skipped):
            raise ValueError("not a moment and keys")
        return moment, frozenset(skipped)
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise InvalidCursor from error


CURSOR = Problem("cursor", "a text that is no cursor", "the `cursor` of the page before", "Begin without a cursor.")
