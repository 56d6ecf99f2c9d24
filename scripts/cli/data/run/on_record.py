"""What the store knows about requests before they are published: ids with other content, and the worker's lanes.

What it does not answer in time is left to intake: a publisher may have no access to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from scripts.cli.data import worker_home
from scripts.cli.data.run.outgoing import OutgoingMessage
from shared.config import Settings
from shared.core.lifecycle import request_record
from shared.core.limits.enforced import enforced
from shared.core.messages.render_request import RenderRequest
from shared.core.records.versioned import request_in
from shared.core.validation.shapes import Problem, shown
from shared.core.values.documents import Document
from shared.core.values.lanes import STANDARD
from shared.flows.pump_status import PUMP
from shared.ports.store import Store, StoreUnavailable

PATIENCE = 3.0
"""Seconds for the store."""
PAGE = 200
"""Documents of one read."""
Name = tuple[str, str]
"""Tenant and id."""


class StoredFacts(Struct, frozen=True):
    hashes: Mapping[Name, str] = {}
    """Of the content of requests that exist."""
    lanes: tuple[str, ...] = ()
    """Of the worker that ran last; empty if they are unknown."""


async def read(settings: Settings, lines: Iterable[OutgoingMessage], *, is_new: bool) -> StoredFacts:
    """`is_new`: the id was generated here and is not in use."""
    requests = [line.meaning for line in lines if isinstance(line.meaning, RenderRequest)]
    names = sorted({_name(request) for request in requests}) if not is_new else []
    needs_lanes = any(request.lane != STANDARD for request in requests)
    if not (names or needs_lanes) or not worker_home.has_store(settings):
        return StoredFacts()
    try:
        async with asyncio.timeout(PATIENCE), worker_home.reading(settings) as store:
            return StoredFacts(await _hashes(store, names), await _lanes(store) if needs_lanes else ())
    except (StoreUnavailable, TimeoutError):
        return StoredFacts()


def complaints(on_record: StoredFacts, lines: Iterable[OutgoingMessage], file: str | None) -> list[str]:
    """Requests whose id has other content, in the file or on record."""
    hashes, numbers = dict(on_record.hashes), dict[Name, int]()
    wrong = []
    for line in lines:
        if not isinstance(line.meaning, RenderRequest):
            continue
        name, content_hash = _name(line.meaning), line.meaning.content_hash
        if hashes.setdefault(name, content_hash) != content_hash:
            where = f"line {numbers[name]}" if name in numbers else "a request on record"
            problem = _taken(line.meaning.request_id, where)
            wrong.append(f"{file}:{line.number}: {problem}" if file else str(problem))
        numbers.setdefault(name, line.number)
    return wrong


def _taken(request_id: str, where: str) -> Problem:
    return Problem(
        "request_id",
        f"{shown(request_id)}, which {where} has with other content",
        "an id that no other request of this tenant has had in the last 30 days",
        "Use a new id; for the same request again, send the same content.",
    )


async def _hashes(store: Store, names: Sequence[Name]) -> dict[Name, str]:
    paths = {path: name for name in names for path in request_record.paths_of(*name)}
    flat, hashes = list(paths), dict[Name, str]()
    for start in range(0, len(flat), PAGE):
        for document in await store.get_all(flat[start : start + PAGE]):
            if not isinstance(document, Document):
                continue
            record, name = request_in(document).record, paths[document.path]
            if record.tenant == name[0]:
                hashes[name] = request_record.content_hash(record)
    return hashes


async def _lanes(store: Store) -> tuple[str, ...]:
    pump = await store.get(PUMP)
    running = enforced(pump.data) if isinstance(pump, Document) else None
    return running.lanes if running is not None else ()


def _name(request: RenderRequest) -> Name:
    return request.tenant, request.request_id
