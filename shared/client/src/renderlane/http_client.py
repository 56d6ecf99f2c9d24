"""Requests by HTTP, with the standard library alone: for `renderlane up` on this machine, or the function `api`.

    client = HttpClient()                                      # http://127.0.0.1:8080
    view = client.render(Request("hero-1", "a lighthouse"), timeout=120)
    open("hero.jpg", "wb").write(client.image("hero-1"))

`AsyncHttpClient` has the same methods as coroutines. Every call may be repeated: a request with the same id and content
is the same request, and is never paid for twice. What fails for a moment (429, 503, no connection) is tried again for
`patience` seconds.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import datetime
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from renderlane.errors import ApiError, InvalidRequest, NoConnection, NotInTime, Problem
from renderlane.request import Request
from renderlane.rules import check_id, encoded
from renderlane.view import View

LOOPBACK = ("localhost", "127.0.0.1", "::1")
LONGEST_WAIT = 30.0
"""Seconds of one `?wait=`."""
SILENT_FOR = 60.0
"""Seconds without a byte after which an event stream is opened again; a heartbeat comes every 15."""
FULL = 429
"""Too many calls wait there already: one that waits looks now and then instead."""
NO_ANSWER = (502, 503, 504)
PASSING = (FULL, *NO_ANSWER)
POLL_EVERY = 2.0
"""Seconds between two looks at a request where there is no room to wait."""
LARGEST_PAGE = 200


class HttpClient:
    """Safe to use from several threads.

    `token` returns an identity token for the API's audience; it is asked before each call (see `metadata_token`).
    `tenant` None: the caller's own, `default` on one machine.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        tenant: str | None = None,
        token: Callable[[], str] | None = None,
        timeout: float = 30.0,
        patience: float = 30.0,
    ) -> None:
        self._url = url.rstrip("/")
        self._tenant = tenant
        self._token = token
        self._timeout = timeout
        self._patience = patience
        local = urlsplit(url).hostname in LOOPBACK
        # A proxy cannot reach this machine, and a redirect must not take the token elsewhere.
        self._opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []), _NoRedirect())

    def submit(self, request: Request, *, traceparent: str | None = None) -> View:
        """Raises InvalidRequest before anything is sent; ApiError 409 for an id that has other content."""
        headers = {} if traceparent is None else {"traceparent": traceparent}
        return View.of(self._json("POST", "/v1/requests", self._body(request), headers))

    def render(self, request: Request, timeout: float | None = None, *, traceparent: str | None = None) -> View:
        """Submit, and wait for the end: also one that failed or was refused, see `View.status`."""
        view = self.submit(request, traceparent=traceparent)
        return view if view.ended else self.wait(view.request_id, timeout, tenant=view.tenant)

    def get(self, request_id: str, *, tenant: str | None = None) -> View:
        return View.of(self._json("GET", self._path(request_id, "", tenant)))

    def wait(self, request_id: str, timeout: float | None = None, *, tenant: str | None = None) -> View:
        """When it has ended. Raises NotInTime after `timeout` seconds; the request continues."""
        ends_at = None if timeout is None else time.monotonic() + timeout
        while True:
            left = LONGEST_WAIT if ends_at is None else ends_at - time.monotonic()
            seconds = max(min(left, LONGEST_WAIT), 0.0)
            path = self._path(request_id, "", tenant, wait=f"{seconds:.3f}")
            try:
                view = View.of(self._json("GET", path, longer=seconds, passing=NO_ANSWER))
            except ApiError as error:
                if error.status != FULL:
                    raise
                view = self.get(request_id, tenant=tenant)
                time.sleep(0.0 if view.ended else min(seconds, POLL_EVERY))
            if view.ended:
                return view
            if ends_at is not None and time.monotonic() >= ends_at:
                raise NotInTime(f"{request_id}: no end within {timeout:g} s; it continues")

    def events(self, request_id: str, *, tenant: str | None = None) -> Iterator[View]:
        """The request at each change, until it has ended. A stream that breaks off is opened again."""
        last: View | None = None
        while last is None or not last.ended:
            try:
                path = self._path(request_id, "/events", tenant)
                with self._patiently("GET", path, timeout=SILENT_FOR, passing=NO_ANSWER) as stream:
                    for payload in _events(stream):
                        view = View.of(payload)
                        if view != last:
                            yield view
                        last = view
            except ApiError as error:
                if error.status != FULL:
                    raise
                view = self.get(request_id, tenant=tenant)
                if view != last:
                    yield view
                last = view
                time.sleep(0.0 if view.ended else POLL_EVERY)
            except (OSError, HTTPException):
                time.sleep(1.0)

    def image(self, request_id: str, *, tenant: str | None = None) -> bytes:
        """The bytes. Raises ApiError 409 while there is none."""
        with self._patiently("GET", self._path(request_id, "/image", tenant)) as answer:
            if answer.status != 302:
                return answer.read()
            address = urljoin(self._url, answer.headers["location"])
        with self._open(urllib.request.Request(address), self._timeout) as signed:
            return signed.read()

    def cancel(self, request_id: str, *, tenant: str | None = None) -> View:
        """Raises ApiError 409 for one that has ended otherwise. One that has begun ends as it ends."""
        try:
            return View.of(self._json("POST", self._path(request_id, "/cancel", tenant)))
        except ApiError as error:
            if error.status != 409:
                raise
            view = self.get(request_id, tenant=tenant)  # the answer to an earlier try may have been lost
            if view.status != "cancelled":
                raise
            return view

    def requests(
        self,
        *,
        status: str | None = None,
        model: str | None = None,
        group: str | None = None,
        since: datetime | None = None,
        tenant: str | None = None,
    ) -> Iterator[View]:
        """Newest first; page after page as they are taken. `since` is aware: accepted at that time or later."""
        if since is not None and since.tzinfo is None:
            remedy = "Give it one: datetime(..., tzinfo=UTC)."
            raise InvalidRequest((Problem("since", "a time without a zone", "an aware datetime", remedy),))
        moment = None if since is None else since.isoformat()
        named = {"status": status, "model": model, "group": group, "since": moment, "tenant": tenant or self._tenant}
        query = {name: value for name, value in named.items() if value is not None} | {"limit": str(LARGEST_PAGE)}
        while True:
            page = self._json("GET", f"/v1/requests?{urlencode(query)}")
            yield from (View.of(payload) for payload in page["requests"])
            if page["cursor"] is None:
                return
            query["cursor"] = page["cursor"]

    def estimate(self, request: Request) -> Mapping[str, Any]:
        """Routes with prices; nothing is queued."""
        routes: Mapping[str, Any] = self._json("POST", "/v1/estimate", self._body(request))
        return routes

    def _body(self, request: Request) -> bytes:
        """For this client's tenant, where the request names none."""
        payload = request.to_json()
        if self._tenant is not None and request.tenant is None:
            payload["tenant"] = self._tenant
        return encoded(payload)

    def _path(self, request_id: str, below: str, tenant: str | None, **query: str) -> str:
        """Raises InvalidRequest for what is no id: an empty one would be the address of the list."""
        check_id(request_id)
        owner = tenant or self._tenant
        if owner is not None:
            query["tenant"] = owner
        return f"/v1/requests/{quote(request_id, safe='')}{below}" + (f"?{urlencode(query)}" if query else "")

    def _json(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        longer: float = 0.0,
        passing: tuple[int, ...] = PASSING,
    ) -> Any:
        with self._patiently(method, path, body, headers, self._timeout + longer, passing) as answer:
            return json.loads(answer.read())

    def _patiently(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None,
        timeout: float | None = None, passing: tuple[int, ...] = PASSING,
    ) -> HTTPResponse:  # fmt: skip
        """No connection, and a status that is `passing`, is tried again. Raises ApiError or NoConnection."""
        give_up_at = time.monotonic() + self._patience
        pause = 0.25
        while True:
            try:
                return self._call(method, path, body, headers or {}, timeout or self._timeout)
            except (ApiError, NoConnection) as error:
                passes = isinstance(error, NoConnection) or error.status in passing
                if not passes or time.monotonic() + pause > give_up_at:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, 5.0)

    def _call(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float
    ) -> HTTPResponse:
        token = {} if self._token is None else {"authorization": f"Bearer {self._token()}"}
        kind = {} if body is None else {"content-type": "application/json"}
        call = urllib.request.Request(
            f"{self._url}{path}", data=body, headers={**kind, **headers, **token}, method=method
        )
        return self._open(call, timeout)

    def _open(self, call: urllib.request.Request, timeout: float) -> HTTPResponse:
        try:
            answer: HTTPResponse = self._opener.open(call, timeout=timeout)
            return answer
        except urllib.error.HTTPError as error:
            with error:
                raise _api_error(error.code, error.read()) from error
        except (urllib.error.URLError, HTTPException, OSError) as error:
            raise NoConnection(f"{call.type}://{call.host} did not answer: {error}") from error


class AsyncHttpClient:
    """The same for asyncio; each call has a thread of asyncio's own pool."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """As `HttpClient`."""
        self._client = HttpClient(*args, **options)

    async def submit(self, request: Request, *, traceparent: str | None = None) -> View:
        return await asyncio.to_thread(self._client.submit, request, traceparent=traceparent)

    async def render(self, request: Request, timeout: float | None = None, *, traceparent: str | None = None) -> View:
        return await asyncio.to_thread(self._client.render, request, timeout, traceparent=traceparent)

    async def get(self, request_id: str, *, tenant: str | None = None) -> View:
        return await asyncio.to_thread(self._client.get, request_id, tenant=tenant)

    async def wait(self, request_id: str, timeout: float | None = None, *, tenant: str | None = None) -> View:
        return await asyncio.to_thread(self._client.wait, request_id, timeout, tenant=tenant)

    async def events(self, request_id: str, *, tenant: str | None = None) -> AsyncIterator[View]:
        views = self._client.events(request_id, tenant=tenant)
        while (view := await asyncio.to_thread(next, views, None)) is not None:
            yield view

    async def image(self, request_id: str, *, tenant: str | None = None) -> bytes:
        return await asyncio.to_thread(self._client.image, request_id, tenant=tenant)

    async def cancel(self, request_id: str, *, tenant: str | None = None) -> View:
        return await asyncio.to_thread(self._client.cancel, request_id, tenant=tenant)

    async def requests(
        self,
        *,
        status: str | None = None,
        model: str | None = None,
        group: str | None = None,
        since: datetime | None = None,
        tenant: str | None = None,
    ) -> AsyncIterator[View]:
        views = self._client.requests(status=status, model=model, group=group, since=since, tenant=tenant)
        while (view := await asyncio.to_thread(next, views, None)) is not None:
            yield view

    async def estimate(self, request: Request) -> Mapping[str, Any]:
        return await asyncio.to_thread(self._client.estimate, request)


def metadata_token(audience: str, *, server: str = "http://metadata.google.internal") -> Callable[[], str]:
    """The identity token of the account that this program runs as on Google Cloud, renewed before it expires."""
    address = (
        f"{server}/computeMetadata/v1/instance/service-accounts/default/identity?"
        f"{urlencode({'audience': audience, 'format': 'full'})}"
    )
    kept: tuple[float, str] = (0.0, "")

    def token() -> str:
        nonlocal kept
        if kept[0] < time.monotonic():
            call = urllib.request.Request(address, headers={"metadata-flavor": "Google"})
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(call, timeout=10) as answer:
                kept = (time.monotonic() + 1800, answer.read().decode())
        return kept[1]

    return token


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is the answer: who follows it does so without the token."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        return fp

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _events(stream: HTTPResponse) -> Iterator[Any]:
    """The data of each `status` event."""
    data: list[str] = []
    for line in stream:
        text = line.decode().rstrip("\r\n")
        if text.startswith("data:"):
            data.append(text[5:].strip())
        elif not text and data:
            yield json.loads("\n".join(data))
            data = []


def _api_error(status: int, body: bytes) -> ApiError:
    try:
        payload: Any = json.loads(body)
        problems = tuple(
            Problem(error["field"], error["found"], error["allowed"], error["remedy"])
            for error in payload.get("errors", ())
        )
        detail = payload.get("detail") or payload.get("error", {}).get("message") or ""
        return ApiError(status, str(detail), problems)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ApiError(status, body[:200].decode("utf-8", errors="replace"), ())
