"""A Pub/Sub push as an HTTP request: the push envelope, a binary CloudEvent, or the unwrapped payload."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from functions import drain
from functions.unacknowledged import UnacknowledgedDelivery, crashed, deferred, delivery_of
from shared import wiring
from shared.config import InvalidSetting
from shared.core.catalogue.toml_errors import BrokenCatalogue
from shared.core.messages.pubsub_messages import BadMessage
from shared.core.observability import events
from shared.core.times.moments import read_moment
from shared.flows.requests.message import Message
from shared.ports.images import ImagesUnavailable
from shared.ports.messaging import TopicsUnavailable
from shared.ports.store import StoreUnavailable
from shared.wiring import Worker

ACKNOWLEDGED = 204
CALLER_LEFT = 499
"""The body is not read; the message is redelivered."""
NO_PUSH = 400
CRASHED = 500
DELIVER_AGAIN = 503
CUT_OFF = "the process was told to end, and this was not over in time"
RETRY_LATER = (StoreUnavailable, TopicsUnavailable, ImagesUnavailable)
"""The next step is not on record: only then is a message redelivered."""

_DOCUMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,200}")


class NotAPush(Exception):
    """The HTTP request has none of the forms that Pub/Sub sends."""


async def answer(request: Request, function: str, flow: Callable[[Worker, Message], Awaitable[None]]) -> Response:
    """Run the flow on the pushed message: 204 when its next step is on record, 503 when it has to be redelivered."""
    delivery = delivery_of(function, request.headers)
    worker = worker_or_crash(request, delivery)
    if isinstance(worker, Response):
        return worker
    try:
        message = read(request.headers, await request.body())
    except ClientDisconnect:
        return Response(status_code=CALLER_LEFT)
    except NotAPush as error:
        deferred(worker.ports.signals, delivery, NO_PUSH, str(error))
        return JSONResponse({"error": str(error)}, status_code=NO_PUSH)
    return await settled(worker, delivery, message, flow)


async def settled(
    worker: Worker,
    delivery: UnacknowledgedDelivery,
    message: Message,
    flow: Callable[[Worker, Message], Awaitable[None]],
) -> Response:
    """The answer to one message, however it was delivered."""
    try:
        answered = await guarded(worker, delivery.of(message), flow(worker, message))
        await worker.presence.tell(delivery.function)
        return answered
    except BadMessage as error:  # redelivering it would not help
        worker.ports.signals.emit(
            events.BAD_MESSAGE, function=delivery.function, message_id=message.id, reason=str(error)
        )
        return Response(status_code=ACKNOWLEDGED)


async def guarded(worker: Worker, delivery: UnacknowledgedDelivery, flow: Awaitable[None]) -> Response:
    """The answer to a flow's end. A delivery that is not acknowledged is redelivered, and is logged before it is
    answered.

    Raises BadMessage.
    """
    signals = worker.ports.signals
    try:
        async with worker.flights:
            await flow
    except BadMessage:
        raise
    except RETRY_LATER as error:
        deferred(signals, delivery, DELIVER_AGAIN, str(error))
        return JSONResponse({"error": str(error)}, status_code=DELIVER_AGAIN)
    except asyncio.CancelledError:
        if not worker.ports.leaving.begun:
            raise
        deferred(signals, delivery, DELIVER_AGAIN, CUT_OFF)
        return JSONResponse({"error": CUT_OFF}, status_code=DELIVER_AGAIN)
    except Exception as error:  # noqa: BLE001  logged and answered here; the framework would log without severity
        crashed(signals, delivery, CRASHED, error)
        return JSONResponse({"error": "the function crashed; its log says how"}, status_code=CRASHED)
    return Response(status_code=ACKNOWLEDGED)


def worker_or_crash(request: Request, delivery: UnacknowledgedDelivery) -> Worker | Response:
    """The worker of the application that serves the request; under functions-framework, the process's own.

    A process that cannot make its worker, because of a wrong setting, answers every delivery with 500 and the reason.
    """
    given: Worker | None = getattr(request.app.state, "worker", None)
    if given is not None:
        return given
    try:
        worker = wiring.worker()
    except Exception as error:  # noqa: BLE001  as in `guarded`
        signals = wiring.bare_signals()
        if isinstance(error, (InvalidSetting, BrokenCatalogue)):
            deferred(signals, delivery, CRASHED, str(error))
        else:
            crashed(signals, delivery, CRASHED, error)
        return JSONResponse({"error": "the function cannot start; its log says why"}, status_code=CRASHED)
    drain.listen(worker)
    return worker


def read(headers: Mapping[str, str], body: bytes) -> Message:
    """Raises NotAPush, naming what is missing."""
    try:
        payload: Any = json.loads(body or b"null")
    except (ValueError, RecursionError):
        payload = None
    if "ce-id" in headers and not _is_envelope(payload):
        return Message(_document_id(headers["ce-id"], body), body, {}, _short(headers.get("ce-source", "")))
    if not _is_envelope(payload):
        raise NotAPush(
            'found no Pub/Sub push: expected {"message": {"data": <base64>, "messageId": …}, "subscription": …}; '
            "create the subscription as a wrapped push subscription"
        )
    message = payload["message"]
    try:
        data = base64.b64decode(message.get("data") or "", validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise NotAPush("message.data is not base64") from error
    attributes = _attributes(message.get("attributes"))
    message_id = str(message.get("messageId") or message.get("message_id") or "")
    subscription = _short(str(payload.get("subscription", "")))
    published_at = read_moment(str(message.get("publishTime") or message.get("publish_time")))
    number = payload.get("deliveryAttempt")
    delivery_attempt = number if type(number) is int else None
    return Message(_document_id(message_id, data), data, attributes, subscription, published_at, delivery_attempt)


def _attributes(attributes: object) -> dict[str, str]:
    if not attributes:
        return {}
    if not isinstance(attributes, dict):
        raise NotAPush(f"message.attributes: found {type(attributes).__name__}; allowed: an object of strings")
    return {str(key): str(value) for key, value in attributes.items()}


def _is_envelope(payload: object) -> bool:
    return isinstance(payload, dict) and isinstance(payload.get("message"), dict)


def _document_id(message_id: str, data: bytes) -> str:
    """The message's id if it can name a document, else a hash that is the same at each delivery."""
    if _DOCUMENT_ID.fullmatch(message_id):
        return message_id
    return hashlib.sha256(message_id.encode() + data).hexdigest()[:32]


def _short(subscription: str) -> str:
    return subscription.rpartition("/")[2]
