"""What the body of a generateContent answer holds: a picture, or the failure it means. Pure.

The same outcomes as of an interaction, said in other places: promptFeedback.blockReason without candidates, a
candidate's finishReason, or a candidate that stopped as usual and holds text only. A line of a batch holds one too.
Both spellings are read (camel and snake): proxies send either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Raw

from shared.adapters.gemini.interactions_response import header_id, tier
from shared.adapters.gemini_errors import answer_errors
from shared.adapters.gemini_errors.errors import ProviderProblem
from shared.adapters.payloads import answer_image
from shared.adapters.payloads.answer_image import Read, Served, malformed
from shared.adapters.payloads.image_parts import parts_of
from shared.adapters.payloads.json_member import NONE, decoded, first_byte, items_of, name_of, printable, text_of
from shared.adapters.payloads.sse import values_of
from shared.adapters.payloads.token_counts import usage_of
from shared.core.provider.call import Order
from shared.core.provider.failure import Failure, FailureKind

USUAL_ENDS = ("", "STOP", "FINISH_REASON_UNSPECIFIED", "0", "1")
"""Also as the enum's numbers."""


class _Usage(msgspec.Struct):
    serviceTier: Raw = NONE
    service_tier: Raw = NONE


class _Part(msgspec.Struct):
    text: Raw = NONE
    thought: Raw = NONE


class _Content(msgspec.Struct):
    parts: Raw = NONE


class _Grounding(msgspec.Struct):
    webSearchQueries: Raw = NONE
    web_search_queries: Raw = NONE
    imageSearchQueries: Raw = NONE
    image_search_queries: Raw = NONE


class _Candidate(msgspec.Struct):
    content: Raw = NONE
    finishReason: Raw = NONE
    finish_reason: Raw = NONE
    finishMessage: Raw = NONE
    finish_message: Raw = NONE
    groundingMetadata: Raw = NONE
    grounding_metadata: Raw = NONE


class _Feedback(msgspec.Struct):
    blockReason: Raw = NONE
    block_reason: Raw = NONE
    blockReasonMessage: Raw = NONE
    block_reason_message: Raw = NONE


class _Answer(msgspec.Struct):
    candidates: Raw = NONE
    promptFeedback: Raw = NONE
    prompt_feedback: Raw = NONE
    usageMetadata: Raw = NONE
    usage_metadata: Raw = NONE
    modelVersion: Raw = NONE
    model_version: Raw = NONE
    responseId: Raw = NONE
    response_id: Raw = NONE
    error: Raw = NONE
    response: Raw = NONE
    """Around all of it, at some relays: https://github.com/su-kaka/gcli2api."""


def read_answer(body: bytes | bytearray, order: Order, headers: Mapping[str, str], now: datetime) -> Read:
    """The answer in the body of an HTTP 200. `headers` by lower-case name. A body of another shape is MALFORMED_ANSWER.

    The text of the failure is not redacted yet.
    """
    values = values_of(body)
    return read_values(
        values, order.model, order.lane, headers, now, lambda: _no_answer(body, values, headers, now)
    )  # fmt: skip


def read_values(
    values: Sequence[Raw],
    model: str,
    lane: str,
    headers: Mapping[str, str],
    now: datetime,
    unreadable: Callable[[], Failure],
) -> Read:
    """The answer in these JSON values: one, or the chunks of a stream. `model` and `lane` as they were ordered."""
    chunks = [answer for value in values if (answer := _answer(value)) is not None]
    parts = [part for value in values for part in parts_of(value)]
    if not parts and not any(map(_is_answer, chunks)):
        return unreadable()
    candidates = [candidate for chunk in chunks for candidate in items_of(chunk.candidates, _Candidate)]
    counted = [raw for chunk in chunks for raw in (chunk.usageMetadata, chunk.usage_metadata) if first_byte(raw)]
    tiers = [usage for raw in counted if (usage := decoded(raw, _Usage)) is not None]
    searches = sum(map(_searches, candidates))
    served = Served(
        next(filter(None, (usage_of(raw, searches) for raw in reversed(counted))), None),
        _name(raw for chunk in chunks for raw in (chunk.modelVersion, chunk.model_version)).removeprefix("models/")
        or model,
        tier(_name(raw for usage in tiers for raw in (usage.serviceTier, usage.service_tier)), headers) or lane,
        _name(raw for chunk in chunks for raw in (chunk.responseId, chunk.response_id)) or header_id(headers),
    )
    return answer_image.read(parts, served, lambda fault: _without_image(chunks, candidates, fault, headers, now))


def _answer(value: Raw) -> _Answer | None:
    answer = decoded(value, _Answer)
    if answer is not None and first_byte(answer.response) == b"{":
        return decoded(answer.response, _Answer)
    return answer


def _is_answer(chunk: _Answer) -> bool:
    members = (chunk.candidates, chunk.promptFeedback, chunk.prompt_feedback)
    return any(first_byte(raw) in (b"[", b"{") for raw in members) or bool(name_of(chunk.modelVersion))


def _name(members: Iterable[Raw]) -> str:
    return next(filter(None, map(name_of, members)), "")


def _text(*members: Raw) -> str:
    return next(filter(None, map(text_of, members)), "")


def _without_image(
    chunks: Sequence[_Answer],
    candidates: Sequence[_Candidate],
    fault: str,
    headers: Mapping[str, str],
    now: datetime,
) -> Failure:
    blocked = [failure for chunk in chunks if (failure := _block(chunk)) is not None]
    if blocked:
        return blocked[0]
    problems = [problem for chunk in chunks if (problem := answer_errors.inner_problem(chunk.error)) is not None]
    ends = [answer_errors.judge(problem, headers, now, FailureKind.NO_IMAGE) for problem in problems]
    ends += [end for candidate in candidates if (end := _unusual_end(candidate, headers, now)) is not None]
    refusals = [end for end in ends if end.kind is FailureKind.REFUSED]
    if refusals:
        return refusals[0]
    if fault:
        return malformed(fault)
    if ends:
        return ends[0]
    if not candidates and any(first_byte(chunk.candidates) == b"[" for chunk in chunks):
        has_candidates = any(decoded(chunk.candidates, list[Raw]) for chunk in chunks)
        return malformed("candidates that cannot be read") if has_candidates else _NO_CANDIDATES
    what = "text only" if any(map(_has_text, candidates)) else "no output at all"
    return Failure(FailureKind.NO_IMAGE, f"the model answered with {what} and gave no reason")


_NO_CANDIDATES = Failure(FailureKind.NO_IMAGE, "the answer has no candidates and gives no reason")


def _block(chunk: _Answer) -> Failure | None:
    for raw in (chunk.promptFeedback, chunk.prompt_feedback):
        feedback = decoded(raw, _Feedback)
        reason = printable(_text(feedback.blockReason, feedback.block_reason)) if feedback is not None else ""
        if feedback is not None and reason not in ("", "0", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"):
            code = reason.lower()[:64]
            text = (
                _text(feedback.blockReasonMessage, feedback.block_reason_message) or f"the prompt was blocked: {code}"
            )
            return Failure(FailureKind.REFUSED, text, code)
    return None


def _unusual_end(candidate: _Candidate, headers: Mapping[str, str], now: datetime) -> Failure | None:
    reason = printable(_text(candidate.finishReason, candidate.finish_reason))
    if reason.upper() in USUAL_ENDS:
        return None
    code = reason.lower()[:64]
    text = _text(candidate.finishMessage, candidate.finish_message) or f"the model stopped without an image: {code}"
    return answer_errors.judge(ProviderProblem((code,), text), headers, now, FailureKind.NO_IMAGE)


def _has_text(candidate: _Candidate) -> bool:
    content = decoded(candidate.content, _Content)
    parts = items_of(content.parts, _Part) if content is not None else []
    return any(text_of(part.text) for part in parts)


def _searches(candidate: _Candidate) -> int:
    for raw in (candidate.groundingMetadata, candidate.grounding_metadata):
        grounding = decoded(raw, _Grounding)
        if grounding is not None:
            web = items_of(grounding.webSearchQueries, Raw) or items_of(grounding.web_search_queries, Raw)
            images = items_of(grounding.imageSearchQueries, Raw) or items_of(grounding.image_search_queries, Raw)
            return len(web) + len(images)
    return 0


def _no_answer(body: bytes | bytearray, values: Sequence[Raw], headers: Mapping[str, str], now: datetime) -> Failure:
    problem = answer_errors.problem_among(values)
    if problem is not None:
        return answer_errors.judge_instead(problem, headers, now)
    return Failure(
        FailureKind.MALFORMED_ANSWER,
        f"HTTP 200 with {len(body)} bytes that are no generateContent answer",
        http_status=200,
        provider_request_id=header_id(headers),
    )
