"""`POST /v1/projects/PROJECT/topics/TOPIC:publish`, as Pub/Sub serves it: any HTTP client can publish."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from shared.core.messages.topics import RENDER_REQUESTS
from shared.ports.messaging import TopicsUnavailable
from shared.wiring import Worker

BODY_LIMIT_BYTES = 10_000_000
MOST_MESSAGES = 1_000
"""Pub/Sub's own limit for one publish."""
CLIENT_CLOSED_REQUEST = 499


class BadPublish(Exception):
    """What the body lacks, and what it should be."""


async def publish(request: Request) -> Response:
    """`{"messages": [{"data": <base64>, "attributes": {…}}]}` -> `{"messageIds": […]}`."""
    worker: Worker = request.app.state.worker
    topic, _, verb = request.path_params["topic"].partition(":")
    if verb != "publish" or topic != RENDER_REQUESTS:
        return _error(404, "NOT_FOUND", f"found {topic}:{verb}; allowed: {RENDER_REQUESTS}:publish")
    try:
        messages = _messages(await _body(request))
    except ClientDisconnect:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    except BadPublish as error:
        return _error(400, "INVALID_ARGUMENT", str(error))
    try:
        ids = [await worker.ports.topics.publish(topic, data, attributes) for data, attributes in messages]
    except ValueError as error:
        return _error(400, "INVALID_ARGUMENT", str(error))
    except TopicsUnavailable as error:
        return _error(503, "UNAVAILABLE", str(error))
    return JSONResponse({"messageIds": ids})


async def _body(request: Request) -> bytes:
    """Raises BadPublish as soon as it is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT_BYTES:
            raise BadPublish(
                f"found more than {BODY_LIMIT_BYTES:,} bytes; allowed: that many a publish. Send it in several."
            )
    return bytes(body)


def _messages(body: bytes) -> list[tuple[bytes, dict[str, str]]]:
    example = '{"messages": [{"data": "<base64>", "attributes": {"name": "text"}}]}'
    try:
        payload: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadPublish(f"the body is not JSON; allowed: {example}") from error
    messages = payload.get("messages") if isinstance(payload, dict) else None
    if not isinstance(messages, list) or not messages:
        raise BadPublish(f"messages: found {'an empty list' if messages == [] else 'nothing'}; allowed: {example}")
    if len(messages) > MOST_MESSAGES:
        raise BadPublish(
            f"messages: found {len(messages):,}; allowed: {MOST_MESSAGES:,} a publish. Send them in several."
        )
    return [_message(item, f"messages[{index}]") for index, item in enumerate(messages)]


def _message(message: Any, at: str) -> tuple[bytes, dict[str, str]]:
    if not isinstance(message, dict):
        raise BadPublish(f"{at}: found no object; allowed: an object with data")
    attributes = message.get("attributes") or {}
    texts = isinstance(attributes, dict) and all(isinstance(value, str) for value in attributes.values())
    if not texts:
        raise BadPublish(f"{at}.attributes: found other values than text; allowed: a map of strings")
    try:
        data = base64.b64decode(message.get("data") or "", validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise BadPublish(f"{at}.data: found text that is not base64; allowed: base64 of the request's JSON") from error
    if not data and not attributes:
        raise BadPublish(f"{at}: found neither data nor attributes; put the base64 of the request's JSON in data")
    return data, attributes


def _error(code: int, status: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message, "status": status}}, status_code=code)
