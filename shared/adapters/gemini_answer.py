"""What the body of a Gemini interaction holds: a picture, or the failure it means. Pure.

The body is decoded in three steps (interaction, content of a model_output step, image data), each a view of the same
buffer, so that a 20 MB image exists as its base64 once and as its bytes once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from shared.adapters import gemini_errors, image_header
from shared.core.answer import Answer, Made, Order, Usage
from shared.core.failure import Failure, FailureKind

TIERS = ("standard", "priority", "flex")
ENDED_WITHOUT = ("failed", "incomplete", "requires_action", "requires_continuation", "cancelled", "budget_exceeded")
"""Statuses of an interaction that has ended, or will not go on by itself, without its image being finished."""

_Count = Annotated[int, Meta(ge=0, le=10**9)]


class _Tokens(msgspec.Struct):
    modality: str = ""
    tokens: _Count = 0


class _Searches(msgspec.Struct):
    type: str = ""
    count: _Count = 0


class _Usage(msgspec.Struct):
    total_input_tokens: _Count | None = None
    input_tokens_by_modality: list[_Tokens] | None = None
    total_output_tokens: _Count | None = None
    output_tokens_by_modality: list[_Tokens] | None = None
    total_thought_tokens: _Count | None = None
    grounding_tool_count: list[_Searches] | None = None


class _Part(msgspec.Struct):
    type: str
    data: Raw = Raw(b"null")


class _Step(msgspec.Struct):
    type: str
    content: Raw = Raw(b"null")
    error: Raw = Raw(b"null")


class _Interaction(msgspec.Struct):
    status: str
    steps: list[_Step] | None = None
    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    usage: Raw = Raw(b"null")
    errors: list[Raw] | None = None


class _Unreadable(Exception):
    """The body is of another shape than an interaction's; the message says where."""


def read_answer(body: bytearray, order: Order, headers: Mapping[str, str], now: datetime) -> Answer:
    """The answer in the body of an HTTP 200. `headers` by lower-case name.

    A body of another shape is MALFORMED_ANSWER. An `incomplete` interaction that holds an image counts as made: the
    image is paid for and whole, what was cut off came after it. What stands in the failure is not redacted yet.
    """
    found = gemini_errors.decoded(body, _Interaction)
    if found is None:
        return _no_interaction(body, headers, now)
    usage = _usage(found.usage)
    model = (found.model or "").removeprefix("models/") or order.model
    lane = _tier(found, headers) or order.lane
    request_id = found.id or header_id(headers)
    try:
        data = _last_image(found)
    except _Unreadable as error:
        return Failure(
            FailureKind.MALFORMED_ANSWER,
            str(error),
            http_status=200,
            provider_request_id=request_id,
            usage=usage,
            model=model,
            lane=lane,
        )
    if data is not None:
        picture = image_header.picture(data)
        if picture is not None:
            return Made(picture, usage, model, lane, request_id)
    failure = _without_image(found, data, headers, now)
    return Failure(
        failure.kind,
        failure.message,
        failure.code,
        http_status=200,
        retry_after=failure.retry_after,
        quota_id=failure.quota_id,
        quota_value=failure.quota_value,
        provider_request_id=request_id,
        usage=usage,
        model=model,
        lane=lane,
    )


def header_id(headers: Mapping[str, str]) -> str:
    """The provider's name for the call, where a header tells it."""
    names = ("x-request-id", "x-goog-request-id", "x-cloud-trace-context", "x-guploader-uploadid")
    return next((headers[each] for each in names if headers.get(each)), "")


def _last_image(found: _Interaction) -> bytes | None:
    """The bytes of the last image of a model_output step; None where there is none. Raises _Unreadable."""
    if found.status not in ("completed", "incomplete"):
        return None
    if found.steps is None and found.status == "completed":
        raise _Unreadable("a completed interaction without steps")
    for step in reversed(found.steps or ()):
        if step.type != "model_output":
            continue
        try:
            parts = msgspec.json.decode(step.content, type=list[_Part] | None) or []
            images = [each for each in parts if each.type == "image"]
            if images:
                return msgspec.json.decode(images[-1].data, type=bytes)
        except (ValueError, RecursionError) as error:
            raise _Unreadable("a model_output step whose content is no list of parts with base64 data") from error
    return None


def _without_image(found: _Interaction, data: bytes | None, headers: Mapping[str, str], now: datetime) -> Failure:
    if data is not None:
        return Failure(FailureKind.MALFORMED_ANSWER, f"{len(data)} bytes that are no readable jpeg, png or webp")
    if found.status not in ("completed", *ENDED_WITHOUT):
        return Failure(FailureKind.MALFORMED_ANSWER, f"an interaction that is {found.status[:40]!r}, not ended")
    problems = [gemini_errors.judge(each, 200, headers, now, FailureKind.NO_IMAGE) for each in _problems(found)]
    refusals = [each for each in problems if each.kind is FailureKind.REFUSED]
    if problems:
        return (refusals or problems)[0]
    if found.status != "completed":
        return Failure(FailureKind.NO_IMAGE, f"the interaction ended as {found.status} without an image", found.status)
    what = "text only" if any(each.type == "model_output" for each in found.steps or ()) else "no output at all"
    return Failure(FailureKind.NO_IMAGE, f"the interaction completed with {what} and gave no reason")


def _problems(found: _Interaction) -> Iterator[gemini_errors.Problem]:
    inner = [*(found.errors or ()), *(each.error for each in found.steps or ())]
    for each in inner:
        problem = gemini_errors.read_inner_problem(each)
        if problem is not None and (problem.codes or problem.number or problem.message):
            yield problem


def _no_interaction(body: bytearray, headers: Mapping[str, str], now: datetime) -> Failure:
    problem = gemini_errors.read_problem(body)
    if problem is not None:
        return gemini_errors.judge(problem, 200, headers, now)
    return Failure(
        FailureKind.MALFORMED_ANSWER,
        f"HTTP 200 with {len(body)} bytes that are no interaction",
        http_status=200,
        provider_request_id=header_id(headers),
    )


def _tier(found: _Interaction, headers: Mapping[str, str]) -> str | None:
    said = (found.service_tier, headers.get("x-gemini-service-tier"))
    return next((each.lower() for each in said if each and each.lower() in TIERS), None)


def _usage(raw: Raw) -> Usage | None:
    """None where there is none, or one that cannot be read: the image beside it is paid for all the same."""
    found = gemini_errors.decoded(raw, _Usage | None)  # type: ignore[arg-type]  # msgspec takes unions
    if found is None:
        return None
    image_in, listed_in = _sums(found.input_tokens_by_modality)
    image_out, listed_out = _sums(found.output_tokens_by_modality)
    total_in = listed_in if found.total_input_tokens is None else found.total_input_tokens
    total_out = listed_out if found.total_output_tokens is None else found.total_output_tokens
    return Usage(
        text_in=max(0, total_in - image_in),
        image_in=image_in,
        text_out=max(0, total_out - image_out),
        image_out=image_out,
        thought=found.total_thought_tokens or 0,
        grounding_searches=sum(each.count for each in found.grounding_tool_count or () if each.type == "google_search"),
    )


def _sums(listed: list[_Tokens] | None) -> tuple[int, int]:
    """Image tokens, and all tokens that are listed by modality."""
    each_of = listed or []
    return sum(each.tokens for each in each_of if each.modality.lower() == "image"), sum(e.tokens for e in each_of)
