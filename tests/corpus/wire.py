"""An answer as the bytes that a provider sends."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import Any

from msgspec import Struct

from tests.corpus import pictures
from tests.corpus.case import AnswerScript, Scripted, filled

JSON = "application/json; charset=UTF-8"


class Sent(Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes
    """As it goes over the wire, compressed where `content-encoding` says so."""
    plain: bytes
    """As a client reads it."""


def sent(answer: AnswerScript, form: str, model: str, host: str) -> Sent:
    """The bytes of one answer; `form` and `model` matter to an ordinary picture only."""
    scripted = Scripted(body="ok") if answer == "ok" else answer
    plain = _plain(scripted, form, model, host)
    headers = {"content-type": JSON} | {name.lower(): filled(value, host) for name, value in scripted.headers.items()}
    if scripted.sse and "content-type" not in scripted.headers:
        headers["content-type"] = "text/event-stream"
    body = plain
    if scripted.encoding:
        headers["content-encoding"] = scripted.encoding
        body = gzip.compress(plain, mtime=0) if scripted.encoding == "gzip" else zlib.compress(plain)
    return Sent(scripted.status, headers, body, plain)


def ordinary(form: str, model: str) -> dict[str, Any]:
    """A picture as the form usually brings it."""
    data = base64.b64encode(pictures.encoded("JPEG")).decode()
    match form:
        case "interactions":
            image = {"type": "image", "mime_type": "image/jpeg", "data": data}
            return {
                "id": "v1_ok",
                "object": "interaction",
                "model": model,
                "status": "completed",
                "service_tier": "standard",
                "steps": [{"type": "thought", "signature": "c2ln"}, {"type": "model_output", "content": [image]}],
                "usage": pictures.USAGE_INTERACTIONS,
            }
        case "chat":
            message = {"role": "assistant", "content": f"![image](data:image/jpeg;base64,{data})"}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            return {"id": "chatcmpl-ok", "object": "chat.completion", "model": model, "choices": [choice]}
        case "images":
            return {"created": 1, "data": [{"b64_json": data}]}
        case _:
            part = {"inlineData": {"mimeType": "image/jpeg", "data": data}}
            content = {"role": "model", "parts": [part]}
            return {
                "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
                "usageMetadata": pictures.USAGE_GENERATE_CONTENT,
                "modelVersion": model,
                "responseId": "r-ok",
            }


def _plain(scripted: Scripted, form: str, model: str, host: str) -> bytes:
    if scripted.hex is not None:
        return bytes.fromhex(scripted.hex)
    if scripted.text is not None:
        text = filled(scripted.text, host)
        return base64.b64decode(text) if scripted.text in pictures.texts() and form == "file" else text.encode()
    if scripted.body is None:
        return b""
    if form == "file" and scripted.body == "ok":
        return pictures.encoded("PNG")
    body = ordinary(form, model) if scripted.body == "ok" else filled(scripted.body, host)
    if scripted.sse:
        events = [f"data: {json.dumps(item)}\n\n" for item in body]
        return (scripted.pad + "".join(events) + "data: [DONE]\n\n").encode()
    return scripted.pad.encode() + json.dumps(body).encode()
