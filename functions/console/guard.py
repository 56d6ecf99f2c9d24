"""What every call passes: who calls, whether a change was really made by that person, and the headers of every
answer."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from urllib.parse import parse_qs, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from functions.answer_headers import with_headers
from functions.console.desk import ConsoleContext, desk_of
from functions.console.tokens import NONCE
from functions.console.view import problem
from functions.proxy_headers import PROXIES
from shared.ports.identity import CallerInfo, NotIdentified

ASSERTION = "x-goog-iap-jwt-assertion"
FORM_LIMIT_BYTES = 64 * 1024
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not `no-referrer`: a browser then sends its forms with `Origin: null`.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

Form = Mapping[str, str]
Change = Callable[[Request, Form], Awaitable[Response]]


class ChangeRefused(Exception):
    """A change without a valid author. Says why and what to do."""


class Guard:
    """Identifies the caller before any page is opened."""

    def __init__(self, app: ASGIApp, desk: ConsoleContext) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = with_headers(send, HEADERS)
        request = Request(scope, receive)
        try:
            request.state.actor = await self._desk.identities.actor(caller_info(request))
        except NotIdentified as error:
            await problem(request, 403, "Not signed in", str(error))(scope, receive, send)
            return
        await self._app(scope, receive, send)


def caller_info(request: Request) -> CallerInfo:
    return CallerInfo(
        peer=request.client.host if request.client else "",
        host=request.headers.get("host", ""),
        # nginx speaks HTTP/1.0 to its backend by default; no current browser does.
        proxied=request.scope.get("http_version") == "1.0" or any(name in request.headers for name in PROXIES),
        assertion=request.headers.get(ASSERTION),
    )


def cookie_name(desk: ConsoleContext) -> str:
    """With the prefix that browsers accept only over HTTPS, if HTTPS is used."""
    return "__Host-renderlane" if desk.behind_proxy else "renderlane"


async def token_for(request: Request) -> str:
    """For the forms of the page that answers; `keep_cookie` belongs to it."""
    desk = desk_of(request)
    secret = request.cookies.get(cookie_name(desk), "")
    request.state.nonce = secret if NONCE.fullmatch(secret) else secrets.token_hex(16)
    return (await desk.tokens()).token(request.state.actor, request.state.nonce)


def keep_cookie(request: Request, response: Response) -> Response:
    """Give the browser the cookie that the page's token was made for."""
    desk = desk_of(request)
    nonce = getattr(request.state, "nonce", None)
    if nonce is not None and request.cookies.get(cookie_name(desk)) != nonce:
        response.set_cookie(
            cookie_name(desk), nonce, path="/", secure=desk.behind_proxy, httponly=True, samesite="strict"
        )  # fmt: skip
    return response


def changing(change: Change) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that changes something: by POST, from our own page, by the person who was given the form."""

    async def endpoint(request: Request) -> Response:
        try:
            return await change(request, await sent(request))
        except ChangeRefused as error:
            return problem(request, 403, "Nothing was changed", str(error))

    return endpoint


async def sent(request: Request) -> Form:
    """The form of a POST that really comes from our page. Raises ChangeRefused."""
    desk = desk_of(request)
    _check_origin(request)
    form = await _form(request)
    nonce = request.cookies.get(cookie_name(desk), "")
    if not (await desk.tokens()).holds(form.get("token", ""), request.state.actor, nonce):
        raise ChangeRefused("the form has no valid token. Reload the page and try again.")
    return form


def _check_origin(request: Request) -> None:
    origin, host = request.headers.get("origin"), request.headers.get("host")
    if origin is None and request.headers.get("sec-fetch-site") == "same-origin":
        return
    if origin is None or urlsplit(origin).netloc != host:
        raise ChangeRefused(
            f"found the origin {(origin or 'none')[:80]!r}; allowed: {host}. Use the console's own pages."
        )


async def _parts(request: Request) -> AsyncIterator[bytes]:
    try:
        async for part in request.stream():
            yield part
    except ClientDisconnect as error:
        raise ChangeRefused("the form is incomplete. Send it again.") from error


async def _form(request: Request) -> Form:
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise ChangeRefused(f"found a body of {kind[:80] or 'no'} type; allowed: application/x-www-form-urlencoded")
    body = bytearray()
    async for part in _parts(request):
        body += part
        if len(body) > FORM_LIMIT_BYTES:
            raise ChangeRefused(f"the form is larger than {FORM_LIMIT_BYTES:,} bytes. Shorten it.")
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=64)
    except ValueError as error:
        raise ChangeRefused("cannot read the form; allowed: UTF-8, at most 64 fields") from error
    return {name: values[-1] for name, values in fields.items()}
