"""The public door for the provider's webhooks: signature first, then one message on `render-arrivals`; nothing else.

An arrival is published before the webhook is recorded as accepted: a crash in between publishes it twice, and
collecting twice costs a look. In the other order it would be lost until the next poll.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, TypeAlias

from shared.core.messages.pubsub_messages import BadMessage
from shared.core.messages.topics import RENDER_ARRIVALS
from shared.core.messages.webhook_event import NoArrival, Noted, WebhookEvent, contradicts, parse_event
from shared.core.observability import events
from shared.core.records.taken_webhook import TakenWebhook
from shared.core.values.documents import Create, Document
from shared.ports import Ports
from shared.ports.signatures import Genuine, NotGenuine, SignaturesUnavailable, Way

Effect: TypeAlias = Literal["taken", "repeated", "ignored"]
KEEP = timedelta(hours=25)
"""The provider repeats a webhook for 24 hours."""
EVENT_EVERY = 1.0
"""Seconds between two events about refusals for the same reason, per process."""
MESSAGE_ID = "webhook-id"


def glance(ports: Ports, headers: Mapping[str, str]) -> NotGenuine | None:
    """What the headers alone show, before the body is read. A refusal is recorded."""
    refusal = ports.signatures.glance(headers, ports.clock.now())
    if refusal is not None:
        _refused(ports, refusal)
    return refusal


async def arrive(ports: Ports, headers: Mapping[str, str], body: bytes) -> Effect | NotGenuine:
    """Raises StoreUnavailable, TopicsUnavailable and SignaturesUnavailable: then the provider should send it again."""
    began_at = ports.clock.now()
    try:
        verdict = await ports.signatures.verify(headers, body, ports.clock.now())
    except SignaturesUnavailable as error:
        ports.signals.emit(events.WEBHOOK_UNVERIFIED, reason=str(error))
        raise
    if isinstance(verdict, NotGenuine):
        _refused(ports, verdict)
        return verdict
    try:
        event = parse_event(body)
    except BadMessage as error:  # signed, but unreadable for this release: sending it again would not help
        ports.signals.emit(events.BAD_MESSAGE, function="arrive", message_id=_id(headers), reason=str(error))
        return "ignored"
    if contradicts(verdict.claims, event):
        refusal = NotGenuine("contradicted", "the token names another event than the body")
        _refused(ports, refusal)
        return refusal
    noted = Noted(_id(headers), event.type, verdict.way, began_at)
    effect = await _pass_on(ports, verdict, event, noted)
    ports.signals.emit(
        events.WEBHOOK_TAKEN,
        event=event.type,
        about=event.about,
        way=verdict.way,
        effect=effect,
        message_id=_id(headers),
    )
    return effect


async def _pass_on(ports: Ports, verdict: Genuine, event: WebhookEvent, noted: Noted) -> Effect:
    if isinstance(event.ended, NoArrival):
        return "ignored"
    path = record_path(verdict.way, noted.webhook_id, event)
    record = await ports.store.get(path)
    if isinstance(record, Document):
        return "repeated"
    await ports.topics.publish(RENDER_ARRIVALS, event.ended.to_bytes(), noted.to_attributes())
    now = record.read_at
    taken = TakenWebhook(event.type, event.about, verdict.way, now, now + KEEP)
    await ports.store.commit(Create(path, taken.to_json()))  # a conflict: another delivery of it was as quick
    return "taken"


def record_path(way: Way, message_id: str, event: WebhookEvent) -> str:
    """The document id by which a repetition is recognised. A shared secret signs the webhook's id. A token does not:
    its holder could send it under many ids, so there the event itself is the key, because it happens only once."""
    key = f"static {message_id}" if way == "static" else f"dynamic {event.type} {event.about}"
    return f"provider_webhooks/{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _refused(ports: Ports, refusal: NotGenuine) -> None:
    """One event per second for each reason, with the number of refusals: strangers must not decide how much is
    logged."""
    last, more = f"webhook refused: {refusal.why}", f"webhooks refused and not reported: {refusal.why}"
    now = ports.clock.monotonic()
    if now - ports.reported.get(last, -EVENT_EVERY) < EVENT_EVERY:
        ports.reported[more] = ports.reported.get(more, 0) + 1
        return
    ports.reported[last] = now
    count = int(ports.reported.pop(more, 0))
    ports.signals.emit(events.WEBHOOK_REFUSED, why=refusal.why, detail=refusal.detail, more=count)


def _id(headers: Mapping[str, str]) -> str:
    return headers.get(MESSAGE_ID, "")[:100]
