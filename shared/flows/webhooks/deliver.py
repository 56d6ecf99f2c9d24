"""One attempt of one delivery, claimed by compare-and-set; and the function's two kinds of message."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from msgspec import Struct, to_builtins

from shared.core.lifecycle.request_view import Image, RequestView, rejected_view, request_view
from shared.core.messages.pubsub_messages import BadMessage
from shared.core.observability import events, spans
from shared.core.records.note import RejectedRecord
from shared.core.records.request import RequestRecord
from shared.core.records.versioned import Rejection, Request, rejection_in
from shared.core.values.documents import Absent, Committed, Document, Update
from shared.core.values.status import FINAL
from shared.core.values.trace_context import Place
from shared.core.webhooks import delivery as deliveries
from shared.core.webhooks import endpoint as endpoints
from shared.core.webhooks.delivery import Attempted, WebhookDelivery
from shared.core.webhooks.endpoint import Endpoint
from shared.core.webhooks.signature import headers
from shared.flows import tracing
from shared.flows.requests.lookup import find_request
from shared.flows.requests.message import Message
from shared.flows.webhooks.fan_out import fan_out, fan_out_rejection
from shared.flows.webhooks.room import DeliveryRoom, NoRoom
from shared.ports import Ports
from shared.ports.images import ImagesUnavailable
from shared.ports.webhooks import AddressRefused, Answer, NoAnswer

IMAGE_LINK_LASTS = timedelta(hours=1)
"""A replay gets a new one."""

Effect: TypeAlias = Literal["delivered", "will retry", "dead"]


async def deliver(ports: Ports, room: DeliveryRoom, message: Message) -> None:
    """A result is fanned out; a due delivery is attempted. Raises BadMessage, StoreUnavailable, TopicsUnavailable."""
    payload, now = _payload(message.data), ports.clock.monotonic()
    match payload:
        case {"delivery": str(delivery_id)} if "/" not in delivery_id and 0 < len(delivery_id) <= 200:
            await attempt(ports, room, delivery_id)
        case {"request_id": str(request_id), "status": status, "tenant": str(tenant), "finished_at": str(at)} if (
            status in FINAL
        ):
            if not room.has_none(tenant, now):
                new = await fan_out(ports.store, ports.topics, tenant, request_id, status, at)
                if new is None:
                    room.note_none(tenant, now)
        case {
            "request_id": str(request_id),
            "status": "rejected",
            "tenant": str(tenant),
            "message_id": str(rejected),
        } if tenant and "/" not in rejected:
            await fan_out_rejection(ports.store, ports.topics, tenant, request_id, rejected)
        case {"request_id": str(), "status": "rejected"}:
            pass  # without a tenant there is no endpoint
        case _:
            raise BadMessage("neither a result nor a due delivery")


def _payload(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadMessage("not JSON") from error


class _Try(Struct, frozen=True):
    """What one attempt works on."""

    id: str
    delivery: WebhookDelivery
    endpoint_document: Document
    endpoint: Endpoint
    subject: Request | Rejection
    now: datetime


async def attempt(ports: Ports, room: DeliveryRoom, delivery_id: str) -> None:
    """At most one attempt at a time: a second message for the same delivery finds it claimed, and does nothing."""
    document = await ports.store.get(deliveries.path(delivery_id))
    if not isinstance(document, Document):
        return
    delivery, now = WebhookDelivery.from_json(document.data), document.read_at
    if not delivery.is_due(now):
        return
    endpoint_document = await ports.store.get(endpoints.path(delivery.endpoint))
    if not isinstance(endpoint_document, Document):
        await _write(ports, document, delivery.dead(Attempted(now, reason="the endpoint was removed")))
        return
    endpoint = Endpoint.from_json(endpoint_document.data)
    if endpoint.disabled_at is not None:
        await _write(ports, document, delivery.dead(Attempted(now, reason="the endpoint is disabled")))
        return
    request = await _subject(ports, delivery)
    if not isinstance(request, Document):
        await _write(ports, document, delivery.dead(Attempted(now, reason="the request is not kept any more")))
        return
    if endpoint.is_paused(now) and not delivery.is_last_chance(now):
        assert endpoint.paused_until is not None
        spread = (endpoint.paused_until - now) * ports.chance()
        await _write(ports, document, delivery.deferred(endpoint.paused_until + spread))
        return
    try:
        async with room.of(delivery.endpoint):
            claimed = delivery.claimed(now)
            version = await _write(ports, document, claimed)
            if version is None:
                return  # another process has it
            mine = Document(document.path, claimed.to_json(), version, now)
            await _send(ports, mine, _Try(delivery_id, claimed, endpoint_document, endpoint, request, now))
    except NoRoom:
        await _write(ports, document, delivery.deferred(now + deliveries.PAUSES[1] * (1 + ports.chance())))


async def _subject(ports: Ports, delivery: WebhookDelivery) -> Request | Rejection | Absent:
    if delivery.rejected_message is not None:
        document = await ports.store.get(f"rejected/{delivery.rejected_message}")
        return rejection_in(document) if isinstance(document, Document) else document
    return await find_request(ports.store, delivery.tenant, delivery.request_id)


async def _send(ports: Ports, document: Document, work: _Try) -> None:
    """Call, then record the result. After a crash in between, the lease lapses and it is sent again."""
    began_at = ports.clock.now()
    view = await _view(ports, work, began_at)
    assert view.finished_at is not None, "only what has ended is sent"
    body = deliveries.payload(work.delivery.status, deliveries.moment(view.finished_at), to_builtins(view))
    signed = headers(work.endpoint.signing_secrets(began_at), work.delivery.message_id, began_at, body)
    answer: Answer | None = None
    reason: str | None = None
    try:
        answer = await ports.webhooks.send(work.endpoint.url, body, signed)
        if not answer.is_delivered:
            reason = f"the endpoint answered HTTP {answer.http_status}"
    except (AddressRefused, NoAnswer) as error:
        reason = str(error)
    ended_at = ports.clock.now()
    attempted = Attempted(ended_at, answer.http_status if answer else None, reason)
    if answer is not None and answer.is_delivered:
        after = work.delivery.delivered(attempted)
    elif answer is not None and answer.is_gone:
        after = work.delivery.dead(attempted)
    else:
        after = work.delivery.failed(attempted, answer.retry_after if answer else None, ports.chance())
    await _write(ports, document, after)
    await _note_health(ports, work, answer, reason, ended_at)
    _report(ports, work, attempted, after, began_at)


async def _view(ports: Ports, work: _Try, now: datetime) -> RequestView:
    if isinstance(work.subject.record, RejectedRecord):
        return rejected_view(work.subject.record)
    image = await _image(ports, work.subject.record, now)
    return request_view(work.subject.id, work.subject.record, now, image=image)


async def _image(ports: Ports, request: RequestRecord, now: datetime) -> Image | None:
    """An address that the receiver can fetch without an account; None: the API's, which requires authentication."""
    uri = request.image_uri
    if uri is None:
        return None
    try:
        link = await ports.images.link(uri, IMAGE_LINK_LASTS)
    except ImagesUnavailable:
        return None  # the result is not held back for it
    return Image(link, now + IMAGE_LINK_LASTS) if link is not None else None


async def _note_health(ports: Ports, work: _Try, answer: Answer | None, reason: str | None, now: datetime) -> None:
    """Of attempts that ran in parallel, one counts: the others find another version, and stop."""
    before = work.endpoint
    if reason is None:
        after = before.succeeded() if before.failures else before
    elif answer is not None and answer.is_gone:
        after = before.disabled("it answered HTTP 410 (gone)", now)
    else:
        after = before.failed(now)
    if after == before:
        return
    document = work.endpoint_document
    committed = await ports.store.commit(Update(document.path, after.to_json(), document.version))
    if after.disabled_at is not None and isinstance(committed, Committed):
        ports.signals.emit(
            events.WEBHOOK_ENDPOINT_DISABLED,
            tenant=before.tenant,
            endpoint=work.delivery.endpoint,
            reason=after.disabled_reason,
        )


def _report(ports: Ports, work: _Try, attempted: Attempted, after: WebhookDelivery, began_at: datetime) -> None:
    effect: Effect = "will retry" if after.state == "pending" else "dead" if after.state == "dead" else "delivered"
    name = work.subject.id if work.delivery.rejected_message is None else work.delivery.request_id or None
    record = work.subject.record
    root = Place.parse(record.traceparent or "")
    if root is not None:  # older rejections have none
        tracing.write(
            ports, spans.WEBHOOK, tracing.below(ports, root), root, began_at, attempted.at,
            failed=None if effect == "delivered" else "webhook", request_id=name,
            endpoint=work.delivery.endpoint, delivery=work.id, attempt=work.delivery.attempt_count,
            http_status=attempted.http_status, effect=effect,
        )  # fmt: skip
    if effect != "delivered":
        ports.signals.emit(
            events.WEBHOOK_FAILED, request_id=name, tenant=work.delivery.tenant,
            endpoint=work.delivery.endpoint, delivery=work.id, attempt=work.delivery.attempt_count,
            http_status=attempted.http_status, reason=attempted.reason, effect=effect,
            trace_id=record.trace_id,
        )  # fmt: skip


async def _write(ports: Ports, document: Document, after: WebhookDelivery) -> str | None:
    """The new version; None if another process changed it first."""
    committed = await ports.store.commit(Update(document.path, after.to_json(), document.version))
    return committed.versions[0] if isinstance(committed, Committed) else None
