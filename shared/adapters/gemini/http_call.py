"""One HTTP call of a lane: when it may leave, how far it got, and which failure an exception means.

A lane puts a `Call` into CALL, passes `hooks()` to its client, and asks `failure_from_error` what an exception means.
Whichever SDK is in between, a status that had arrived says more than its exception does.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from msgspec import Struct
from msgspec.structs import replace

from shared.adapters.gemini import bounded_body
from shared.adapters.gemini.bounded_body import ENDLESS, Endless
from shared.adapters.gemini.interactions_response import header_id
from shared.adapters.gemini_errors import errors
from shared.adapters.payloads.quotation import NOTHING_SENT, SENT, Sent
from shared.adapters.payloads.redaction import redacted
from shared.core.provider.call import Written
from shared.core.provider.failure import Failure, FailureKind
from shared.core.validation.addresses import without_secrets
from shared.ports.lanes import AtSlot

T = TypeVar("T")
CONNECT_TIMEOUT = timedelta(seconds=10)
LONGEST_CALL = timedelta(seconds=540)
"""The longest a call may take if its own time-out is lost."""
MAX_CONNECTIONS = 1_000
"""httpx2's default of 100 would let further calls wait inside the client, after their slot; the pump limits calls."""
KEPT_ALIVE = 40
"""Idle connections; the pool checks each of them at every request."""
OTHER_ERRORS = (httpx2.HTTPError, httpx2.StreamError, OSError, ValueError, RecursionError)
"""Exceptions that pass through an SDK's own errors: the body is read below them, and an error's body is decoded by the
SDK, however deeply it is nested."""
GEMINI_API = "the Gemini API"


class Call(Struct):
    """The progress of one call."""

    at_slot: AtSlot
    timeout: timedelta
    """From its slot on."""
    quotable: Sent = NOTHING_SENT
    """What its answer may quote."""
    leave_by: float = math.inf
    """The event loop's time after which the call may no longer leave."""
    sent: bool = False
    """The first byte of the body may have left: before that, there is nothing that a provider could answer, or bill."""
    late: bool = False
    response: httpx2.Response | None = None
    bound: asyncio.Timeout | None = None

    def bounded(self) -> asyncio.Timeout:
        """Ends a call that takes too long."""
        self.bound = asyncio.timeout(LONGEST_CALL.total_seconds())
        return self.bound

    async def reach_slot(self) -> None:
        """Wait for it: from here on the time counts in which the call may leave, and may take. Raises ConnectError."""
        left = (await self.at_slot()).total_seconds()
        now = asyncio.get_running_loop().time()
        self.leave_by = now + left
        if self.bound is not None:
            self.bound.reschedule(now + self.timeout.total_seconds())
        self.leave()

    def leave(self) -> None:
        """Raises ConnectError if it is too late to leave."""
        self.late = asyncio.get_running_loop().time() > self.leave_by
        if self.late:
            raise httpx2.ConnectError("too late to leave")


CALL: ContextVar[Call] = ContextVar("one_call")


def hooks() -> dict[str, list[Any]]:
    """For the client's `event_hooks`."""
    return {"request": [_watch], "response": [_note, bounded_body.bound]}


def limits(max_connections: int = MAX_CONNECTIONS) -> httpx2.Limits:
    return httpx2.Limits(max_connections=max_connections, max_keepalive_connections=KEPT_ALIVE)


async def with_deadline(
    call: Call,
    exchange: Awaitable[T],
    errors: type[Exception],
    now: Callable[[], datetime],
    whom: str = GEMINI_API,
) -> T | Failure:
    """The answer of the exchange in time, or the failure; `errors` is the root of the SDK's exceptions."""
    token, sent = CALL.set(call), SENT.set(call.quotable)
    try:
        async with call.bounded():
            return await exchange
    except TimeoutError:
        return failure_from_error(call, httpx2.TimeoutException("no answer in time"), now(), whom)
    except (errors, *OTHER_ERRORS) as error:
        return failure_from_error(call, error, now(), whom)
    finally:
        CALL.reset(token)
        SENT.reset(sent)


def failure_from_error(call: Call, error: BaseException, now: datetime, whom: str = GEMINI_API) -> Failure:
    """The failure of a call that ended in an exception."""
    if call.late:
        return Failure(FailureKind.LATE, "the call could not leave within its slot")
    response = call.response
    if response is not None and response.status_code >= 400:
        return errors.read_failure(response.status_code, response.headers, arrived(response), now, call.quotable)
    if response is not None and response.status_code >= 300:
        return unexpected_status(response.status_code)
    cause = error if isinstance(error, OTHER_ERRORS) else error.__cause__ or error
    name = type(cause).__name__
    if not call.sent:
        return Failure(FailureKind.CONNECTION, f"no connection to {whom} ({name}: {cause})")
    status = response.status_code if response is not None else None
    if isinstance(cause, httpx2.TimeoutException):
        return Failure(FailureKind.TIMEOUT, "no answer in time", http_status=status)
    if isinstance(cause, Endless):
        return Failure(FailureKind.MALFORMED_ANSWER, ENDLESS, http_status=status)
    if isinstance(cause, (httpx2.DecodingError, ValueError, RecursionError)):
        return Failure(FailureKind.MALFORMED_ANSWER, f"an answer that cannot be decoded ({name})", http_status=status)
    return Failure(FailureKind.CONNECTION_LOST, f"the connection broke ({name}: {cause})", http_status=status)


def redact_failure(failure: Failure, written: Written, api_key: str, call: Call) -> Failure:
    """Prompt, key and data are cut out of all text that the provider chose. An address is unchanged, because the
    picture is stored there, unless the key is in it."""
    headers = call.response.headers if call.response is not None else {}
    request_id = failure.provider_request_id or header_id(headers)
    return replace(
        failure,
        message=redacted(failure.message, written, api_key),
        code=redacted(failure.code, written, api_key),
        model=redacted(failure.model, written, api_key)[:128],
        provider_request_id=redacted(request_id, written, api_key)[:128],
        quota_id=redacted(failure.quota_id, written, api_key) if failure.quota_id else None,
        address="" if api_key and api_key in failure.address else failure.address,
    )


def unexpected_status(status: int) -> Failure:
    """A status that is neither an error nor 200: a redirect means that this is not the API."""
    if 300 <= status < 400:
        return Failure(FailureKind.CONNECTION, f"HTTP {status}: the base URL redirects elsewhere", http_status=status)
    return Failure(FailureKind.MALFORMED_ANSWER, f"HTTP {status} instead of 200", http_status=status)


def check_key(api_key: str, allowed: str) -> None:
    """Raises ValueError for a key that could never work, without repeating it."""
    if not api_key.isascii() or not api_key.isprintable() or not api_key.strip() or " " in api_key:
        raise ValueError(f"found a key that is empty or holds spaces or accents; allowed: {allowed}")


def check_base_url(base_url: str) -> None:
    """Raises ValueError for one that could never work."""
    try:
        parts = urlsplit(base_url)
        reachable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        reachable = False
    if not reachable:
        raise ValueError(
            f"found base URL {without_secrets(base_url)!r}; allowed: http:// or https:// with a host and a real port"
        )


def arrived(response: httpx2.Response) -> bytes:
    """The body of an answer, where it came to its end."""
    try:
        return response.content
    except httpx2.ResponseNotRead:
        return b""


async def _watch(request: httpx2.Request) -> None:
    """Before sending: wait for the slot, bound the connecting, and notice when the body begins to leave."""
    call = CALL.get()
    await call.reach_slot()

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(("send_request_headers.started", "send_request_body.started")):
            call.leave()  # the loop may have been busy between the two
            call.sent = event.endswith("body.started")

    timeouts = dict(request.extensions["timeout"])
    limit = CONNECT_TIMEOUT.total_seconds()
    timeouts |= {item: min(timeouts.get(item) or limit, limit) for item in ("connect", "pool")}
    request.extensions |= {"timeout": timeouts, "trace": trace}


async def _note(response: httpx2.Response) -> None:
    CALL.get().response = response
