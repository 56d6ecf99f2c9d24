"""The public view of a request: what its caller may know, in a fixed form. Pure.

The HTTP API, result webhooks and the `--json` of every verb that shows requests use it. Within one `version`, fields
are added, never renamed or removed. It contains no prompt and nothing about how the worker stores its documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from urllib.parse import quote

from msgspec import Meta, Struct

from shared.core.messages.pubsub_messages import Event, event_of, text_of
from shared.core.messages.render_request import DEFAULT_TENANT, RenderRequest
from shared.core.messages.request_key import id_of
from shared.core.records.note import AcceptedImage, AcceptedRecord, RejectedRecord
from shared.core.records.receipt import Receipt
from shared.core.records.request import RequestRecord
from shared.core.values.codec import stored_value
from shared.core.values.money import usd
from shared.core.values.status import FINAL

VERSION = 1
ACCEPTED = "accepted"
"""Published, and not on record yet: the worker accepts it within seconds."""
REJECTED = "rejected"
"""The message was rejected: there is no request, and its id can be used again."""
NO_LABELS: Mapping[str, str] = {}
CORRECT_IT = "Correct the named fields and submit it again."
OPEN = (ACCEPTED, "queued", "released", "rendering", "batched")
ENDED = (*FINAL, REJECTED)
STATUSES = (*OPEN, *ENDED)
STATUSES_ON_RECORD = tuple(status for status in STATUSES if status not in (ACCEPTED, REJECTED))
STATUSES_IN_LISTS = (*STATUSES_ON_RECORD, REJECTED)
BASE = "/v1/requests"

Moment = Annotated[datetime, Meta(tz=True)]


class RequestedRoute(Struct, frozen=True):
    model: str
    image_size: str
    lane: str


class DeliveredRoute(Struct, frozen=True):
    model: str
    image_size: str
    lane: str
    width: Annotated[int, Meta(description="Pixels.")]
    height: Annotated[int, Meta(description="Pixels.")]


class OutcomeView(Struct, frozen=True):
    code: Annotated[str, Meta(description="For programs; each code has a heading in RUNBOOK.md.")]
    message: str
    advice: Annotated[str, Meta(description="What to do now; empty where nothing is to be done.")]


class Links(Struct, frozen=True):
    self: str
    image: str
    events: str
    cancel: str


class RequestView(Struct, frozen=True):
    """One request, as its caller may see it."""

    version: Annotated[int, Meta(description="Of this form.")]
    request_id: Annotated[str, Meta(description="The idempotency key, unique within the tenant.")]
    tenant: str
    group: str | None
    status: Annotated[
        str,
        Meta(
            description="accepted, queued, released, rendering, batched; at the end succeeded, refused, failed, "
            "expired, cancelled, or rejected for a message that could not be taken.",
            extra_json_schema={"enum": list(STATUSES)},
        ),
    ]
    reason: Annotated[str | None, Meta(description="Why it waits.")]
    created_at: Moment
    finished_at: Moment | None
    wait_seconds: Annotated[
        float | None,
        Meta(description="From acceptance to the start of the last attempt, or so far where none started."),
    ]
    requested: RequestedRoute | None
    delivered: DeliveredRoute | None
    image_url: Annotated[str | None, Meta(description="Where the image is; null while there is none.")]
    image_expires_at: Annotated[Moment | None, Meta(description="Until when `image_url` works; null: it stays.")]
    cost_usd: Annotated[
        str, Meta(description="Known cost of all attempts in dollars, six decimals.", pattern=r"^[0-9]+\.[0-9]{6}$")
    ]
    cost_basis: Annotated[
        str | None,
        Meta(description="metered (from tokens), listed (per image) or unknown; null where nothing was paid."),
    ]
    attempt_count: int
    reasons: Annotated[tuple[str, ...], Meta(description="Why the route differs from what was requested.")]
    mismatches: Annotated[tuple[str, ...], Meta(description="How the image differs from what was ordered.")]
    outcome: OutcomeView | None
    labels: dict[str, str]
    trace_id: str | None
    links: Links


class Image(Struct, frozen=True):
    """Where a caller gets the image, for a view that is sent outside the API."""

    url: str
    expires_at: datetime | None = None


def has_ended(view: RequestView) -> bool:
    return view.status in ENDED


def links(tenant: str, request_id: str, origin: str) -> Links:
    """`origin` is `https://HOST`, or empty for addresses within the API."""
    path = f"{origin}{BASE}/{quote(request_id, safe='')}"
    query = "" if tenant == DEFAULT_TENANT else f"?tenant={quote(tenant, safe='')}"
    return Links(f"{path}{query}", f"{path}/image{query}", f"{path}/events{query}", f"{path}/cancel{query}")


def request_view(
    key: str, request: RequestRecord, now: datetime, origin: str = "", image: Image | None = None
) -> RequestView:
    """Of a document `requests/{key}`."""
    receipt, ask, labels = request.receipt, request.ask, request.request.get("labels", {})
    requested = RequestedRoute(request.asked_model or "", ask.image_size, ask.lane)
    if receipt is not None and receipt.requested is not None:
        requested = RequestedRoute(receipt.requested.model, receipt.requested.image_size, receipt.requested.lane)
    addresses = links(request.tenant, id_of(key), origin)
    if image is None and request.image_uri is not None:
        image = Image(addresses.image)
    outcome = request.outcome
    return RequestView(
        version=VERSION,
        request_id=id_of(key),
        tenant=request.tenant,
        group=request.group,
        status=request.status,
        reason=request.reason,
        created_at=request.created_at,
        finished_at=request.finished_at,
        wait_seconds=_wait(request, now),
        requested=requested,
        delivered=_delivered(receipt),
        image_url=image.url if image else None,
        image_expires_at=image.expires_at if image else None,
        cost_usd=usd(request.cost_micros),
        cost_basis=request.cost_basis,
        attempt_count=request.attempt_count,
        reasons=request.reasons,
        mismatches=receipt.mismatches if receipt else (),
        outcome=OutcomeView(outcome.code, outcome.message, outcome.advice) if outcome else None,
        labels=dict(labels),
        trace_id=request.trace_id,
        links=addresses,
    )


def accepted_record(request: RenderRequest, asked_model: str, now: datetime, expire_at: datetime) -> AcceptedRecord:
    return AcceptedRecord(
        request_id=request.request_id,
        tenant=request.tenant,
        group=request.group,
        labels=dict(request.labels),
        content_hash=request.content_hash,
        requested=AcceptedImage(asked_model, request.image_size, request.lane),
        created_at=now,
        expire_at=expire_at,
    )


def accepted_view(
    note: AcceptedRecord, now: datetime, origin: str = "", rejection: RejectedRecord | None = None
) -> RequestView:
    """`rejection` is that of its message."""
    return _unmade(
        note.tenant,
        note.request_id,
        note.created_at,
        rejection,
        origin,
        group=note.group,
        reason="not on record yet" if rejection is None else None,
        wait_seconds=_seconds(note.created_at, now) if rejection is None else None,
        requested=RequestedRoute(note.requested.model, note.requested.image_size, note.requested.lane),
        labels=note.labels,
        trace_id=rejection.trace_id if rejection is not None else None,
    )


def result_event(key: str, request: RequestRecord) -> Event:
    """Under the id and tenant that its caller uses."""
    receipt, ask = request.receipt, request.ask
    assert request.finished_at is not None
    requested = stored_value(receipt.requested) if receipt is not None else None
    return event_of(
        {
            "request_id": id_of(key),
            "tenant": request.tenant,
            "group": request.group,
            "status": request.status,
            "round": request.round,
            "revives": request.revives,
            "image_uri": request.image_uri,
            "requested": requested or {"model": request.asked_model, "image_size": ask.image_size, "lane": ask.lane},
            "delivered": None if receipt is None else stored_value(receipt.delivered),
            "reasons": list(request.reasons),
            "mismatches": [] if receipt is None else list(receipt.mismatches),
            "cost_usd": usd(request.cost_micros),
            "cost_basis": request.cost_basis,
            "attempt_count": request.attempt_count,
            "outcome": None if request.outcome is None else request.outcome.to_json(),
            "labels": request.request.get("labels", {}),
            "trace_id": request.trace_id,
            "message_id": request.message_id,
            "finished_at": text_of(request.finished_at),
        }
    )


def _delivered(receipt: Receipt | None) -> DeliveredRoute | None:
    if receipt is None:
        return None
    image = receipt.delivered
    return DeliveredRoute(image.model, image.image_size, image.lane, image.width, image.height)


def rejected_view(rejection: RejectedRecord, origin: str = "") -> RequestView:
    """Its `request_id` is empty if the message named no valid id."""
    return _unmade(
        rejection.tenant or DEFAULT_TENANT,
        rejection.request_id or "",
        rejection.created_at,
        rejection,
        origin,
        trace_id=rejection.trace_id or "",
    )


def _unmade(
    tenant: str,
    request_id: str,
    created_at: datetime,
    rejection: RejectedRecord | None,
    origin: str,
    *,
    trace_id: str | None,
    group: str | None = None,
    reason: str | None = None,
    wait_seconds: float | None = None,
    requested: RequestedRoute | None = None,
    labels: Mapping[str, str] = NO_LABELS,
) -> RequestView:
    """For a view without a record: nothing was tried, and nothing was paid."""
    return RequestView(
        version=VERSION,
        request_id=request_id,
        tenant=tenant,
        group=group,
        status=ACCEPTED if rejection is None else REJECTED,
        reason=reason,
        created_at=created_at,
        finished_at=None if rejection is None else rejection.created_at,
        wait_seconds=wait_seconds,
        requested=requested,
        delivered=None,
        image_url=None,
        image_expires_at=None,
        cost_usd=usd(0),
        cost_basis=None,
        attempt_count=0,
        reasons=(),
        mismatches=(),
        outcome=None if rejection is None else OutcomeView(REJECTED, rejection.reason, CORRECT_IT),
        labels=dict(labels),
        trace_id=trace_id,
        links=links(tenant, request_id, origin),
    )


def _wait(request: RequestRecord, now: datetime) -> float | None:
    if request.attempt_count:
        return _seconds(request.created_at, request.slot_at) if request.slot_at else None
    return _seconds(request.created_at, request.finished_at or now)


def _seconds(since: datetime, until: datetime) -> float:
    return round(max((until - since).total_seconds(), 0.0), 3)
