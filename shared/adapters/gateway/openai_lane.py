"""A gateway that speaks an OpenAI-compatible form, as a lane: one order, one POST, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import httpx2

from shared.adapters.gateway import openai_response
from shared.adapters.gemini import http_call
from shared.adapters.gemini.http_call import Call
from shared.adapters.gemini.paid_images import PaidImages
from shared.adapters.payloads.answer_image import Elsewhere, Read
from shared.adapters.payloads.quotation import Sent
from shared.adapters.process import proxies
from shared.core.catalogue.catalogue import MODALITIES
from shared.core.provider.call import Answer, Made, Order
from shared.ports.lanes import AtSlot


class OpenAiLane:
    """The Lane port on chat completions or images. No redirects, no retries, and the key goes to `base_url` alone.

    Raises ValueError for a key or a base URL that could never work.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str,
        form: Literal["chat", "images"],
        *,
        modalities: Sequence[str] = MODALITIES,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        paid: PaidImages | None = None,
    ) -> None:
        http_call.check_key(api_key, "the key as the provider gave it")
        http_call.check_base_url(base_url)
        self._api_key = api_key
        self._base_url = base_url.rstrip("/")
        self._form = form
        self._modalities = modalities
        self._now = now
        self._paid = paid or PaidImages(base_url)
        self._client: tuple[asyncio.AbstractEventLoop, httpx2.AsyncClient] | None = None

    async def prepare(self) -> None:
        self._ready()

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        """One POST, bounded by `timeout`; then the picture, if the answer names its address."""
        kept = await self._paid.once_more(order)
        if kept is not None:
            return kept
        call = Call(at_slot, timeout, Sent.of(order))
        exchange = self._post(self._ready(), order, call, timeout)
        result = await http_call.with_deadline(call, exchange, httpx2.HTTPError, self._now, "the gateway")
        answer = await self._paid.fetched(result) if isinstance(result, Elsewhere) else result
        return (
            answer if isinstance(answer, Made) else http_call.redact_failure(answer, order.written, self._api_key, call)
        )

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client[1].aclose()

    def _ready(self) -> httpx2.AsyncClient:
        """The client of this event loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._client[0] is not loop:
            client = httpx2.AsyncClient(
                limits=http_call.limits(),
                follow_redirects=False,
                event_hooks=http_call.hooks(),
                trust_env=proxies.trusted(self._base_url),
            )
            self._client = (loop, client)
        return self._client[1]

    async def _post(self, client: httpx2.AsyncClient, order: Order, call: Call, timeout: timedelta) -> Read:
        chat = self._form == "chat"
        path = openai_response.CHAT_PATH if chat else openai_response.IMAGES_PATH
        body = openai_response.chat_body(order, self._modalities) if chat else openai_response.images_body(order)
        headers = {"authorization": f"Bearer {self._api_key}", "accept": "application/json"}
        response = await client.post(
            self._base_url + path, json=body, headers=headers, timeout=timeout.total_seconds()
        )  # fmt: skip
        if response.status_code >= 400:
            return http_call.failure_from_error(call, httpx2.HTTPError("refused"), self._now(), "the gateway")
        if response.status_code != 200:
            return http_call.unexpected_status(response.status_code)
        read = openai_response.read_chat if chat else openai_response.read_images
        return read(response.content, order, response.headers, self._now())
