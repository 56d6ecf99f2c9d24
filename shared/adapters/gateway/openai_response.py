"""The two OpenAI-compatible forms of a gateway: what is posted, and what the answer holds. Pure.

Chat: the picture is in message.images (OpenRouter, LiteLLM, Vercel), message.image, a part of message.content, or in
its text, as a data URL or an address, with or without markdown around it.
Images: data[].b64_json or data[].url. Both make 1K and take neither size nor ratio.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from shared.adapters.gemini.interactions_response import header_id
from shared.adapters.gemini_errors import answer_errors
from shared.adapters.gemini_errors.error_codes import REFUSALS
from shared.adapters.payloads import answer_image
from shared.adapters.payloads.answer_image import Read, Served, malformed
from shared.adapters.payloads.image_parts import Part, in_text, parts_of
from shared.adapters.payloads.json_member import NONE, decoded, first_byte, items_of, name_of, printable, text_of
from shared.adapters.payloads.sse import values_of
from shared.core.catalogue.catalogue import MODALITIES
from shared.core.provider.call import Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.values.route import GATEWAY

CHAT_PATH = "/v1/chat/completions"
IMAGES_PATH = "/v1/images/generations"


class _Message(msgspec.Struct):
    content: Raw = NONE
    refusal: Raw = NONE


class _Choice(msgspec.Struct):
    message: Raw = NONE
    delta: Raw = NONE
    finish_reason: Raw = NONE
    native_finish_reason: Raw = NONE
    error: Raw = NONE


class _Answer(msgspec.Struct):
    choices: Raw = NONE
    data: Raw = NONE
    id: Raw = NONE
    model: Raw = NONE
    error: Raw = NONE


def chat_body(order: Order, modalities: Sequence[str] = MODALITIES) -> dict[str, Any]:
    """`modalities` empty: the gateway refuses them, and they are left out. Without them OpenRouter, LiteLLM from 1.77
    on and the AI Gateway of Vercel give text alone (https://github.com/QuantumNous/new-api/issues/1723,
    https://openrouter.ai/docs/features/multimodal/image-generation).
    """
    if not order.references:
        content: Any = order.prompt
    else:
        images = (
            f"data:{image.mime_type};base64,{base64.b64encode(image.data).decode('ascii')}"
            for image in order.references
        )
        content = [{"type": "text", "text": order.prompt}]
        content += [{"type": "image_url", "image_url": {"url": url}} for url in images]
    messages = [{"role": "user", "content": content}]
    if order.system_instruction is not None:
        messages.insert(0, {"role": "system", "content": order.system_instruction})
    body = {"model": order.model, "stream": False, "messages": messages}
    return body | ({"modalities": list(modalities)} if modalities else {})


def images_body(order: Order) -> dict[str, Any]:
    return {"model": order.model, "prompt": order.prompt, "n": 1}


def read_chat(body: bytes, order: Order, headers: Mapping[str, str], now: datetime) -> Read:
    """The answer in the body of an HTTP 200. The text of a failure is not redacted yet."""
    return _read(body, order, headers, now, is_chat=True)


def read_images(body: bytes, order: Order, headers: Mapping[str, str], now: datetime) -> Read:
    """As read_chat. An `error` beside the data is the reason if there is no picture."""
    return _read(body, order, headers, now, is_chat=False)


def _read(body: bytes, order: Order, headers: Mapping[str, str], now: datetime, *, is_chat: bool) -> Read:
    values = values_of(body)
    chunks = [answer for value in values if (answer := decoded(value, _Answer)) is not None]
    choices = [choice for chunk in chunks for choice in items_of(chunk.choices, _Choice)]
    parts = [part for value in values for part in parts_of(value, texts=is_chat)]
    if len(chunks) > 1:
        parts += _in_pieces(choices, texts=is_chat)
    if not parts and not any(map(_is_answer, chunks)):
        return _no_answer(body, values, headers, now)
    served = Served(
        None,
        _name(chunk.model for chunk in chunks) or order.model,
        GATEWAY,
        _name(chunk.id for chunk in chunks) or header_id(headers),
    )
    return answer_image.read(parts, served, lambda fault: _without_image(chunks, choices, fault, headers, now))


def _in_pieces(choices: Sequence[_Choice], *, texts: bool) -> Iterator[Part]:
    """The text of all chunks of a stream together: a data URL spans many of them."""
    return in_text("".join(text_of(message.content) for message in _messages(choices)), texts=texts)


def _is_answer(chunk: _Answer) -> bool:
    return b"[" in (first_byte(chunk.choices), first_byte(chunk.data))


def _name(members: Iterable[Raw]) -> str:
    return next(filter(None, map(name_of, members)), "")


def _messages(choices: Sequence[_Choice]) -> list[_Message]:
    """From whole answers and from the chunks of a stream."""
    raws = [raw for choice in choices for raw in (choice.message, choice.delta)]
    return [message for raw in raws if (message := decoded(raw, _Message)) is not None]


def _without_image(
    chunks: Sequence[_Answer], choices: Sequence[_Choice], fault: str, headers: Mapping[str, str], now: datetime
) -> Failure:
    errors = [*(chunk.error for chunk in chunks), *(choice.error for choice in choices)]
    problems = [problem for error in errors if (problem := answer_errors.inner_problem(error)) is not None]
    failures = [answer_errors.judge_instead(problem, headers, now, FailureKind.NO_IMAGE) for problem in problems]
    refusal = next((failure for failure in failures if failure.kind is FailureKind.REFUSED), None)
    refusal = refusal or _refusal(choices)
    if refusal is not None:
        return refusal
    if failures:
        return failures[0]
    if fault:
        return malformed(fault)
    if not choices and any(first_byte(chunk.data) == b"[" for chunk in chunks):
        return Failure(FailureKind.NO_IMAGE, "an answer without an image and without a reason")
    text = any(text_of(message.content) for message in _messages(choices))
    line = "the model answered with text only" if text else "an answer without content"
    ends = (choice.native_finish_reason for choice in choices), (choice.finish_reason for choice in choices)
    return Failure(FailureKind.NO_IMAGE, line, _name(ends[1]) or _name(ends[0]))


def _refusal(choices: Sequence[_Choice]) -> Failure | None:
    """The model's refusal in the words of the choice: `refusal`, or how it ended."""
    text = "".join(text_of(message.refusal) for message in _messages(choices))
    ends = [printable(text_of(raw)).lower() for c in choices for raw in (c.native_finish_reason, c.finish_reason)]
    code = next((end for end in ends if end in REFUSALS), "")
    if not text and not code:
        return None
    return Failure(FailureKind.REFUSED, text or f"the answer was filtered: {code}", code)


def _no_answer(body: bytes, values: Sequence[Raw], headers: Mapping[str, str], now: datetime) -> Failure:
    problem = answer_errors.problem_among(values)
    if problem is not None:
        return answer_errors.judge_instead(problem, headers, now)
    return Failure(
        FailureKind.MALFORMED_ANSWER,
        f"HTTP 200 with {len(body)} bytes that are no answer of this form",
        http_status=200,
        provider_request_id=header_id(headers),
    )
