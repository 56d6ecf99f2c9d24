"""A gateway that speaks an OpenAI-compatible form, as a lane: one order, one POST, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import urljoin, urlsplit

import httpx2

from shared.adapters import one_call, openai_answer, proxies
from shared.adapters.one_call import CALL, MAX_ANSWER_BYTES, OTHER_ERRORS, Call
from shared.adapters.openai_answer import Elsewhere, Read
from shared.core.answer import Answer, Made, Order
from shared.core.failure import Failure, FailureKind
from shared.ports import AtSlot


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
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        one_call.check_key(api_key, "the key as the provider gave it")
        one_call.check_base_url(base_url)
        self._api_key = api_key
        self._base_url = base_url.rstrip("/")
        self._form = form
        self._now = now
        self._client: tuple[asyncio.AbstractEventLoop, httpx2.AsyncClient] | None = None

    async def prepare(self) -> None:
        self._ready()

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        """One POST, and one GET where the image lies at an address; `timeout` bounds both together."""
        call = Call(at_slot, timeout)
        client = self._ready()
        token = CALL.set(call)
        found: Read | None = None
        try:
            async with call.bounded():
                found = await self._post(client, order, call, timeout)
                answer = await self._fetch(found) if isinstance(found, Elsewhere) else found
        except TimeoutError:
            answer = self._broken(found, call, httpx2.TimeoutException("no answer in time"))
        except OTHER_ERRORS as error:
            answer = self._broken(found, call, error)
        finally:
            CALL.reset(token)
        return answer if isinstance(answer, Made) else one_call.cleaned(answer, order, self._api_key, call)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client[1].aclose()

    def _ready(self) -> httpx2.AsyncClient:
        """The client of this event loop."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._client[0] is not loop:
            client = httpx2.AsyncClient(
                limits=one_call.limits(),
                follow_redirects=False,
                event_hooks=one_call.hooks(),
                trust_env=proxies.trusted(self._base_url),
            )
            self._client = (loop, client)
        return self._client[1]

    async def _post(self, client: httpx2.AsyncClient, order: Order, call: Call, timeout: timedelta) -> Read:
        chat = self._form == "chat"
        path = openai_answer.CHAT_PATH if chat else openai_answer.IMAGES_PATH
        body = openai_answer.chat_body(order) if chat else openai_answer.images_body(order)
        headers = {"authorization": f"Bearer {self._api_key}", "accept": "application/json"}
        response = await client.post(
            self._base_url + path, json=body, headers=headers, timeout=timeout.total_seconds()
        )  # fmt: skip
        if response.status_code >= 400:
            return one_call.broken(call, httpx2.HTTPError("refused"), self._now(), "the gateway")
        if response.status_code != 200:
            return one_call.odd(response.status_code)
        if len(response.content) > MAX_ANSWER_BYTES:
            return Failure(FailureKind.MALFORMED_ANSWER, "an answer without end", http_status=200)
        read = openai_answer.read_chat if chat else openai_answer.read_images
        return read(response.content, order, response.headers, self._now())

    async def _fetch(self, found: Elsewhere) -> Answer:
        """The image at the address the answer gave: HTTPS, or the gateway's own host; without the key."""
        url = urljoin(f"{self._base_url}/", found.url)
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.netloc != urlsplit(self._base_url).netloc:
            return _unfetched(found, "an address that is neither https nor the gateway's own")
        body, longest = bytearray(), one_call.LONGEST_CALL.total_seconds()
        async with (
            httpx2.AsyncClient(follow_redirects=False, trust_env=proxies.trusted(url)) as client,
            client.stream("GET", url, timeout=longest) as got,
        ):
            if got.status_code != 200:
                return _unfetched(found, f"HTTP {got.status_code} at the address of the image")
            async for piece in got.aiter_bytes():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    return _unfetched(found, "an image without end")
        return openai_answer.fetched(bytes(body), found)

    def _broken(self, found: Read | None, call: Call, error: BaseException) -> Failure:
        """Once the answer has come, what breaks is the fetching: the image is made, and paid for."""
        if isinstance(found, Elsewhere):
            return _unfetched(found, f"the image could not be fetched ({type(error).__name__})")
        return one_call.broken(call, error, self._now(), "the gateway")


def _unfetched(found: Elsewhere, why: str) -> Failure:
    return Failure(
        FailureKind.MALFORMED_ANSWER,
        why,
        http_status=200,
        provider_request_id=found.provider_request_id,
        model=found.model,
        lane="gateway",
    )
