"""The Gemini API's interactions as a lane: one order, one POST, one answer.

What google-genai 3.4 would do by itself and must not: retry five times, continue (and bill) an interaction that stops
early, keep requests for 55 days, wait for ever, queue beyond 100 connections. Each is switched off below.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx2

from shared.adapters import gemini_errors
from shared.adapters.gemini_answer import header_id, read_answer
from shared.adapters.redaction import redacted
from shared.core.answer import Answer, Made, Order
from shared.core.failure import Failure, FailureKind

if TYPE_CHECKING:
    from google import genai

CONNECT_TIMEOUT = timedelta(seconds=10)
LONGEST_CALL = timedelta(seconds=540)
"""What a call may take where its own time-out were lost."""
MAX_CONNECTIONS = 1_000
"""httpx2's default of 100 would let further calls wait inside the client, after their slot; the pump bounds calls."""
MAX_ANSWER_BYTES = 96 * 1024 * 1024
"""Four times the largest known answer (a 4K PNG in base64)."""


@dataclass(slots=True)
class _Call:
    """How far one call has come."""

    sent: bool = False
    """The first byte of the request may have left."""
    response: httpx2.Response | None = None


_CALL: ContextVar[_Call] = ContextVar("gemini_call")


class GeminiLane:
    """The Lane port on the Gemini Interactions API.

    `base_url` None: GOOGLE_GEMINI_BASE_URL or Google's own. The client is made in the event loop that makes the first
    call (google.genai takes a second to import: nothing else pays for it) and kept for the life of the process.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str | None = None,
        *,
        max_connections: int = MAX_CONNECTIONS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._max_connections = max_connections
        self._now = now
        self._client: genai.Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def generate(self, order: Order, timeout: timedelta) -> Answer:
        """One POST. `timeout` bounds the whole call, from the connection to the last byte of the answer."""
        client = await self._ready()
        call = _Call()
        token = _CALL.set(call)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                answer = await self._exchange(client, order, timeout)
        except TimeoutError:
            answer = self._broken(call, httpx2.TimeoutException("no answer in time"))
        except (self._sdk_error, httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, ValueError) as error:
            answer = self._broken(call, error)
        finally:
            _CALL.reset(token)
        return answer if isinstance(answer, Made) else self._clean(answer, order, call)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aio.aclose()
            client.close()

    async def _ready(self) -> genai.Client:
        """The client of this event loop. The import runs in a thread: it would stop the loop for a second."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            genai = await asyncio.to_thread(importlib.import_module, "google.genai")
            interactions = await asyncio.to_thread(importlib.import_module, "google.genai._interactions")
            if self._client is None or self._loop is not loop:  # two first calls: one client
                self._sdk_error: type[Exception] = interactions.GeminiNextGenAPIClientError
                self._client, self._loop = self._build(genai), loop
        assert self._client is not None
        return self._client

    def _build(self, genai: Any) -> genai.Client:
        types = genai.types
        return genai.Client(
            api_key=self._api_key,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=self._base_url,
                timeout=int(LONGEST_CALL.total_seconds() * 1000),
                retry_options=types.HttpRetryOptions(attempts=1),
                async_client_args={
                    "limits": httpx2.Limits(max_connections=self._max_connections, max_keepalive_connections=100),
                    "follow_redirects": False,
                    "event_hooks": {"request": [_watch], "response": [_note]},
                },
            ),
        )

    async def _exchange(self, client: genai.Client, order: Order, timeout: timedelta) -> Answer:
        create = client.aio.interactions.with_streaming_response.create
        async with create(**_request(order), timeout=timeout.total_seconds()) as response:
            headers, status = response.headers, response.status_code
            if status != 200:
                return _odd(status, headers)
            body = bytearray()
            async for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    return Failure(FailureKind.MALFORMED_ANSWER, "an answer without end", http_status=status)
        return read_answer(body, order, headers, self._now())

    def _broken(self, call: _Call, error: BaseException) -> Failure:
        """The failure of a call that ended in an exception; a status that had arrived says more than the exception."""
        response = call.response
        if response is not None and response.status_code >= 400:
            body = response.content if response.is_closed and hasattr(response, "_content") else b""
            return gemini_errors.read_failure(response.status_code, response.headers, body, self._now())
        cause = error.__cause__ if isinstance(error, self._sdk_error) and error.__cause__ is not None else error
        name = type(cause).__name__
        if not call.sent:
            if isinstance(cause, ValueError):
                return Failure(FailureKind.INVALID_REQUEST, f"the order cannot be put into a request ({name})")
            return Failure(FailureKind.CONNECTION, f"no connection to the Gemini API ({name}: {cause})")
        status = response.status_code if response is not None else None
        if isinstance(cause, httpx2.TimeoutException):
            return Failure(FailureKind.TIMEOUT, "no answer in time", http_status=status)
        if isinstance(cause, (httpx2.DecodingError, ValueError)):
            return Failure(
                FailureKind.MALFORMED_ANSWER, f"an answer that cannot be decoded ({name})", http_status=status
            )
        return Failure(FailureKind.CONNECTION_LOST, f"the connection broke ({name}: {cause})", http_status=status)

    def _clean(self, failure: Failure, order: Order, call: _Call) -> Failure:
        """Take prompt, key and data out of everything the provider chose the words of."""
        headers = call.response.headers if call.response is not None else {}
        request_id = failure.provider_request_id or header_id(headers)
        return replace(
            failure,
            message=redacted(failure.message, order.prompt, self._api_key),
            code=redacted(failure.code, order.prompt, self._api_key),
            model=redacted(failure.model, order.prompt, self._api_key)[:128],
            provider_request_id=redacted(request_id, order.prompt, self._api_key)[:128],
            quota_id=redacted(failure.quota_id, order.prompt, self._api_key) if failure.quota_id else None,
        )


def key_kind(api_key: str) -> str:
    """`auth`, `standard` (rejected by Google since September 2026) or `unknown`."""
    return "auth" if api_key.startswith("AQ.") else "standard" if api_key.startswith("AIza") else "unknown"


def _request(order: Order) -> dict[str, Any]:
    """The arguments of `interactions.create`."""
    content: list[dict[str, str]] = [{"type": "text", "text": order.prompt}]
    content += [
        {"type": "image", "mime_type": each.mime_type, "data": base64.b64encode(each.data).decode("ascii")}
        for each in order.references
    ]
    picture = {"type": "image", "aspect_ratio": order.aspect_ratio, "image_size": order.image_size}
    request: dict[str, Any] = {
        "model": order.model,
        "input": [{"type": "user_input", "content": content}],
        "response_format": {name: value for name, value in picture.items() if value is not None},
        "labels": _labels(order),
        "store": False,
        "automatic_continuation": False,
    }
    if order.lane != "standard":
        request["service_tier"] = order.lane
    if order.grounding:
        request["tools"] = [{"type": "google_search"}]
    return request


def _labels(order: Order) -> dict[str, str]:
    """The order's labels as the API allows them: lower-case letters, digits, `_`, `-`, 63 characters, keys beginning
    with a letter. What does not fit is bent, and a key that cannot be is left out: a label is no reason for a 400."""
    bent = {_label(key): _label(value) for key, value in order.labels}
    bent["request_id"] = _label(order.request_id)
    return {key: value for key, value in bent.items() if key[:1].isalpha()}


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "_", text.lower())[:63]


def _odd(status: int, headers: Mapping[str, str]) -> Failure:
    """A status that is neither an error nor 200: a redirect means that this is not the Gemini API."""
    if 300 <= status < 400:
        return Failure(FailureKind.CONNECTION, f"HTTP {status}: the base URL redirects elsewhere", http_status=status)
    return Failure(FailureKind.MALFORMED_ANSWER, f"HTTP {status} instead of 200", http_status=status)


async def _watch(request: httpx2.Request) -> None:
    """Before sending: bound the connecting, and notice when the request begins to leave."""
    call = _CALL.get()

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            call.sent = True

    timeouts = dict(request.extensions["timeout"])
    limit = CONNECT_TIMEOUT.total_seconds()
    timeouts |= {each: min(timeouts.get(each) or limit, limit) for each in ("connect", "pool")}
    request.extensions |= {"timeout": timeouts, "trace": trace}


async def _note(response: httpx2.Response) -> None:
    _CALL.get().response = response
