"""One request for its page: the document, its attempts, its image, its spans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from shared.adapters.payloads.image_header import PICTURE_TYPES, content_type
from shared.core.lifecycle import queries, request_record, revival
from shared.core.lifecycle.request_record import FINAL
from shared.core.messages import request_key
from shared.core.observability import display
from shared.core.observability.trace_tree import SpanView, of_documents, still_open, with_root
from shared.core.values.documents import Document, Fields
from shared.core.values.route import Route
from shared.ports import Ports
from shared.ports.store import Store


class Looked(Struct, frozen=True):
    """As the store had it."""

    request_id: str
    """Its key."""
    data: Fields
    attempts: tuple[Fields, ...]
    now: datetime

    @property
    def status(self) -> str:
        return str(self.data["status"])

    @property
    def route(self) -> str:
        return str(Route.from_json(self.data["route"]))

    @property
    def asked(self) -> str:
        ask = self.data["ask"]
        what = ask["model"] or f"the {ask['purpose']} model"
        ratio = f" {ask['aspect_ratio']}" if ask["aspect_ratio"] else ""
        cap = f", at most {display.dollars(ask['max_cost_micros'])}" if ask["max_cost_micros"] is not None else ""
        return f"{ask['lane']} {what} {ask['image_size']}{ratio}{cap}"

    @property
    def cost(self) -> str:
        basis = f" ({self.data['cost_basis']})" if self.data["cost_basis"] else ""
        unknown = self.data["cost_unknown_attempts"]
        more = f" + {unknown} attempts of unknown cost" if unknown else ""
        return f"{display.dollars(self.data['cost_micros'])}{basis}{more}"

    @property
    def reasons(self) -> list[str]:
        receipt = self.data["receipt"]
        return list(receipt["reasons"] if receipt else self.data["route_reasons"])

    def key_of(self, request_id: str) -> str:
        """Of another request of the same tenant."""
        return request_key.key_of(self.data["tenant"], request_id)

    @property
    def awaiting_since(self) -> datetime | None:
        """Since when it waits for its interaction at the provider; None where it waits for none."""
        if not request_record.is_awaiting(self.data):
            return None
        started: datetime | None = self.data["slot_at"] or self.data["collect_at"]
        return started

    @property
    def can_be_cancelled(self) -> bool:
        """An interaction at the provider can be stopped; a call that a worker waits for cannot."""
        begun = request_record.has_begun(self.data) and not request_record.is_awaiting(self.data)
        return not has_ended(self.data) and not begun

    @property
    def can_be_revived(self) -> bool:
        return self.status in revival.REVIVABLE and self.data.get("revived_as") is None


def has_ended(data: Fields) -> bool:
    return data["status"] in FINAL


async def find(store: Store, request_id: str) -> Looked | None:
    """None where there is no such request."""
    found = await store.get(request_record.path(request_id))
    if not isinstance(found, Document):
        return None
    attempts = await store.query(queries.attempts_of(request_id)) if found.data["attempt_count"] else []
    return Looked(request_id, found.data, tuple(each.data for each in attempts), found.read_at)


async def image_of(ports: Ports, uri: str) -> tuple[bytes, str]:
    """Bytes and content type; what is no image that browsers show is a download. Raises ImagesUnavailable."""
    data = await ports.images.read(uri)
    kind = content_type(data)
    return data, kind if kind in PICTURE_TYPES else "application/octet-stream"


def spans_of(found: Looked, read: Callable[[str], Sequence[SpanView]], now: datetime) -> tuple[list[SpanView], bool]:
    """And whether they are all; else they are what the store can tell."""
    spans = read(found.data["trace_id"])
    if spans:
        return [*with_root(spans, found.data, now), *still_open(found.data, found.attempts, now)], True
    return of_documents(found.data, found.attempts, now), False
