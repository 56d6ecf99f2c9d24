"""The two OpenAI-compatible forms of a gateway, chat completions and images: 1K only, no size and no ratio."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Literal

from scripts.simulator.formats.fields import need, objects, read
from scripts.simulator.formats.reply import WrittenAnswer, json_answer
from scripts.simulator.provider.accepted_request import Headline, Inline, PictureOrder
from scripts.simulator.provider.parameters import Parameters
from scripts.simulator.provider.problems import ApiProblem, invalid
from scripts.simulator.provider.rendered import NoImage, RenderedImage
from scripts.simulator.provider.tariff import Tariff

Form = Literal["chat", "images"]

_DATA_URL = re.compile(r"data:(image/[a-z+]+);base64,(.+)", re.DOTALL)
_REFUSALS = ("safety", "image_safety", "prohibited_content", "blocklist", "content_blocked")


def headline(body: Mapping[str, Any], model: str, form: Form) -> Headline:
    """Of any body, however malformed."""
    if form == "images":
        prompt = body.get("prompt")
        return Headline(model=model, prompt=prompt if isinstance(prompt, str) else "")
    texts, references = [], 0
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, dict) and message.get("role") == "system":
            continue
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                texts.append(part["text"])
            elif isinstance(part, dict) and part.get("type") == "image_url":
                references += 1
    return Headline(model=model, prompt="\n".join(texts), references=references)


def chat_order(body: Mapping[str, Any]) -> PictureOrder:
    _only(body, ("model", "messages", "stream", "modalities"))
    if body.get("stream"):
        raise invalid("stream is not served")
    texts, references, instruction = [], [], ""
    for message in objects(need(body, "messages", list), "messages"):
        content = message.get("content")
        if message.get("role") == "system" and isinstance(content, str):
            instruction = content
            continue
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else need(message, "content", list)
        for part in objects(parts, "messages.content"):
            if part.get("type") == "text":
                texts.append(need(part, "text", str, "messages.content."))
            elif part.get("type") == "image_url":
                url = need(need(part, "image_url", dict), "url", str)
                match = _DATA_URL.fullmatch(url)
                if match is None:
                    raise invalid("image_url: only data URLs with base64 are taken")
                references.append(Inline(match[1], match[2]))
            else:
                raise invalid(f"Unsupported part: {part.get('type')!r}")
    parameters = Parameters(instruction=instruction)
    return PictureOrder(prompt=_prompt("\n".join(texts)), references=tuple(references), parameters=parameters)


def images_order(body: Mapping[str, Any]) -> PictureOrder:
    _only(body, ("model", "prompt", "n", "response_format"))
    if (read(body, "n", int) or 1) != 1:
        raise invalid("n: only 1 image a call")
    return PictureOrder(prompt=_prompt(need(body, "prompt", str)))


def problem_answer(problem: ApiProblem) -> WrittenAnswer:
    """As these servers word it: a type of their own, and the code as a word."""
    error = {"message": problem.message, "type": "gateway_error", "param": None, "code": problem.code}
    return json_answer(problem.http_status, {"error": error}, problem.headers)


def chat_answer(made: RenderedImage, tariff: Tariff) -> WrittenAnswer:
    message: dict[str, Any] = {"role": "assistant", "content": made.text or None}
    finish = "stop"
    match made.no_image:
        case NoImage(form="text_only", message=text):
            message["content"] = text
        case NoImage(form="incomplete"):
            finish = "length"
        case NoImage(code=code, message=text) if code in _REFUSALS:
            message["refusal"], finish = text, "content_filter"
        case NoImage(message=text):
            message["content"] = text
        case None if made.picture is not None:
            message["content"] = f"Here it is:\n\n![image]({_url(made, made.picture, tariff)})"
        case None:
            finish = "length"
    return json_answer(
        200,
        {
            "id": f"chatcmpl-{made.id}",
            "object": "chat.completion",
            "created": int(made.created.timestamp()),
            "model": made.model.id,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 1290, "total_tokens": 1300},
        },
    )


def images_answer(made: RenderedImage, tariff: Tariff) -> WrittenAnswer:
    """A refusal is a 200 without data here: it was worked on, and is charged."""
    data: list[dict[str, str]] = []
    if made.no_image is None and made.picture is not None:
        url = _url(made, made.picture, tariff)
        data = [{"url": url} if tariff.by_url else {"b64_json": url.partition(",")[2]}]
    body: dict[str, Any] = {"created": int(made.created.timestamp()), "model": made.model.id, "data": data}
    if made.no_image is not None and made.no_image.code in _REFUSALS:
        body["error"] = {"message": made.no_image.message, "type": "gateway_error", "code": made.no_image.code}
    return json_answer(200, body)


def _url(made: RenderedImage, picture: bytes, tariff: Tariff) -> str:
    if tariff.by_url:
        return tariff.keep(f"{made.id}.jpg", picture)
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}"


def _prompt(text: str) -> str:
    if not text.strip():
        raise invalid("the prompt is empty")
    return text


def _only(body: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    unknown = [name for name in body if name not in allowed]
    if unknown:
        raise invalid(f"Unknown parameter: {unknown[0]!r}", code="parameter_unknown")
