"""The body and the query of a call as values. Raises ProblemAnswer for what cannot be read."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from starlette.requests import ClientDisconnect, Request

from functions.api.door import tenant_of
from functions.api.problems import ProblemAnswer
from shared.core.messages.render_request import (
    MESSAGE_LIMIT_BYTES,
    InvalidRequest,
    RenderRequest,
    decode_message,
    parse_message,
)
from shared.core.times.moments import read_moment
from shared.core.validation.shapes import Problem, kind, shown

IDEMPOTENCY_KEY = "Idempotency-Key"
CANCEL_BY_POST = Problem(
    "cancel", "a cancellation", "a render request", "POST to /v1/requests/{request_id}/cancel instead."
)


async def render_request(request: Request, new_id: str) -> tuple[RenderRequest, bytes]:
    """The request in the body, and the message to publish for it. `new_id` is for one that names none."""
    payload = decoded(await _body(request))
    if "cancel" in payload:
        raise ProblemAnswer.of_field(422, CANCEL_BY_POST)
    payload = {"request_id": _request_id(request, payload, new_id)} | payload
    named = payload.get("tenant")
    if named is None:
        payload["tenant"] = tenant_of(request, None)
    try:
        data = json.dumps(payload, ensure_ascii=False).encode()
        parsed = parse_message(data)
    except InvalidRequest as error:
        raise invalid(error) from error
    assert isinstance(parsed, RenderRequest)
    tenant_of(request, parsed.tenant)
    return parsed, data


def decoded(data: bytes) -> dict[str, Any]:
    """A JSON object, read as strictly as a message's data."""
    try:
        payload = decode_message(data)
    except InvalidRequest as error:
        raise ProblemAnswer(400, str(error), error.problems) from error
    if not isinstance(payload, dict):
        raise ProblemAnswer.of_field(
            400, Problem("the body", kind(payload), "a JSON object", "Send the request as one JSON object.")
        )
    return payload


def invalid(error: InvalidRequest) -> ProblemAnswer:
    return ProblemAnswer(422, str(error), error.problems)


def number(request: Request, name: str, default: float, least: float, most: float) -> float:
    """A query parameter."""
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        allowed = f"a number from {least:g} to {most:g}"
        raise ProblemAnswer.of_field(422, Problem(name, shown(text), allowed, "Change it, or leave it out."))
    return value


def moment(request: Request, name: str) -> datetime | None:
    """A query parameter."""
    text = request.query_params.get(name)
    if text is None:
        return None
    value = read_moment(text.upper().replace(" ", "+"))  # a `+` that nobody encoded is a space
    if value is None:
        allowed = "a date and time with offset, such as 2026-12-01T12:00:00Z"
        raise ProblemAnswer.of_field(422, Problem(name, shown(text), allowed, "Correct it."))
    return value


def _request_id(request: Request, payload: dict[str, Any], new_id: str) -> object:
    """From the header or the body; if both name it, they must agree."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return payload.get("request_id", new_id)
    if "request_id" in payload and payload["request_id"] != key:
        problem = Problem(
            IDEMPOTENCY_KEY, shown(key), "the request_id of the body", "Send one of the two, or the same value in both."
        )
        raise ProblemAnswer.of_field(422, problem)
    return key


async def _body(request: Request) -> bytes:
    """At most as long as a message may be."""
    content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content_type != "application/json":
        problem = Problem("content-type", shown(content_type), "application/json", "Send JSON, and say so.")
        raise ProblemAnswer.of_field(415, problem)
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MESSAGE_LIMIT_BYTES:
                allowed, remedy = f"at most {MESSAGE_LIMIT_BYTES:,} bytes", "Name reference images by URI."
                raise ProblemAnswer.of_field(413, Problem("the body", "more", allowed, remedy))
    except ClientDisconnect as error:
        raise ProblemAnswer(400, "the body is incomplete. Send it again as a whole.") from error
    return bytes(body)
