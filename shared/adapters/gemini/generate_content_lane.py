"""generateContent as a lane, through google-genai: for integrations that have not moved to interactions, and for
provider gateways that speak this form.

What google-genai 3.4 would do by itself and must not: call functions and continue (and bill) an answer that stops
early, wait forever, queue beyond 100 connections, build models of a 20 MB answer. Each is switched off below; the body
is read as it came.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx2
from msgspec import Struct

from shared.adapters.gemini import http_call
from shared.adapters.gemini.generate_content_response import read_answer
from shared.adapters.gemini.http_call import LONGEST_CALL
from shared.adapters.gemini.interactions_lane import labels
from shared.adapters.gemini.paid_images import PaidImages, google_files
from shared.adapters.gemini.sdk_client import GenaiOnce
from shared.adapters.payloads.answer_image import Elsewhere, Read
from shared.adapters.payloads.quotation import Sent
from shared.adapters.process import proxies
from shared.core.provider.call import Answer, Made, Order
from shared.core.values.lanes import GATEWAY, tier_to_send
from shared.core.values.parameters import IMAGE_SEARCH, Grounding
from shared.ports.lanes import AtSlot

if TYPE_CHECKING:
    from google import genai


API_VERSION = "v1beta"
"""Where generateContent is documented with imageConfig and tiers, and what gateways serve; interactions are v1."""


class _Sdk(Struct, frozen=True):
    """google.genai, once it is imported."""

    client: genai.Client
    types: Any
    error: type[Exception]
    """google.genai.errors.APIError, the root of what generateContent raises beside raw httpx2 errors."""


class GenerateContentLane:
    """The Lane port on `models/{model}:generateContent`.

    `base_url` None: GOOGLE_GEMINI_BASE_URL or Google's own. `bearer`: the key goes as `Authorization: Bearer`, as
    gateways want it, and in no other header. `paid` fetches what an answer names instead of sending it. Raises
    ValueError for a key or a base URL that could never work.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str | None = None,
        *,
        api_version: str = API_VERSION,
        bearer: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        paid: PaidImages | None = None,
    ) -> None:
        self._check_key(api_key)
        if base_url is not None:
            http_call.check_base_url(base_url)
        self._api_key = api_key
        self._base_url = base_url
        self._api_version = api_version
        self._bearer = bearer
        self._now = now
        self._paid = paid or google_files(api_key, base_url)
        self._sdk = GenaiOnce(("", ".errors"), self._build)

    def _check_key(self, api_key: str) -> None:
        http_call.check_key(api_key, "the key as the provider gave it")

    async def prepare(self) -> None:
        await self._sdk.get()

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        """One POST. `timeout` bounds the whole call, from its slot to the last byte of the answer."""
        kept = await self._paid.once_more(order)
        if kept is not None:
            return kept
        call = http_call.Call(at_slot, timeout, Sent.of(order))
        sdk = await self._sdk.get()
        exchange = self._exchange(sdk, order, timeout, call)
        result = await http_call.with_deadline(call, exchange, sdk.error, self._now, self._whom)
        answer = await self._paid.fetched(result) if isinstance(result, Elsewhere) else result
        return (
            answer if isinstance(answer, Made) else http_call.redact_failure(answer, order.written, self._api_key, call)
        )

    async def close(self) -> None:
        await self._sdk.close()

    @property
    def _whom(self) -> str:
        return "the gateway" if self._bearer else http_call.GEMINI_API

    async def _exchange(self, sdk: _Sdk, order: Order, timeout: timedelta, call: http_call.Call) -> Read:
        """The SDK's answer is read from the response itself."""
        await sdk.client.aio.models.generate_content(
            model=order.model, contents=_contents(sdk.types, order), config=_config(sdk.types, order, timeout)
        )
        response = call.response
        assert response is not None, "the SDK returned, so there was an answer"
        if response.status_code != 200:
            return http_call.unexpected_status(response.status_code)
        return read_answer(http_call.arrived(response), order, response.headers, self._now())

    def _build(self, library: Any, errors: Any) -> _Sdk:
        types, hooks = library.types, http_call.hooks()
        if self._bearer:
            hooks["request"].append(_without_google_key)
        client: genai.Client = library.Client(
            **self._account(),
            http_options=types.HttpOptions(
                base_url=self._base_url,
                api_version=self._api_version,
                headers={"authorization": f"Bearer {self._api_key}"} if self._bearer else None,
                timeout=int(LONGEST_CALL.total_seconds() * 1000),
                retry_options=types.HttpRetryOptions(attempts=1),
                client_args={"trust_env": proxies.trusted(self._base_url)},
                async_client_args={
                    "limits": http_call.limits(),
                    "trust_env": proxies.trusted(self._base_url),
                    "follow_redirects": False,
                    "event_hooks": hooks,
                },
            ),
        )
        return _Sdk(client, types, errors.APIError)

    def _account(self) -> dict[str, Any]:
        """The account of the calls, as arguments of the SDK's client."""
        return {"api_key": self._api_key, "vertexai": False}


async def _without_google_key(request: httpx2.Request) -> None:
    request.headers.pop("x-goog-api-key", None)


def _contents(types: Any, order: Order) -> Any:
    images = [
        types.Part.from_uri(file_uri=image.uri, mime_type=image.mime_type)
        if image.uri
        else types.Part.from_bytes(data=image.data, mime_type=image.mime_type)
        for image in order.references
    ]
    return [types.Content(role="user", parts=[types.Part(text=order.prompt), *images])]


def _config(types: Any, order: Order, timeout: timedelta) -> Any:
    """Everything in the request apart from the contents. A gateway gets neither a tier nor labels: it may not know
    them."""
    at_google = order.lane != GATEWAY
    picture = {
        "aspect_ratio": order.aspect_ratio,
        "image_size": order.image_size,
        "output_mime_type": f"image/{order.output_format}" if order.output_format is not None else None,
        "output_compression_quality": order.output_quality,
    }
    options = {name: value for name, value in picture.items() if value is not None}
    return types.GenerateContentConfig(
        response_modalities=["TEXT", "IMAGE"],
        image_config=types.ImageConfig(**options) if options else None,
        service_tier=tier_to_send(order.lane),
        labels=labels(order) if at_google else None,
        tools=[types.Tool(google_search=_search(types, order.grounding))] if order.grounding else None,
        thinking_config=types.ThinkingConfig(thinking_level=order.thinking.upper()) if order.thinking else None,
        safety_settings=[types.SafetySetting(**setting) for setting in safety_settings(order)] or None,
        system_instruction=order.system_instruction,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        automatic_continuation=False,
        should_return_http_response=True,
        http_options=types.HttpOptions(timeout=int(timeout.total_seconds() * 1000)),
    )


def _search(types: Any, grounding: Grounding) -> Any:
    if grounding != IMAGE_SEARCH:
        return types.GoogleSearch()
    both = types.SearchTypes(web_search=types.WebSearch(), image_search=types.ImageSearch())
    return types.GoogleSearch(search_types=both)


def safety_settings(order: Order) -> list[dict[str, str]]:
    """In generateContent's words for both."""
    return [
        {"category": f"HARM_CATEGORY_{category.upper()}", "threshold": threshold.upper()}
        for category, threshold in order.safety
    ]
