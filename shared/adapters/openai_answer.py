"""The two OpenAI-compatible forms of a gateway: what is posted, and what the answer holds. Pure.

Chat: the image is an address in choices[0].message.content, with or without markdown around it, mostly a data URL.
Images: data[].b64_json or data[].url. Both make 1K and take neither size nor ratio.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from shared.adapters import gemini_errors, image_header
from shared.adapters.gemini_answer import header_id
from shared.core.answer import Answer, Made, Order
from shared.core.failure import Failure, FailureKind

CHAT_PATH = "/v1/chat/completions"
IMAGES_PATH = "/v1/images/generations"

_DATA = re.compile(r"data:image/(?:png|jpe?g|webp);base64,([A-Za-z0-9+/_=\s-]+)")
_MARKDOWN = re.compile(r"!\[[^\]]*\]\(\s*(https?://[^\s)]+)")
_BARE = re.compile(r"^\s*(https?://\S+)\s*$")


class _Message(msgspec.Struct):
    content: str | list[dict[str, Any]] | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    finish_reason: str | None = None


class _Chat(msgspec.Struct):
    choices: list[_Choice]
    id: str | None = None
    model: str | None = None


class _Image(msgspec.Struct):
    b64_json: str | None = None
    url: str | None = None


class _Images(msgspec.Struct):
    data: list[_Image]
    id: str | None = None
    model: str | None = None


class Elsewhere(Struct, frozen=True):
    """The image lies at an address and is still to be fetched."""

    url: str
    model: str
    provider_request_id: str


Read: TypeAlias = Answer | Elsewhere


def chat_body(order: Order) -> dict[str, Any]:
    if not order.references:
        content: Any = order.prompt
    else:
        images = (
            f"data:{each.mime_type};base64,{base64.b64encode(each.data).decode('ascii')}" for each in order.references
        )
        content = [{"type": "text", "text": order.prompt}]
        content += [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return {"model": order.model, "stream": False, "messages": [{"role": "user", "content": content}]}


def images_body(order: Order) -> dict[str, Any]:
    return {"model": order.model, "prompt": order.prompt, "n": 1}


def read_chat(body: bytes, order: Order, headers: Mapping[str, str], now: datetime) -> Read:
    """The answer in the body of an HTTP 200. What stands in a failure is not redacted yet."""
    found = gemini_errors.decoded(body, _Chat)
    if found is None:
        return _no_answer(body, headers, now)
    model, request_id = found.model or order.model, found.id or header_id(headers)
    choice = found.choices[0] if found.choices else _Choice()
    message = choice.message or _Message()
    text = message.content if isinstance(message.content, str) else _joined(message.content)
    if inline := _DATA.search(text):
        return _made(inline[1], model, request_id)
    if linked := _MARKDOWN.search(text) or _BARE.search(text):
        return Elsewhere(linked[1], model, request_id)
    if message.refusal or choice.finish_reason == "content_filter":
        kind, said = FailureKind.REFUSED, message.refusal or "the answer was filtered"
    else:
        kind, said = FailureKind.NO_IMAGE, "the model answered with text only" if text else "an answer without content"
    return _failed(kind, said, choice.finish_reason or "", model, request_id)


def read_images(body: bytes, order: Order, headers: Mapping[str, str], now: datetime) -> Read:
    """As read_chat. An `error` beside the data is the reason why there is none."""
    found = gemini_errors.decoded(body, _Images)
    if found is None:
        return _no_answer(body, headers, now)
    model, request_id = found.model or order.model, found.id or header_id(headers)
    for each in found.data[-1:]:
        if each.b64_json:
            return _made(each.b64_json.rpartition(",")[2], model, request_id)
        if each.url and (inline := _DATA.match(each.url)):
            return _made(inline[1], model, request_id)
        if each.url:
            return Elsewhere(each.url, model, request_id)
    problem = gemini_errors.read_problem(body)
    if problem is not None:
        return _named(gemini_errors.judge(problem, 200, headers, now, FailureKind.NO_IMAGE), model, request_id)
    return _failed(FailureKind.NO_IMAGE, "an answer without an image and without a reason", "", model, request_id)


def fetched(data: bytes, found: Elsewhere) -> Answer:
    """The image that lay at the address."""
    picture = image_header.picture(data)
    if picture is None:
        said = f"{len(data)} bytes at the address of the image that are no readable jpeg, png or webp"
        return _failed(FailureKind.MALFORMED_ANSWER, said, "", found.model, found.provider_request_id)
    return Made(picture, None, found.model, "gateway", found.provider_request_id)


def _made(encoded: str, model: str, request_id: str) -> Answer:
    text = "".join(encoded.split()).replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return _failed(FailureKind.MALFORMED_ANSWER, "image data that is no base64", "", model, request_id)
    picture = image_header.picture(data)
    if picture is None:
        said = f"{len(data)} bytes that are no readable jpeg, png or webp"
        return _failed(FailureKind.MALFORMED_ANSWER, said, "", model, request_id)
    return Made(picture, None, model, "gateway", request_id)


def _joined(parts: list[dict[str, Any]] | None) -> str:
    """The texts and addresses of a content that is a list of parts."""
    found: list[str] = []
    for part in parts or ():
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        found += [each for each in (part.get("text"), url) if isinstance(each, str)]
    return "\n".join(found)


def _failed(kind: FailureKind, said: str, code: str, model: str, request_id: str) -> Failure:
    return Failure(
        kind, said, code, http_status=200, provider_request_id=request_id, model=model, lane="gateway"
    )  # fmt: skip


def _named(failure: Failure, model: str, request_id: str) -> Failure:
    return _failed(failure.kind, failure.message, failure.code, model, request_id)


def _no_answer(body: bytes, headers: Mapping[str, str], now: datetime) -> Failure:
    problem = gemini_errors.read_problem(body)
    if problem is not None:
        return gemini_errors.judge(problem, 200, headers, now)
    return Failure(
        FailureKind.MALFORMED_ANSWER,
        f"HTTP 200 with {len(body)} bytes that are no answer of this form",
        http_status=200,
        provider_request_id=header_id(headers),
    )
