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
from urllib.parse import urlsplit

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
KEPT_ALIVE = 40
"""Idle connections; the pool looks at each of them at every request."""
MAX_ANSWER_BYTES = 96 * 1024 * 1024
"""Four times the largest known answer (a 4K PNG in base64)."""
OTHER_ERRORS = (httpx2.HTTPError, httpx2.StreamError, OSError, ValueError)
"""What gets past the SDK's own errors: the body is read below them."""


@dataclass(slots=True)
class _Call:
    """How far one call has come."""

    leave_by: float
    """The event loop's time after which the call may not leave any more."""
    sent: bool = False
    """The first byte of the request may have left."""
    late: bool = False
    response: httpx2.Response | None = None


@dataclass(frozen=True, slots=True)
class _Sdk:
    """google.genai, once it is imported."""

    loop: asyncio.AbstractEventLoop
    client: genai.Client
    error: type[Exception]
    """The root of what interactions raise; not google.genai.errors.APIError."""
    request: Callable[..., Any]
    """CreateInteractionRequest: `create(**body)` would build a pydantic model anew for each call, at 11 ms of CPU."""


_CALL: ContextVar[_Call] = ContextVar("gemini_call")


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
    ) -> None:
        if not api_key.isascii() or not api_key.isprintable() or not api_key.strip() or " " in api_key:
            raise ValueError(
                "found a key that is empty or holds spaces or accents; allowed: the key of AI Studio as it is"
            )
        if base_url is not None and not _reachable(base_url):
            raise ValueError(f"found base URL {base_url!r}; allowed: http:// or https:// with a host and a real port")
        self._api_key = api_key
        self._base_url = base_url
        self._max_connections = max_connections
        self._now = now
        self._sdk: _Sdk | None = None

    async def prepare(self) -> None:
        await self._ready()

    async def generate(self, order: Order, timeout: timedelta, leave_within: timedelta) -> Answer:
        """One POST. `timeout` bounds the whole call, from the connection to the last byte of the answer.

        The SDK takes some 10 ms of processor to write a request, and a hundred of them stand in each other's way: so
        what counts is when the first byte leaves, and a call that would be late then is not made.
        """
        leave_by = asyncio.get_running_loop().time() + leave_within.total_seconds()
        sdk = await self._ready()
        call = _Call(leave_by)
        token = _CALL.set(call)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                answer = await self._exchange(sdk, order, timeout)
        except TimeoutError:
            answer = self._broken(call, httpx2.TimeoutException("no answer in time"))
        except (sdk.error, *OTHER_ERRORS) as error:
            answer = self._broken(call, error)
        finally:
            _CALL.reset(token)
        return answer if isinstance(answer, Made) else self._clean(answer, order, call)

    async def close(self) -> None:
        sdk, self._sdk = self._sdk, None
        if sdk is not None:
            await sdk.client.aio.aclose()
            sdk.client.close()

    async def _ready(self) -> _Sdk:
        """The client of this event loop. The import runs in a thread: it would stop the loop for a second."""
        loop = asyncio.get_running_loop()
        if self._sdk is None or self._sdk.loop is not loop:
            library, errors, models = [
                await asyncio.to_thread(importlib.import_module, f"google.genai{name}")
                for name in ("", "._interactions", "._gaos.models")
            ]
            if self._sdk is None or self._sdk.loop is not loop:  # or two first calls would make two clients
                client = self._build(library)
                self._sdk = _Sdk(loop, client, errors.GeminiNextGenAPIClientError, models.CreateInteractionRequest)
        return self._sdk

    def _build(self, library: Any) -> genai.Client:
        types = library.types
        client: genai.Client = library.Client(
            api_key=self._api_key,
            vertexai=False,
            http_options=types.HttpOptions(
                base_url=self._base_url,
                timeout=int(LONGEST_CALL.total_seconds() * 1000),
                retry_options=types.HttpRetryOptions(attempts=1),
                async_client_args={
                    "limits": httpx2.Limits(
                        max_connections=self._max_connections, max_keepalive_connections=KEPT_ALIVE
                    ),
                    "follow_redirects": False,
                    "event_hooks": {"request": [_watch], "response": [_note]},
                },
            ),
        )
        return client

    async def _exchange(self, sdk: _Sdk, order: Order, timeout: timedelta) -> Answer:
        once = {"automatic_continuation": False, "timeout": timeout.total_seconds()}
        create = sdk.client.aio.interactions.with_streaming_response.create
        async with create(request=sdk.request(body=body_of(order)), **once) as response:
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
        if call.late:
            return Failure(FailureKind.LATE, "the call could not leave within its slot")
        response = call.response
        if response is not None and response.status_code >= 400:
            return gemini_errors.read_failure(response.status_code, response.headers, _arrived(response), self._now())
        cause = error if isinstance(error, OTHER_ERRORS) else error.__cause__ or error
        name = type(cause).__name__
        if not call.sent:
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


def _reachable(base_url: str) -> bool:
    try:
        parts = urlsplit(base_url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def body_of(order: Order) -> dict[str, Any]:
    """The body of the POST."""
    content: list[dict[str, str]] = [{"type": "text", "text": order.prompt}]
    content += [
        {"type": "image", "mime_type": each.mime_type, "data": base64.b64encode(each.data).decode("ascii")}
        for each in order.references
    ]
    picture = {"type": "image", "aspect_ratio": order.aspect_ratio, "image_size": order.image_size}
    body: dict[str, Any] = {
        "model": order.model,
        "input": [{"type": "user_input", "content": content}],
        "response_format": {name: value for name, value in picture.items() if value is not None},
        "labels": _labels(order),
        "store": False,
    }
    if order.lane != "standard":
        body["service_tier"] = order.lane
    if order.grounding:
        body["tools"] = [{"type": "google_search"}]
    return body


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


def _arrived(response: httpx2.Response) -> bytes:
    """The body of an error, where it came to its end."""
    try:
        return response.content
    except httpx2.ResponseNotRead:
        return b""


async def _watch(request: httpx2.Request) -> None:
    """Before sending: bound the connecting, and notice when the request begins to leave."""
    call = _CALL.get()

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            call.late = asyncio.get_running_loop().time() > call.leave_by
            if call.late:
                raise httpx2.ConnectError("too late to leave")
            call.sent = True

    timeouts = dict(request.extensions["timeout"])
    limit = CONNECT_TIMEOUT.total_seconds()
    timeouts |= {each: min(timeouts.get(each) or limit, limit) for each in ("connect", "pool")}
    request.extensions |= {"timeout": timeouts, "trace": trace}


async def _note(response: httpx2.Response) -> None:
    _CALL.get().response = response
