"""Ids that another request has already, told before anything is published: intake would reject the second one.

What the store does not say in time is left to intake: a publisher may have no access to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from scripts.cli.data import worker_home
from scripts.cli.data.run.outgoing import OutgoingMessage
from shared.config import Settings
from shared.core.lifecycle import request_record
from shared.core.messages.render_request import RenderRequest
from shared.core.records.versioned import request_in
from shared.core.validation.shapes import Problem, shown
from shared.core.values.documents import Document
from shared.ports.store import Store, StoreUnavailable

PATIENCE = 3.0
"""Seconds for the store."""
PAGE = 200
"""Documents of one read."""
Name = tuple[str, str]
"""Tenant and id."""


async def complaints(settings: Settings, lines: Iterable[OutgoingMessage], file: str | None) -> list[str]:
    """Of requests whose id has other content, in the file or on record."""
    requests = [(line.number, line.meaning) for line in lines if isinstance(line.meaning, RenderRequest)]
    hashes = await _on_record(settings, {_name(request) for _, request in requests})
    numbers: dict[Name, int] = {}
    wrong = []
    for number, request in requests:
        name = _name(request)
        if hashes.setdefault(name, request.content_hash) != request.content_hash:
            where = f"line {numbers[name]}" if name in numbers else "a request on record"
            problem = _taken(request.request_id, where)
            wrong.append(f"{file}:{number}: {problem}" if file else str(problem))
        numbers.setdefault(name, number)
    return wrong


def _taken(request_id: str, where: str) -> Problem:
    return Problem(
        "request_id",
        f"{shown(request_id)}, which {where} has with other content",
        "an id that no other request of this tenant has had in the last 30 days",
        "Use a new id; for the same request again, send the same content.",
    )


async def _on_record(settings: Settings, names: set[Name]) -> dict[Name, str]:
    """Content hashes of the requests that exist."""
    if not names or not worker_home.has_store(settings):
        return {}
    try:
        async with asyncio.timeout(PATIENCE), worker_home.reading(settings) as store:
            return await _hashes(store, sorted(names))
    except (StoreUnavailable, TimeoutError):
        return {}


async def _hashes(store: Store, names: Sequence[Name]) -> dict[Name, str]:
    paths = {path: name for name in names for path in request_record.paths_of(*name)}
    hashes: dict[Name, str] = {}
    for page in _pages(paths):
        for document in await store.get_all(page):
            if not isinstance(document, Document):
                continue
            record, name = request_in(document).record, paths[document.path]
            if record.tenant == name[0]:
                hashes[name] = request_record.content_hash(record)
    return hashes


def _pages(paths: Mapping[str, Name]) -> Iterable[list[str]]:
    flat = list(paths)
    return (flat[start : start + PAGE] for start in range(0, len(flat), PAGE))


def _name(request: RenderRequest) -> Name:
    return request.tenant, request.request_id
