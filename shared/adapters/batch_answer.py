"""One line of a batch file: an order as it goes in, and what the line that came back means. Pure.

`generateContent` is the only form that batches take. As in `gemini_answer`, a picture is decoded from views of the
line, so that it exists as base64 once and as bytes once.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw
from msgspec.structs import replace

from shared.adapters import gemini_errors, image_header
from shared.adapters.quotation import SENT, Sent
from shared.adapters.redaction import redacted
from shared.core.answer import Answer, Made, Order, Usage
from shared.core.batch import Result
from shared.core.failure import Failure, FailureKind

LANE = "batch"

_Count = Annotated[int, Meta(ge=0, le=10**9)]


class _Tokens(msgspec.Struct):
    modality: str = ""
    tokenCount: _Count = 0


class _Usage(msgspec.Struct):
    promptTokenCount: _Count | None = None
    promptTokensDetails: list[_Tokens] | None = None
    candidatesTokenCount: _Count | None = None
    candidatesTokensDetails: list[_Tokens] | None = None
    thoughtsTokenCount: _Count | None = None


class _Blob(msgspec.Struct):
    data: bytes


class _Part(msgspec.Struct):
    inlineData: Raw = Raw(b"null")
    thought: bool = False
    """A picture that the model made on its way; not the one that was asked for."""


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Grounding(msgspec.Struct):
    webSearchQueries: list[str] | None = None


class _Candidate(msgspec.Struct):
    content: Raw = Raw(b"null")
    finishReason: str = ""
    finishMessage: str = ""
    groundingMetadata: Raw = Raw(b"null")


class _Feedback(msgspec.Struct):
    blockReason: str = ""
    blockReasonMessage: str = ""


class _Response(msgspec.Struct):
    candidates: list[_Candidate] | None = None
    promptFeedback: _Feedback | None = None
    usageMetadata: Raw = Raw(b"null")
    modelVersion: str | None = None
    responseId: str | None = None


class _Line(msgspec.Struct):
    key: str = ""
    response: Raw = Raw(b"null")
    error: Raw = Raw(b"null")


def write_line(key: str, order: Order) -> bytes:
    """One request of a JSONL file, its end included."""
    parts: list[dict[str, Any]] = [{"text": order.prompt}]
    parts += [
        {"inlineData": {"mimeType": each.mime_type, "data": base64.b64encode(each.data).decode("ascii")}}
        for each in order.references
    ]
    picture = {"aspectRatio": order.aspect_ratio, "imageSize": order.image_size}
    config: dict[str, Any] = {"responseModalities": ["TEXT", "IMAGE"]}
    if any(picture.values()):
        config["imageConfig"] = {name: value for name, value in picture.items() if value is not None}
    request: dict[str, Any] = {"contents": [{"role": "user", "parts": parts}], "generationConfig": config}
    if order.grounding:
        request["tools"] = [{"googleSearch": {}}]
    return msgspec.json.encode({"key": key, "request": request}) + b"\n"


def read_line(line: bytes | bytearray, model: str, prompts: Mapping[str, str], api_key: str, now: datetime) -> Result:
    """What one line says. One that cannot be read is a failure under the empty key: whose it is nobody knows."""
    found = gemini_errors.decoded(line, _Line)
    if found is None:
        return Result("", Failure(FailureKind.MALFORMED_ANSWER, f"{len(line)} bytes that are no line of a batch"))
    prompt = prompts.get(found.key, "")
    token = SENT.set(Sent((prompt, found.key), model))
    try:
        answer = _answer(found, model, now)
    finally:
        SENT.reset(token)
    if isinstance(answer, Failure):
        answer = _clean(answer, prompt, api_key)
    return Result(found.key, answer)


def _answer(line: _Line, model: str, now: datetime) -> Answer:
    problem = gemini_errors.read_inner_problem(line.error)
    if problem is not None and not _is_null(line.error):
        return gemini_errors.judge(problem, 200, {}, now)
    found = gemini_errors.decoded(line.response, _Response)
    if found is None:
        return Failure(FailureKind.MALFORMED_ANSWER, "a line with neither a response nor an error")
    usage = _usage(found)
    served = (found.modelVersion or "").removeprefix("models/") or model
    data = _last_image(found)
    picture = image_header.picture(data) if data is not None else None
    if picture is not None:
        return Made(picture, usage, served, LANE, found.responseId or "")
    failure = _without_image(found, data, now)
    return replace(
        failure, http_status=200, usage=usage, model=served, lane=LANE, provider_request_id=found.responseId or ""
    )


def _last_image(found: _Response) -> bytes | None:
    for candidate in found.candidates or ():
        content = gemini_errors.decoded(candidate.content, _Content)
        for part in reversed(content.parts or () if content is not None else ()):
            if part.thought or _is_null(part.inlineData):
                continue
            blob = gemini_errors.decoded(part.inlineData, _Blob)
            return blob.data if blob is not None else b""
    return None


def _without_image(found: _Response, data: bytes | None, now: datetime) -> Failure:
    if data is not None:
        return Failure(FailureKind.MALFORMED_ANSWER, f"{len(data)} bytes that are no readable jpeg, png or webp")
    feedback = found.promptFeedback
    if feedback is not None and feedback.blockReason:
        word, message = feedback.blockReason.lower(), feedback.blockReasonMessage
        problem = gemini_errors.Problem((word,), message or f"the prompt was blocked: {word}")
        return gemini_errors.judge(problem, 200, {}, now, FailureKind.REFUSED)
    for candidate in found.candidates or ():
        word = candidate.finishReason.lower()
        message = candidate.finishMessage or f"the model ended with {word or 'no reason'} and without an image"
        return gemini_errors.judge(gemini_errors.Problem((word,), message), 200, {}, now, FailureKind.NO_IMAGE)
    return Failure(FailureKind.NO_IMAGE, "the response has no candidates and gives no reason")


def _usage(found: _Response) -> Usage | None:
    if _is_null(found.usageMetadata):
        return None
    said = gemini_errors.decoded(found.usageMetadata, _Usage)
    if said is None:
        return None
    image_in, listed_in = _sums(said.promptTokensDetails)
    image_out, listed_out = _sums(said.candidatesTokensDetails)
    total_in = listed_in if said.promptTokenCount is None else said.promptTokenCount
    total_out = listed_out if said.candidatesTokenCount is None else said.candidatesTokenCount
    return Usage(
        text_in=max(0, total_in - image_in),
        image_in=image_in,
        text_out=max(0, total_out - image_out),
        image_out=image_out,
        thought=said.thoughtsTokenCount or 0,
        grounding_searches=sum(_searches(each) for each in found.candidates or ()),
    )


def _searches(candidate: _Candidate) -> int:
    found = gemini_errors.decoded(candidate.groundingMetadata, _Grounding)
    return len(found.webSearchQueries or ()) if found is not None else 0


def _sums(listed: list[_Tokens] | None) -> tuple[int, int]:
    """Image tokens, and all tokens that are listed by modality."""
    each_of = listed or []
    image = sum(each.tokenCount for each in each_of if each.modality.lower() == "image")
    return image, sum(each.tokenCount for each in each_of)


def _is_null(raw: Raw) -> bool:
    return bytes(memoryview(raw)[:4]) == b"null"


def _clean(failure: Failure, prompt: str, api_key: str) -> Failure:
    """Without prompt and key in what the provider chose the words of."""
    return replace(
        failure,
        message=redacted(failure.message, prompt, api_key),
        code=redacted(failure.code, prompt, api_key),
        model=redacted(failure.model, prompt, api_key)[:128],
        provider_request_id=redacted(failure.provider_request_id, prompt, api_key)[:128],
    )
