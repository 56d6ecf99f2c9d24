"""What the body of a generateContent answer holds: a picture, or the failure it means. Pure.

The same outcomes as of an interaction, said in other places: promptFeedback.blockReason without candidates, a
candidate's finishReason, or a candidate that stopped as usual and holds text only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Raw
from msgspec.structs import replace

from shared.adapters import gemini_errors, image_header
from shared.adapters.gemini_answer import TIERS, header_id
from shared.core.answer import Answer, Made, Order, Usage
from shared.core.failure import Failure, FailureKind

_Count = Annotated[int, Meta(ge=0, le=10**9)]
USUAL_ENDS = ("", "STOP", "FINISH_REASON_UNSPECIFIED")


class _Tokens(msgspec.Struct, rename="camel"):
    modality: str = ""
    token_count: _Count = 0


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: _Count | None = None
    candidates_token_count: _Count | None = None
    thoughts_token_count: _Count | None = None
    prompt_tokens_details: list[_Tokens] | None = None
    candidates_tokens_details: list[_Tokens] | None = None
    service_tier: str | None = None


class _Part(msgspec.Struct):
    thought: bool | None = None
    """A sketch of the model's own, not its answer."""
    inlineData: Raw = Raw(b"")
    inline_data: Raw = Raw(b"")
    """The other spelling, which some proxies send."""
    text: str | None = None


class _Data(msgspec.Struct):
    data: bytes = b""


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Grounding(msgspec.Struct, rename="camel"):
    web_search_queries: list[str] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    content: Raw = Raw(b"null")
    finish_reason: str | None = None
    finish_message: str | None = None
    grounding_metadata: Raw = Raw(b"null")


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None
    block_reason_message: str | None = None


class _Answer(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: Raw = Raw(b"null")
    model_version: str | None = None
    response_id: str | None = None


class _Unreadable(Exception):
    """The body is of another shape than an answer's; the message says where."""


def read_answer(body: bytes | bytearray, order: Order, headers: Mapping[str, str], now: datetime) -> Answer:
    """The answer in the body of an HTTP 200. `headers` by lower-case name.

    A body of another shape is MALFORMED_ANSWER. What stands in the failure is not redacted yet.
    """
    found = gemini_errors.decoded(body, _Answer)
    if found is None or (found.candidates is None and found.prompt_feedback is None and not found.model_version):
        return _no_answer(body, headers, now)
    told = gemini_errors.decoded(found.usage_metadata, _Usage | None)  # type: ignore[arg-type]  # msgspec takes unions
    usage = _usage(told, found.candidates or ())
    model = (found.model_version or "").removeprefix("models/") or order.model
    lane = _tier(told, headers) or order.lane
    request_id = found.response_id or header_id(headers)
    try:
        data = _last_image(found.candidates or ())
    except _Unreadable as error:
        failure = Failure(FailureKind.MALFORMED_ANSWER, str(error))
    else:
        picture = image_header.picture(data) if data is not None else None
        if picture is not None:
            return Made(picture, usage, model, lane, request_id)
        failure = _without_image(found, data, headers, now)
    return replace(
        failure, http_status=200, provider_request_id=request_id, usage=usage, model=model, lane=lane
    )  # fmt: skip


def _last_image(candidates: Sequence[_Candidate]) -> bytes | None:
    """The bytes of the last image that is no thought; None where there is none. Raises _Unreadable."""
    try:
        for candidate in candidates:
            images = [part for part in _parts(candidate) if part.inlineData or part.inline_data]
            if images:
                return msgspec.json.decode(images[-1].inlineData or images[-1].inline_data, type=_Data).data
    except (ValueError, RecursionError) as error:
        raise _Unreadable("a candidate whose content is no list of parts with base64 data") from error
    return None


def _parts(candidate: _Candidate) -> list[_Part]:
    content = msgspec.json.decode(candidate.content, type=_Content | None)
    parts = (content.parts if content is not None else None) or []
    return [part for part in parts if not part.thought]


def _without_image(found: _Answer, data: bytes | None, headers: Mapping[str, str], now: datetime) -> Failure:
    if data is not None:
        return Failure(FailureKind.MALFORMED_ANSWER, f"{len(data)} bytes that are no readable jpeg, png or webp")
    blocked = found.prompt_feedback
    if blocked is not None and blocked.block_reason:
        code = blocked.block_reason.lower()[:64]
        said = blocked.block_reason_message or f"the prompt was blocked: {code}"
        return Failure(FailureKind.REFUSED, said, code)
    candidates = found.candidates or []
    for candidate in candidates:
        if candidate.finish_reason not in (None, *USUAL_ENDS):
            code = candidate.finish_reason.lower()[:64]
            said = candidate.finish_message or f"the model stopped without an image: {code}"
            return gemini_errors.judge(
                gemini_errors.Problem((code,), said), 200, headers, now, FailureKind.NO_IMAGE
            )  # fmt: skip
    text = any(part.text for candidate in candidates for part in _parts(candidate))
    what = "text only" if text else "no output at all"
    return Failure(FailureKind.NO_IMAGE, f"the model answered with {what} and gave no reason")


def _no_answer(body: bytes | bytearray, headers: Mapping[str, str], now: datetime) -> Failure:
    problem = gemini_errors.read_problem(body)
    if problem is not None:
        return gemini_errors.judge(problem, 200, headers, now)
    return Failure(
        FailureKind.MALFORMED_ANSWER,
        f"HTTP 200 with {len(body)} bytes that are no generateContent answer",
        http_status=200,
        provider_request_id=header_id(headers),
    )


def _tier(told: _Usage | None, headers: Mapping[str, str]) -> str | None:
    said = (told.service_tier if told is not None else None, headers.get("x-gemini-service-tier"))
    return next((each.lower() for each in said if each and each.lower() in TIERS), None)


def _usage(found: _Usage | None, candidates: Sequence[_Candidate]) -> Usage | None:
    """None where there is none, or one that cannot be read: the image beside it is paid for all the same."""
    if found is None:
        return None
    image_in, listed_in = _sums(found.prompt_tokens_details)
    image_out, listed_out = _sums(found.candidates_tokens_details)
    total_in = listed_in if found.prompt_token_count is None else found.prompt_token_count
    total_out = listed_out if found.candidates_token_count is None else found.candidates_token_count
    grounding = [gemini_errors.decoded(each.grounding_metadata, _Grounding) for each in candidates]
    return Usage(
        text_in=max(0, total_in - image_in),
        image_in=image_in,
        text_out=max(0, total_out - image_out),
        image_out=image_out,
        thought=found.thoughts_token_count or 0,
        grounding_searches=sum(len(each.web_search_queries or ()) for each in grounding if each is not None),
    )


def _sums(listed: list[_Tokens] | None) -> tuple[int, int]:
    """Image tokens, and all tokens that are listed by modality."""
    each_of = listed or []
    image = sum(each.token_count for each in each_of if each.modality.upper() == "IMAGE")
    return image, sum(each.token_count for each in each_of)
