"""An operator revives a request that has ended: a new request, published as any other and linked to the old one.

The old document is marked first, then the new request is published under an id derived from the old one. A process that
was interrupted in between repeats this, and it is the same new request.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from shared.core.lifecycle import request_record, revival
from shared.core.messages.render_request import RenderRequest, named_id
from shared.core.messages.request_key import id_of
from shared.core.messages.topics import RENDER_REQUESTS
from shared.core.observability import events
from shared.core.records.versioned import Request, request_in, update
from shared.core.validation.shapes import Problem, shown
from shared.core.values.documents import Absent, Conflict, Document
from shared.flows.requests.lookup import find_request
from shared.ports.messaging import Topics
from shared.ports.store import Store
from shared.ports.telemetry import Events


class ReviveRefused(Exception):
    """The request cannot be revived; nothing was changed."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.field = problem.field
        self.found = problem.found
        self.allowed = problem.allowed
        self.remedy = problem.remedy


class Reach(Protocol):
    """The ports that reviving needs; `Ports` has them."""

    @property
    def store(self) -> Store: ...

    @property
    def topics(self) -> Topics: ...

    @property
    def signals(self) -> Events: ...


class Revived(Struct, frozen=True):
    request_id: str
    """Of the new request."""
    notes: tuple[str, ...] = ()
    """What differs from the old request, for a person."""
    before: bool = False
    """It was revived before, and the new request exists: nothing was published."""


async def revive(ports: Reach, key: str, actor: str) -> str:
    """The id of the new request, of the same tenant; the same however often it is called.

    Raises ReviveRefused, StoreUnavailable or TopicsUnavailable; after the last two it can be called again.
    """
    return (await revive_with(ports, key, actor)).request_id


async def revive_with(ports: Reach, key: str, actor: str, *, deadline: datetime | None = None) -> Revived:
    """The same with a new deadline, and what there is to say about it. Without one, a deadline that has passed is
    dropped."""
    while True:
        document = await ports.store.get(request_record.path(key))
        if isinstance(document, Absent):
            remedy = "Ids are kept for 30 days after the end: submit the request again."
            raise ReviveRefused(Problem("request_id", shown(key), "the id of a request that ended", remedy))
        old = request_in(document)
        tenant, new_id = old.record.tenant, old.record.revived_as
        marked = new_id is not None
        if new_id is not None and isinstance(await find_request(ports.store, tenant, new_id), Document):
            return Revived(new_id, before=True)
        planned = revival.plan(
            id_of(key), old.record, new_id or await _free_id(ports.store, old), old.read_at, deadline
        )
        if isinstance(planned, Problem):
            raise ReviveRefused(planned)
        if not marked and not await _mark(ports.store, old, planned.request_id, actor):
            continue
        await ports.topics.publish(RENDER_REQUESTS, planned.data, {revival.ATTRIBUTE: id_of(key)})
        ports.signals.emit(
            events.REVIVED,
            request_id=key,
            revived_as=planned.request_id,
            actor=actor,
            notes=list(planned.notes),
            trace_id=old.record.trace_id,
        )
        return Revived(planned.request_id, planned.notes)


async def predecessor(store: Store, attributes: Mapping[str, str], request: RenderRequest) -> Request | None:
    """The request that this message says it revives: of the same tenant, and marked with this new id."""
    old_id = named_id({"request_id": attributes.get(revival.ATTRIBUTE)})
    if old_id is None:
        return None
    old = await find_request(store, request.tenant, old_id)
    if isinstance(old, Absent):
        return None
    return old if old.record.revived_as == request.request_id else None


async def _free_id(store: Store, old: Request) -> str:
    ids = revival.new_ids(id_of(old.id), is_revival=old.record.revives is not None)
    while True:
        new_id = next(ids)
        taken = await find_request(store, old.record.tenant, new_id)
        if isinstance(taken, Absent):
            return new_id


async def _mark(store: Store, old: Request, new_id: str, actor: str) -> bool:
    """False if another process was faster."""
    now = old.read_at
    after = replace(old.record, revived_as=new_id, revived_by=actor, revived_at=now, updated_at=now)
    return not isinstance(await store.commit(update(old, after)), Conflict)
