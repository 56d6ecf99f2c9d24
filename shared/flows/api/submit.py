"""A request by HTTP: checked as intake checks it, noted as accepted, and published to the same topic as any other.

1. What intake would reject is refused at once, with every problem named.
2. `accepted/{key}` is written, so that the request is found at once, also by another process. It promises nothing by
   itself: the message counts.
3. The message is published. If that fails, the note is removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from shared.core.lifecycle import request_record
from shared.core.lifecycle.request_view import RequestView, accepted_record, accepted_view, request_view
from shared.core.messages.render_request import RenderRequest
from shared.core.messages.topics import RENDER_REQUESTS
from shared.core.records.note import AcceptedRecord
from shared.core.validation.shapes import Problem, shown
from shared.core.values.documents import Committed, Create, Delete, Document, Update
from shared.flows.api.reading import accepted_path, rejection_since
from shared.flows.intake.intake import failed_model, would_accept
from shared.flows.intake.interactive_bound import check_interactive
from shared.flows.requests.lookup import find_request
from shared.ports import Ports
from shared.ports.messaging import TopicsUnavailable

KEEP_NOTE_FOR = timedelta(days=7)
"""As long as Pub/Sub keeps a message."""


class OtherContent(Exception):
    """The id belongs to another request of the tenant, which is unchanged."""

    def __init__(self, request_id: str) -> None:
        self.problem = Problem(
            "request_id",
            shown(request_id),
            "an id that no other request of this tenant has had in the last 30 days",
            "This id belongs to a request with other content, which is unchanged. Use a new id.",
        )
        super().__init__(str(self.problem))


async def submit(
    ports: Ports, request: RenderRequest, data: bytes, attributes: Mapping[str, str], origin: str
) -> RequestView:
    """`data` is the message. The same content again is the same request: its result is announced once more, at no cost.
    Raises OtherContent, InvalidRequest, StoreUnavailable or TopicsUnavailable; after the last two, call it again."""
    existing = await find_request(ports.store, request.tenant, request.request_id)
    if isinstance(existing, Document):
        if request_record.content_hash(existing.record) != request.content_hash:
            raise OtherContent(request.request_id)
        await ports.topics.publish(RENDER_REQUESTS, data, attributes)
        return request_view(existing.id, existing.record, existing.read_at, origin)
    above = await failed_model(ports.store, request)
    planned = await would_accept(ports, request, existing.read_at, above)
    await check_interactive(ports, request, existing.read_at)
    note = await _note(ports, request, planned.asked_model)
    try:
        await ports.topics.publish(RENDER_REQUESTS, data, attributes)
    except TopicsUnavailable:
        await ports.store.commit(Delete(note.path, note.version))
        raise
    return accepted_view(AcceptedRecord.from_json(note.data), note.read_at, origin)


async def _note(ports: Ports, request: RenderRequest, asked_model: str) -> Document:
    """The note about this very content. Raises OtherContent."""
    path = accepted_path(request.tenant, request.request_id)
    while True:
        before = await ports.store.get(path)
        now = before.read_at
        data = accepted_record(request, asked_model, now, now + KEEP_NOTE_FOR).to_json()
        note = AcceptedRecord.from_json(before.data) if isinstance(before, Document) else None
        if not isinstance(before, Document) or note is None:
            committed = await ports.store.commit(Create(path, data))
        elif note.content_hash == request.content_hash:
            return before
        elif note.expire_at <= now or await _was_rejected(ports, request, note):
            committed = await ports.store.commit(Update(path, data, before.version))
        else:
            raise OtherContent(request.request_id)
        if isinstance(committed, Committed):
            return Document(path, data, committed.versions[0], committed.at)


async def _was_rejected(ports: Ports, request: RenderRequest, note: AcceptedRecord) -> bool:
    since = note.created_at
    return await rejection_since(ports.store, request.tenant, request.request_id, since) is not None
