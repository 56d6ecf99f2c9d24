"""The list of requests: filters, pages, a gallery, and bulk changes after a preview."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from functions.console.desk import desk_of
from functions.console.flag_forms import words
from functions.console.guard import Form, keep_cookie, token_for
from functions.console.view import page, problem
from shared.core.lifecycle import request_filter, request_record
from shared.core.lifecycle.request_filter import RequestFilter
from shared.core.messages.pubsub_messages import cancellation
from shared.core.messages.render_request import PRIORITIES
from shared.core.messages.request_key import KEY_WORDS, id_of, is_key
from shared.core.messages.topics import RENDER_REQUESTS
from shared.core.observability import events
from shared.core.provider.outcome_code import OF_REQUESTS
from shared.core.records.versioned import Row, row_in
from shared.core.routing.flag_kinds import NAMES
from shared.core.validation.shapes import Problem
from shared.core.values.documents import Document
from shared.core.values.lanes import ASKABLE
from shared.core.values.status import Status
from shared.flows.intake import revive as reviving
from shared.flows.operations import request_list
from shared.flows.operations.request_list import Cursor, ListPage
from shared.ports import Ports

SIZE = 50
MOST_CHANGED = 300
"""Per step: their ids are in the form of the preview."""
AT_ONCE = 10


class Bulk(Struct, frozen=True):
    """What a bulk change would do."""

    action: str
    rows: tuple[Row, ...]
    """Requests that would be changed."""
    skipped: Counter[Status]
    """By status: those that match and cannot be changed this way."""
    more: bool
    """There are more than one step changes."""

    @property
    def tenants(self) -> Counter[str]:
        return Counter(row.record.tenant for row in self.rows)

    @property
    def models(self) -> Counter[str]:
        return Counter(row.record.route.model for row in self.rows)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(row.record.outcome_code or row.record.reason or "new" for row in self.rows)


async def listed(request: Request) -> Response:
    chosen, wrong, rows = await _read(request, SIZE)
    view = "gallery" if request.query_params.get("view") == "gallery" else "table"
    values: dict[str, Any] = {
        "list": rows, "filter": chosen, "wrong": [words(one) for one in wrong], "view": view,
        "lasted": request_filter.lasted, "name_of": id_of, "done": request.query_params.get("done", "")[:12],
        "count": request.query_params.get("count", "")[:6], "failed": request.query_params.get("failed", "")[:6],
        **_choices(request),
    }  # fmt: skip
    return page(request, "requests.html", 422 if wrong else 200, **values)


def _choices(request: Request) -> dict[str, Any]:
    return {
        "statuses": request_filter.STATUSES, "outcomes": OF_REQUESTS, "lanes": ASKABLE, "priorities": PRIORITIES,
        "models": sorted(desk_of(request).ports.catalogue.models), "sorts": request_filter.SORTS, "flags": NAMES,
    }  # fmt: skip


async def _read(request: Request, size: int) -> tuple[RequestFilter, list[Problem], ListPage]:
    ports = desk_of(request).ports
    now = (await ports.store.get("summary/summary")).read_at
    chosen, wrong = request_filter.parse(dict(request.query_params), ports.catalogue, now)
    cursor = Cursor.parse(request.query_params.get("before", ""))
    return chosen, wrong, await request_list.read(ports.store, chosen, cursor, size, now)


async def search(request: Request) -> Response:
    """Directly to a request if the text is its id; else to the list of ids that contain the text."""
    text = request.query_params.get("id", "").strip()
    base = request.scope.get("root_path", "")
    if is_key(text):
        document = await desk_of(request).ports.store.get(request_record.path(text))
        if isinstance(document, Document):
            return RedirectResponse(f"{base}/requests/{quote(text)}", 303)
    _, wrong = request_filter.parse({"text": text}, desk_of(request).ports.catalogue, _ANY)
    if wrong or not text:
        return problem(request, 422, "Not a request id", f"found {text[:80]!r}; allowed: {KEY_WORDS}, or a part of it")
    return RedirectResponse(f"{base}/requests?text={quote(text)}", 303)


async def confirm_bulk(request: Request) -> Response:
    """What would be changed, by number and by name; nothing is changed yet."""
    action = request.path_params["action"]
    if action not in _CAN:
        raise HTTPException(404, f"found {action[:40]!r}; allowed: {', '.join(_CAN)}")
    chosen, wrong, rows = await _read(request, MOST_CHANGED + 1)
    if wrong:
        return problem(request, 422, "Nothing was changed", "; ".join(words(one) for one in wrong))
    able = [row for row in rows.rows if _CAN[action](row.record)]
    skipped = Counter(row.record.status for row in rows.rows if not _CAN[action](row.record))
    bulk = Bulk(action, tuple(able[:MOST_CHANGED]), skipped, rows.next is not None)
    values: dict[str, Any] = {
        "bulk": bulk,
        "filter": chosen,
        "token": await token_for(request),
        "now": rows.now,
        "name_of": id_of,
    }
    return keep_cookie(request, page(request, "bulk.html", **values))


async def cancel_all(request: Request, form: Form) -> Response:
    """Those in the form, each published as any caller would."""
    ports, actor = desk_of(request).ports, request.state.actor

    async def cancel(row: Row) -> None:
        await ports.topics.publish(RENDER_REQUESTS, cancellation(row.record.tenant, id_of(row.id)))
        trace_id = row.record.trace_id
        ports.signals.emit(events.OPERATED, action="cancel", request_id=row.id, actor=actor, trace_id=trace_id)

    return await _change_all(request, form, "cancel", cancel)


async def revive_all(request: Request, form: Form) -> Response:
    ports, actor = desk_of(request).ports, request.state.actor

    async def revive(row: Row) -> None:
        await reviving.revive(ports, row.id, actor)

    return await _change_all(request, form, "revive", revive)


async def _change_all(request: Request, form: Form, action: str, change: Any) -> Response:
    """Exactly those that the preview named, in their current state: a request that changed since is skipped and
    counted."""
    ports = desk_of(request).ports
    keys = [key for key in form.get("keys", "").split() if is_key(key)][:MOST_CHANGED]
    documents = await _all(ports, keys)
    able = [row for row in documents if _CAN[action](row.record)]
    failed = len(keys) - len(able)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(row: Row) -> int:
        async with gate:
            try:
                await change(row)
            except reviving.ReviveRefused:
                return 1
            return 0

    steps: list[Awaitable[int]] = [one(row) for row in able]
    refused = sum(await asyncio.gather(*steps))
    done, left = len(able) - refused, failed + refused
    base = request.scope.get("root_path", "")
    back = form.get("query", "")[:500]
    chosen, _ = request_filter.parse(_parsed(back), ports.catalogue, _ANY)
    more = f"done={action}&count={done}&failed={left}"
    return RedirectResponse(f"{base}/requests?{chosen.address()}&{more}", 303)


async def _all(ports: Ports, keys: list[str]) -> list[Row]:
    documents = await ports.store.get_all([request_record.path(key) for key in keys]) if keys else []
    return [row_in(document) for document in documents if isinstance(document, Document) and document.is_readable]


def _parsed(query: str) -> dict[str, str]:
    return dict(parse_qsl(query, max_num_fields=32))


_ANY = datetime(2000, 1, 1, tzinfo=UTC)
"""A filter on fields without a time."""
_CAN = {"cancel": request_filter.can_be_cancelled, "revive": request_filter.can_be_revived}
