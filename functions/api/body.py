"""The body of a call, and its key, as values. Raises ProblemAnswer for what cannot be read."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace
from starlette.requests import ClientDisconnect, Request

from functions.api.door import tenant_of
from functions.api.problems import ProblemAnswer
from shared.core.messages.render_request import (
    ID_LIMIT,
    ID_WORDS,
    MESSAGE_LIMIT_BYTES,
    InvalidRequest,
    RenderRequest,
    decode_message,
    named_id,
    parse_message,
)
from shared.core.validation.shapes import Problem, kind, shown

IDEMPOTENCY_KEY = "Idempotency-Key"
BODY = "the body"
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
        raise _answer(400, error, "Send the request as one JSON object, in UTF-8.") from error
    if not isinstance(payload, dict):
        raise ProblemAnswer.of_field(
            400, Problem(BODY, kind(payload), "a JSON object", "Send the request as one JSON object.")
        )
    return payload


def invalid(error: InvalidRequest) -> ProblemAnswer:
    return _answer(422, error)


def _answer(status: int, error: InvalidRequest, remedy: str | None = None) -> ProblemAnswer:
    """What a rule says of a message holds for the body that became it."""
    problems = tuple(
        replace(problem, field=BODY, remedy=remedy or problem.remedy) if problem.field == "the message" else problem
        for problem in error.problems
    )
    return ProblemAnswer(status, "; ".join(map(str, problems)), problems)


def _request_id(request: Request, payload: dict[str, Any], new_id: str) -> object:
    """From the header or the body; both may say it, and must agree.

    The header may be quoted, as the draft standard writes it (draft-ietf-httpapi-idempotency-key-header).
    """
    keys = request.headers.getlist(IDEMPOTENCY_KEY)
    if not keys:
        return payload.get("request_id", new_id)
    key = keys[0][1:-1] if len(keys[0]) > 1 and keys[0][0] == keys[0][-1] == '"' else keys[0]
    if len(keys) > 1 or named_id({"request_id": key}) is None:
        given = f"{len(keys)} of them" if len(keys) > 1 else shown(keys[0])
        allowed = f"one, of 1 to {ID_LIMIT} {ID_WORDS}: it becomes the request_id"
        remedy = "Use such a key, a UUID for example, and the same one for every retry."
        raise ProblemAnswer.of_field(422, Problem(IDEMPOTENCY_KEY, given, allowed, remedy))
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
                raise ProblemAnswer.of_field(413, Problem(BODY, "more", allowed, remedy))
    except ClientDisconnect as error:
        problem = Problem(BODY, "a part of it", "the whole", "Send it again as a whole.")
        raise ProblemAnswer.of_field(400, problem) from error
    return bytes(body)
