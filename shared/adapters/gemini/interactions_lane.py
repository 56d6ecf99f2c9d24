"""The Gemini API's interactions as a lane: one order, one POST, one answer.

What google-genai 3.4 would do by itself and must not: retry five times, continue (and bill) an interaction that stops
early, keep requests for 55 days, wait without a limit, queue beyond 100 connections. Each is switched off below.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from shared.adapters.gemini import http_call, interaction_request
from shared.adapters.gemini.http_call import LONGEST_CALL, MAX_CONNECTIONS, Call
from shared.adapters.gemini.interaction_request import Requests
from shared.adapters.gemini.interactions_response import read_answer
from shared.adapters.gemini.paid_images import PaidImages, google_files
from shared.adapters.gemini.sdk_client import GenaiOnce
from shared.adapters.payloads.answer_image import Elsewhere, Read
from shared.adapters.payloads.quotation import Sent
from shared.adapters.process import proxies
from shared.core.provider.call import Answer, Made, Order, Reference
from shared.core.provider.failure import Failure
from shared.core.values.lanes import tier_to_send
from shared.core.values.parameters import IMAGE_SEARCH, Grounding
from shared.ports.lanes import AtSlot

if TYPE_CHECKING:
    from google import genai


class Sdk(Struct, frozen=True):
    """google.genai, once it is imported."""

    client: genai.Client
    error: type[Exception]
    """The root of what interactions raise; not google.genai.errors.APIError."""
    requests: Requests


class GeminiLane:
    """The Lane port on the Gemini Interactions API.

    `base_url` None: GOOGLE_GEMINI_BASE_URL or Google's own. The client is made in the event loop that makes the first
    call (google.genai takes a second to import: nothing else pays for it) and kept for the life of the process.
    Raises ValueError for a key or a base URL that could never work.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str | None = None,
        *,
        max_connections: int = MAX_CONNECTIONS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        paid: PaidImages | None = None,
    ) -> None:
        http_call.check_key(api_key, "the key of AI Studio as it is")
        if base_url is not None:
            http_call.check_base_url(base_url)
        self._api_key = api_key
        self._base_url = base_url
        self._max_connections = max_connections
        self._now = now
        self._paid = paid or google_files(api_key, base_url)
        self._sdk = GenaiOnce(("", "._interactions", "._gaos.models", "._gaos.utils.serializers"), self._build)

    async def prepare(self) -> None:
        await self._sdk.get()

    async def sdk(self) -> Sdk:
        """The client of the running event loop: background calls share it."""
        return await self._sdk.get()

    @property
    def paid(self) -> PaidImages:
        return self._paid

    def cleaned(self, failure: Failure, order: Order, call: Call) -> Failure:
        """Without the prompt and the key."""
        return http_call.redact_failure(failure, order.written, self._api_key, call)

    def without_key(self, failure: Failure, call: Call) -> Failure:
        """Of a call that sent no words of an order."""
        return http_call.redact_failure(failure, (), self._api_key, call)

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        """One POST. `timeout` bounds the whole call, from its slot to the last byte of the answer.

        Writing a request takes some milliseconds, and a hundred of them slow each other down: so they are written
        ahead, and at their slot only the sending is left.
        """
        kept = await self._paid.once_more(order)
        if kept is not None:
            return kept
        call = Call(at_slot, timeout, Sent.of(order))
        sdk = await self._sdk.get()
        result = await http_call.with_deadline(call, self._exchange(sdk, order, timeout), sdk.error, self._now)
        answer = await self._paid.fetched(result) if isinstance(result, Elsewhere) else result
        return (
            answer if isinstance(answer, Made) else http_call.redact_failure(answer, order.written, self._api_key, call)
        )

    async def close(self) -> None:
        await self._sdk.close()

    def _build(self, library: Any, errors: Any, models: Any, serializers: Any) -> Sdk:
        types = library.types
        interaction_request.keep_writers(serializers)
        client: genai.Client = library.Client(
            api_key=self._api_key,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=self._base_url,
                timeout=int(LONGEST_CALL.total_seconds() * 1000),
                retry_options=types.HttpRetryOptions(attempts=1),
                client_args={"trust_env": proxies.trusted(self._base_url)},
                async_client_args={
                    "limits": http_call.limits(self._max_connections),
                    "trust_env": proxies.trusted(self._base_url),
                    "follow_redirects": False,
                    "event_hooks": http_call.hooks(),
                },
            ),
        )
        requests = interaction_request.requests_of(models.CreateInteractionRequest)
        return Sdk(client, errors.GeminiNextGenAPIClientError, requests)

    async def _exchange(self, sdk: Sdk, order: Order, timeout: timedelta) -> Read:
        create = sdk.client.aio.interactions.with_streaming_response.create
        arguments = sdk.requests.arguments(body_of(order))
        async with create(**arguments, timeout=timeout.total_seconds()) as response:
            headers, status = response.headers, response.status_code
            if status != 200:
                return http_call.unexpected_status(status)
            body = bytearray()
            async for piece in response.iter_bytes():
                body += piece
        return read_answer(body, order, headers, self._now())


def key_kind(api_key: str) -> str:
    """`auth`, `standard` (rejected by Google since September 2026) or `unknown`."""
    return "auth" if api_key.startswith("AQ.") else "standard" if api_key.startswith("AIza") else "unknown"


def body_of(order: Order) -> dict[str, Any]:
    """The body of the POST."""
    content: list[dict[str, str]] = [{"type": "text", "text": order.prompt}, *map(_image, order.references)]
    mime_type = f"image/{order.output_format}" if order.output_format is not None else None
    picture = {
        "type": "image", "aspect_ratio": order.aspect_ratio, "image_size": order.image_size, "mime_type": mime_type
    }  # fmt: skip
    body: dict[str, Any] = {
        "model": order.model,
        "input": [{"type": "user_input", "content": content}],
        "response_format": {name: value for name, value in picture.items() if value is not None},
        "labels": labels(order),
        "store": False,
    }
    if (tier := tier_to_send(order.lane)) is not None:
        body["service_tier"] = tier
    if order.grounding:
        body["tools"] = [{"type": "google_search"} | _search_types(order.grounding)]
    if order.thinking is not None:
        body["generation_config"] = {"thinking_level": order.thinking}
    if order.safety:
        body["safety_settings"] = [{"type": category, "threshold": level} for category, level in order.safety]
    if order.system_instruction is not None:
        body["system_instruction"] = order.system_instruction
    return body


def _image(reference: Reference) -> dict[str, str]:
    if reference.uri:
        return {"type": "image", "mime_type": reference.mime_type, "uri": reference.uri}
    data = base64.b64encode(reference.data).decode("ascii")
    return {"type": "image", "mime_type": reference.mime_type, "data": data}


def _search_types(grounding: Grounding) -> dict[str, list[str]]:
    """The API searches web pages by default; images have to be named in addition."""
    return {"search_types": ["web_search", "image_search"]} if grounding == IMAGE_SEARCH else {}


def labels(order: Order) -> dict[str, str]:
    """The order's labels as the API allows them: lower-case letters, digits, `_`, `-`, 63 characters, keys beginning
    with a letter. Other characters are replaced, and a key that cannot be fixed is left out: a label is no reason for a
    400."""
    bent = {_label(key): _label(value) for key, value in order.labels}
    bent["request_id"] = _label(order.request_id)
    return {key: value for key, value in bent.items() if key[:1].isalpha()}


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "_", text.lower())[:63]
