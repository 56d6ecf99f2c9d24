"""One request as the store keeps it: `requests/{key}` and `requests/{key}/attempts/{n}`; see request_key.py."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from msgspec import Struct

from shared.core.messages.render_request import RenderRequest, hash_of_content
from shared.core.messages.request_key import id_of, key_of, keys_of
from shared.core.records.request import QueuedRow, RequestRecord, UnusedSlot
from shared.core.routing.context import NO_HISTORY, RequestHistory
from shared.core.routing.ladder import Planned
from shared.core.routing.requirements import Requirements
from shared.core.values.documents import Fields
from shared.core.values.trace_context import Place

RENEW_EVERY = timedelta(seconds=15)
KEEP_FOR = timedelta(days=30)
"""How long an id is remembered after its end."""


class Head(Struct, frozen=True):
    """A queued request as the pump reads it: no prompt, no references."""

    request_id: str
    """Its key."""
    version: str
    ask: Requirements
    model: str
    """The model id it queues for."""
    priority: str
    tenant: str
    fair_tag: float
    deadline: datetime | None
    round: int
    release: int
    unused_slot: UnusedSlot | None
    late_count: int
    sleeps: bool
    """It has a `wake_at`, and is not in its queue until that is removed."""
    history: RequestHistory = NO_HISTORY
    traceparent: str = ""
    queued_at: datetime | None = None
    """When its current wait began."""
    circuit: str = ""
    """Of its last route."""

    @classmethod
    def of(cls, request_id: str, version: str, data: Fields) -> Head:
        """Raises msgspec.ValidationError."""
        return cls.of_record(request_id, version, QueuedRow.from_json(data))

    @classmethod
    def of_record(cls, request_id: str, version: str, record: QueuedRow | RequestRecord) -> Head:
        return cls(
            request_id=request_id,
            version=version,
            ask=record.ask,
            model=record.model,
            priority=record.priority,
            tenant=record.tenant,
            fair_tag=record.fair_tag,
            deadline=record.deadline,
            round=record.round,
            release=record.release,
            unused_slot=record.unused_slot,
            late_count=record.late_count,
            sleeps=record.wake_at is not None,
            history=history_of(request_id, record),
            traceparent=record.traceparent,
            queued_at=record.queued_at,
            circuit=record.route.circuit,
        )

    @property
    def trace_id(self) -> str | None:
        place = Place.parse(self.traceparent)
        return None if place is None else place.trace_id


def history_of(request_id: str, record: QueuedRow | RequestRecord) -> RequestHistory:
    """The request's history so far."""
    return RequestHistory(
        request_id=request_id,
        tenant=record.tenant,
        deadline=record.deadline,
        spent_micros=record.cost_micros + record.unknown_estimate_micros,
        avoided=record.avoided,
        sick_on=record.sick_on,
        no_image_count=record.no_image_count,
    )


def path(key: str) -> str:
    return f"requests/{key}"


def path_of(tenant: str, request_id: str) -> str:
    """Where a request is stored that was accepted since ids are per tenant."""
    return path(key_of(tenant, request_id))


def paths_of(tenant: str, request_id: str) -> tuple[str, str]:
    """Where a request may be stored, the usual place first: its document names the tenant (see `is_of`)."""
    first, second = keys_of(tenant, request_id)
    return path(first), path(second)


def attempts(key: str) -> str:
    """The collection of a request's attempts."""
    return f"requests/{key}/attempts"


def attempt_path(key: str, number: int) -> str:
    """Zero-padded, so that attempts sort by id."""
    return f"{attempts(key)}/{number:04d}"


def image_key(key: str, tenant: str, created_at: datetime, number: int) -> str:
    """`{tenant}/{created date}/{hash of the id}/{attempt}.`, to which the extension is added."""
    digest = hashlib.sha256(id_of(key).encode()).hexdigest()[:16]
    return f"{tenant}/{created_at.date().isoformat()}/{digest}/{number}."


def new_record(
    request: RenderRequest,
    planned: Planned,
    *,
    fair_tag: float,
    message_id: str,
    trace_id: str,
    traceparent: str,
    now: datetime,
    above: str | None = None,
    caller_span_id: str | None = None,
    published_at: datetime | None = None,
    revives: str | None = None,
) -> RequestRecord:
    """A request as intake writes it: queued, unpaid. Every field that a query uses is present from the start.
    `traceparent` is the position of its root span, `caller_span_id` the caller's span that the root belongs to,
    `revives` the id of the request that this one revives."""
    return RequestRecord(
        status="queued",
        reason="new",
        request_id=request.request_id,
        request=request.to_json(),
        content_hash=request.content_hash,
        ask=Requirements.of(request, above),
        tenant=request.tenant,
        group=request.group,
        model=planned.route.model,
        priority=request.priority,
        fair_tag=fair_tag,
        deadline=request.deadline,
        asked_model=planned.asked_model,
        route=planned.route,
        route_reasons=planned.reasons,
        thinking=planned.thinking,
        estimate_micros=planned.estimate_micros,
        input_tokens=planned.input_tokens,
        least_estimate_micros=planned.least_estimate_micros,
        gateway=planned.gateway,
        revives=revives,
        message_id=message_id,
        trace_id=trace_id,
        traceparent=traceparent,
        caller_span_id=caller_span_id,
        published_at=min(published_at or now, now),
        queued_at=now,
        created_at=now,
        updated_at=now,
    )


def content_hash(record: RequestRecord) -> str:
    """The hash of the content on record, computed as today: the hash stored beside it may be an earlier release's."""
    return hash_of_content(record.request)
