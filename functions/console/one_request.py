"""One request for its page: the document, its attempts, its image, its spans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from shared.adapters.payloads.image_header import PICTURE_TYPES, content_type
from shared.core.accounting.budget import OVER_BUDGET
from shared.core.lifecycle import queries, request_record, revival
from shared.core.messages import request_key
from shared.core.observability import display
from shared.core.observability.trace_tree import SpanView, of_documents, still_open, with_root
from shared.core.records.attempt import AttemptRecord
from shared.core.records.request import RequestRecord
from shared.core.records.versioned import attempt_in, request_in
from shared.core.values.documents import Document
from shared.core.values.status import Status
from shared.ports import Ports
from shared.ports.store import Store


class StoredRequestState(Struct, frozen=True):
    """As it is stored."""

    request_id: str
    """Its key."""
    record: RequestRecord
    attempts: tuple[AttemptRecord, ...]
    now: datetime

    @property
    def status(self) -> Status:
        return self.record.status

    @property
    def route(self) -> str:
        return str(self.record.route)

    @property
    def cost(self) -> str:
        basis = f" ({self.record.cost_basis})" if self.record.cost_basis else ""
        unknown = self.record.cost_unknown_attempts
        more = f" + {display.count(unknown, 'attempt')} of unknown cost" if unknown else ""
        return f"{display.dollars(self.record.cost_micros)}{basis}{more}"

    @property
    def reasons(self) -> list[str]:
        return list(self.record.reasons)

    def key_of(self, request_id: str) -> str:
        """Of another request of the same tenant."""
        return request_key.key_of(self.record.tenant, request_id)

    @property
    def awaiting_since(self) -> datetime | None:
        """Since when it waits for its interaction at the provider; None if it waits for none."""
        if not self.record.is_awaiting:
            return None
        return self.record.slot_at or self.record.collect_at

    @property
    def awaits_budget(self) -> bool:
        return self.status == "queued" and self.record.reason == OVER_BUDGET

    @property
    def can_be_cancelled(self) -> bool:
        """An interaction at the provider can be stopped; a call that a worker waits for cannot."""
        begun = self.record.has_begun and not self.record.is_awaiting
        return not self.record.is_final and not begun

    @property
    def can_be_revived(self) -> bool:
        return self.status in revival.REVIVABLE and self.record.revived_as is None


async def find(store: Store, request_id: str) -> StoredRequestState | None:
    """None if there is no such request."""
    document = await store.get(request_record.path(request_id))
    if not isinstance(document, Document):
        return None
    request = request_in(document)
    attempts = await store.query(queries.attempts_of(request_id)) if request.record.attempt_count else []
    records = tuple(attempt_in(attempt).record for attempt in attempts)
    return StoredRequestState(request_id, request.record, records, request.read_at)


async def image_of(ports: Ports, uri: str) -> tuple[bytes, str]:
    """Bytes and content type; anything that browsers cannot show is a download. Raises ImagesUnavailable."""
    data = await ports.images.read(uri)
    kind = content_type(data)
    return data, kind if kind in PICTURE_TYPES else "application/octet-stream"


def spans_of(
    look: StoredRequestState, read: Callable[[str], Sequence[SpanView]], now: datetime
) -> tuple[list[SpanView], bool]:
    """Also whether they are complete; otherwise they are reconstructed from the store."""
    spans = read(look.record.trace_id)
    if spans:
        return [*with_root(spans, look.record, now), *still_open(look.record, look.attempts, now)], True
    return of_documents(look.record, look.attempts, now), False
