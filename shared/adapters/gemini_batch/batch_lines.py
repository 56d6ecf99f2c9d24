"""One line of a batch file: an order as it goes in, and what the line that came back means. Pure.

`generateContent` is the only form that batches take. As in `gemini_answer`, a picture is decoded from views of the
line, so that it exists as base64 once and as bytes once.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from shared.adapters.gemini.generate_content_lane import safety_settings
from shared.adapters.gemini.generate_content_response import read_values
from shared.adapters.gemini_errors import answer_errors
from shared.adapters.payloads.answer_image import Read
from shared.adapters.payloads.json_member import NONE, Json, decoded, text_of
from shared.adapters.payloads.quotation import SENT, Sent
from shared.adapters.payloads.redaction import redacted
from shared.adapters.payloads.sse import without_mark
from shared.core.lifecycle.batch import Result
from shared.core.provider.call import Answer, Order, Written, texts_of
from shared.core.provider.failure import Failure, FailureKind
from shared.core.values.parameters import IMAGE_SEARCH

LANE = "batch"


class _Metadata(msgspec.Struct):
    key: Raw = NONE


class _Line(msgspec.Struct):
    key: Raw = NONE
    response: Raw = NONE
    error: Raw = NONE
    metadata: Raw = NONE
    """Of an answer that stands in the batch itself: it holds the key."""


def write_line(key: str, order: Order) -> bytes:
    """One request of a JSONL file, its end included."""
    parts: list[dict[str, Any]] = [{"text": order.prompt}]
    parts += [
        {"inlineData": {"mimeType": reference.mime_type, "data": base64.b64encode(reference.data).decode("ascii")}}
        for reference in order.references
    ]
    picture = {"aspectRatio": order.aspect_ratio, "imageSize": order.image_size}
    config: dict[str, Any] = {"responseModalities": ["TEXT", "IMAGE"]}
    if any(picture.values()):
        config["imageConfig"] = {name: value for name, value in picture.items() if value is not None}
    if order.thinking is not None:
        config["thinkingConfig"] = {"thinkingLevel": order.thinking.upper()}
    request: dict[str, Any] = {"contents": [{"role": "user", "parts": parts}], "generationConfig": config}
    if order.grounding:
        both: dict[str, Any] = {"searchTypes": {"webSearch": {}, "imageSearch": {}}}
        request["tools"] = [{"googleSearch": both if order.grounding == IMAGE_SEARCH else {}}]
    if order.safety:
        request["safetySettings"] = safety_settings(order)
    if order.system_instruction is not None:
        request["systemInstruction"] = {"parts": [{"text": order.system_instruction}]}
    return msgspec.json.encode({"key": key, "request": request}) + b"\n"


class BatchLine(Struct, frozen=True):
    """One line, read: its picture may still lie at an address."""

    key: str
    """Empty if it cannot be read: its request is then unknown."""
    read: Read


def read_line(
    line: Json, model: str, now: datetime, key: str = "", prompts: Mapping[str, Written] | None = None
) -> BatchLine:
    """What one line says; `key` if it has none. `prompts` by key are cut out of errors before these are classified. The
    text of a failure is not redacted yet."""
    parsed = decoded(without_mark(line), _Line)
    if parsed is None:
        size = len(memoryview(line))
        return BatchLine(key, Failure(FailureKind.MALFORMED_ANSWER, f"{size} bytes that are no line of a batch"))
    metadata = decoded(parsed.metadata, _Metadata)
    key = text_of(parsed.key) or (text_of(metadata.key) if metadata is not None else "") or key
    token = SENT.set(Sent((*texts_of((prompts or {}).get(key, "")), key), model))
    try:
        return BatchLine(
            key, read_values([parsed.response], model, LANE, {}, now, lambda: _without_response(parsed, now))
        )
    finally:
        SENT.reset(token)


def result_of(key: str, answer: Answer, prompt: Written, api_key: str) -> Result:
    return Result(key, _clean(answer, prompt, api_key) if isinstance(answer, Failure) else answer)


def _without_response(line: _Line, now: datetime) -> Failure:
    problem = answer_errors.inner_problem(line.error)
    if problem is not None:
        return answer_errors.judge(problem, {}, now)
    return Failure(FailureKind.MALFORMED_ANSWER, "a line with neither a response nor an error")


def _clean(failure: Failure, prompt: Written, api_key: str) -> Failure:
    """Without prompt and key in text that the provider chose."""
    return replace(
        failure,
        message=redacted(failure.message, prompt, api_key),
        code=redacted(failure.code, prompt, api_key),
        model=redacted(failure.model, prompt, api_key)[:128],
        provider_request_id=redacted(failure.provider_request_id, prompt, api_key)[:128],
        address="" if api_key and api_key in failure.address else failure.address,
    )
