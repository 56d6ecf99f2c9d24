"""Every reader of the product behind one signature: an HTTP answer in, what it means out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from shared.adapters.gateway import openai_response
from shared.adapters.gemini import generate_content_response, interactions_response
from shared.adapters.gemini_batch.batch_lines import read_line
from shared.adapters.gemini_errors import errors
from shared.adapters.payloads.quotation import SENT, Sent
from shared.core.provider.call import Answer, Made, Order, Reference
from shared.core.provider.failure import Failure
from tests.builders import NOW
from tests.corpus import pictures
from tests.corpus.case import Form

MODELS: Mapping[str, str] = {
    "images": "gemini-nano-banana-2.1",
    "native": "gemini-3.1-flash-lite-image",
}
"""What each form is asked for; any other form for Pro."""
Read: TypeAlias = Answer | None
"""None: the picture lies at an address, and is still to be fetched."""


def an_order(form: str, prompt: str = "a teapot on a table", references: int = 0) -> Order:
    lane = "gateway" if form in ("native", "chat", "images") else "batch" if form == "batch" else "standard"
    model = MODELS.get(form, "gemini-3-pro-image")
    return Order(
        request_id="r-1",
        model=model,
        lane=lane,
        prompt=prompt,
        image_size="1K",
        aspect_ratio=None,
        references=[Reference("image/png", pictures.encoded("PNG"))] * references,
        gateway=form,
    )


def forms_like(form: Form) -> Sequence[Form]:
    """The forms whose answers have the same shape: a generateContent body also comes from a gateway and in a batch."""
    alike: Sequence[Sequence[Form]] = (("generate", "native", "batch"),)
    return next((group for group in alike if form in group), (form,))


def read(form: Form, status: int, headers: Mapping[str, str], body: bytes, order: Order | None = None) -> Read:
    """What the product makes of an HTTP answer to this order, as the lanes read it. Never raises."""
    order = order or an_order(form)
    sent = SENT.set(Sent.of(order))
    try:
        return _classified(_read(form, status, headers, body, order))
    finally:
        SENT.reset(sent)


def _read(form: Form, status: int, headers: Mapping[str, str], body: bytes, order: Order) -> object:
    if status >= 400:
        return errors.read_failure(status, headers, body, NOW)
    match form:
        case "interactions":
            return interactions_response.read_answer(bytearray(body), order, headers, NOW)
        case "generate" | "native":
            return generate_content_response.read_answer(body, order, headers, NOW)
        case "chat":
            return openai_response.read_chat(body, order, headers, NOW)
        case "images":
            return openai_response.read_images(body, order, headers, NOW)
        case "batch":
            return read_line(body, order.model, NOW).read


def as_line(body: bytes) -> bytes:
    """A generateContent answer as one line of a batch's results."""
    return b'{"key": "r-1/1", "response": ' + body.replace(b"\n", b" ").strip() + b"}"


def error_as_line(body: bytes) -> bytes | None:
    """An error of google.rpc as one line of a batch's results; None where it is none."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return None
    return json.dumps({"key": "r-1/1", "error": error}).encode() if isinstance(error, dict) else None


def _classified(answer: object) -> Read:
    return answer if isinstance(answer, Made | Failure) else None
