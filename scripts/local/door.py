"""The front door of a server on this machine: programs of this machine come in, web pages and proxies do not.

A page in the developer's own browser can send a POST to 127.0.0.1 from anywhere, with a form or a no-cors fetch; a name
that its owner points at 127.0.0.1 (DNS rebinding) even counts as the page's own origin. Browsers mark both, by
`Origin`, `Sec-Fetch-Site` and `Host`. See https://fetch.spec.whatwg.org/#origin-header and
https://w3c.github.io/webappsec-fetch-metadata/.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from msgspec import to_builtins
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.proxy_headers import PROXIES
from shared.core.validation.shapes import Problem

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
SECRET = "x-renderlane-boot"
"""Carries the secret of this start on requests that the home sends to itself."""
BODY_LIMIT_BYTES = 16_000_000
"""A push of the largest message (10 MB) in base64, with its envelope."""
BODY_WITHIN = timedelta(seconds=30)
"""From the headers to the last byte of a body. On loopback 16 MB take milliseconds."""
SAFE = ("GET", "HEAD")
FROM_A_PROGRAM = (
    "A web page cannot call this server; call it from a program, or from the page's own server. For the HTTP API, a"
    " page's origin may be named in RENDERLANE_API_ORIGINS."
)


class NotLetIn(Exception):
    """A call that is refused: what was found, what is allowed, what to do."""

    def __init__(self, code: int, status: str, problem: Problem) -> None:
        super().__init__(str(problem))
        self.code = code
        self.status = status
        self.problem = problem

    @classmethod
    def forbidden(cls, field: str, given: str, allowed: str, remedy: str) -> NotLetIn:
        return cls(403, "PERMISSION_DENIED", Problem(field, given, allowed, remedy))


class Door:
    """ASGI middleware. `json_below` are path prefixes whose POSTs change something: their bodies must be JSON.

    `own_below` are paths for the holder of `secret` alone. `elsewhere` are paths that this door leaves to a guard of
    their own; body limits hold there too. `pages` are origins of web pages that may call the HTTP API, and nothing
    else. `anywhere`: the server listens for other machines, by address or bare name.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        json_below: Sequence[str] = (),
        own_below: Sequence[str] = (),
        secret: str = "",
        elsewhere: Sequence[str] = (),
        only_below: Sequence[str] = ("/",),
        anywhere: bool = False,
        pages: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._json_below = tuple(json_below)
        self._own_below = tuple(own_below)
        self._secret = secret
        self._elsewhere = tuple(elsewhere)
        self._only_below = tuple(only_below)
        self._anywhere = anywhere
        self._pages = tuple(pages)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no lifespan, no websockets: the server answers those
        path = str(scope["path"])
        if not path.startswith(self._only_below):
            await self._app(scope, receive, send)
            return
        body = _Body(receive)
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            self._check(scope, path)
            body.check_length(_values(scope, "content-length"))
            await self._app(scope, body.receive, sending)
        except NotLetIn as refusal:
            if not begun:
                await _answer(refusal, send, path)

    def _check(self, scope: Scope, path: str) -> None:
        if path.startswith(self._elsewhere) and self._elsewhere:
            return
        host = _host(scope, anywhere=self._anywhere)
        if not self._anywhere:
            _check_proxies(scope)
        if _is_api(path) and _values(scope, "origin") in ([page] for page in self._pages):
            if scope["method"] == "OPTIONS":
                return  # a preflight: the API answers it
        else:
            _check_page(scope, host)
        if self._own_below and path.startswith(self._own_below):
            self._check_secret(scope)
        if self._json_below and path.startswith(self._json_below) and scope["method"] not in (*SAFE, "DELETE"):
            _check_type(scope)

    def _check_secret(self, scope: Scope) -> None:
        shown = _values(scope, SECRET)
        if not self._secret or len(shown) != 1 or not secrets.compare_digest(shown[0].encode(), self._secret.encode()):
            raise NotLetIn.forbidden(
                SECRET,
                "another secret" if shown else "nothing",
                "the secret of this boot, which only `renderlane up` itself has",
                "To submit a request, publish it to render-requests.",
            )


class _Body:
    """Counts a body while it arrives, and waits a limited time."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes = 0
        self._complete = False
        self._deadline: float | None = None

    def check_length(self, stated: Sequence[str]) -> None:
        if any(name.isdecimal() and int(name[:20]) > BODY_LIMIT_BYTES for name in stated):
            raise _too_large(f"{int(stated[0][:20]):,}")

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()  # the next message says that the caller has left
        loop = asyncio.get_running_loop()
        self._deadline = self._deadline or loop.time() + BODY_WITHIN.total_seconds()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError as error:
            given = f"a part of it after {BODY_WITHIN.total_seconds():.0f} s"
            problem = Problem("the body", given, "the whole, within that time", "Send it again as a whole.")
            raise NotLetIn(408, "DEADLINE_EXCEEDED", problem) from error
        self._bytes += len(message.get("body", b""))
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        if self._bytes > BODY_LIMIT_BYTES:
            raise _too_large(f"more than {BODY_LIMIT_BYTES:,}")
        return message


def _too_large(size: str) -> NotLetIn:
    problem = Problem("the body", f"{size} bytes", f"{BODY_LIMIT_BYTES:,} a call", "Send it in parts.")
    return NotLetIn(413, "INVALID_ARGUMENT", problem)


def _host(scope: Scope, *, anywhere: bool) -> str:
    """The one Host header, if it names this machine."""
    hosts = _values(scope, "host")
    name = name_of(hosts[0]) if len(hosts) == 1 else None
    if name in LOOPBACK_NAMES or (anywhere and name is not None and (_is_address(name) or "." not in name)):
        return hosts[0]
    allowed = "an address or a name without dots" if anywhere else "localhost, 127.0.0.1 or [::1], with any port"
    given = repr(", ".join(hosts)[:80])
    raise NotLetIn.forbidden("host", given, allowed, "Call it by that name, from this machine.")


def _check_proxies(scope: Scope) -> None:
    shown = next((name for name in PROXIES if _values(scope, name)), None)
    if shown is not None:
        remedy = "To serve others, use Pub/Sub and the functions in the cloud."
        raise NotLetIn.forbidden(shown, "a proxy in front", "programs on this machine", remedy)


def _is_api(path: str) -> bool:
    """The HTTP API's own calls; `/v1/projects/` is Pub/Sub's publish."""
    return path.startswith(("/v1/requests", "/v1/estimate", "/v1/openapi.json"))


def _check_page(scope: Scope, host: str) -> None:
    """A link may lead from a page of another site to here, but such a page may do nothing else."""
    origins, sites = _values(scope, "origin"), _values(scope, "sec-fetch-site")
    foreign = [origin for origin in origins if urlsplit(origin).netloc != host or urlsplit(origin).scheme != "http"]
    if foreign:
        raise NotLetIn.forbidden("origin", repr(foreign[0][:80]), f"none, or http://{host}", FROM_A_PROGRAM)
    is_link = scope["method"] in SAFE and _values(scope, "sec-fetch-mode") == ["navigate"]
    if any(site not in ("none", "same-origin") for site in sites) and not is_link:
        given = repr(", ".join(sites)[:80])
        raise NotLetIn.forbidden("sec-fetch-site", given, "none or same-origin", FROM_A_PROGRAM)


def _check_type(scope: Scope) -> None:
    """No type at all is what plain HTTP clients send with bytes. A browser that sends none says so by its origin."""
    types = _values(scope, "content-type")
    from_browser = bool(_values(scope, "origin") or _values(scope, "sec-fetch-site"))
    kinds = [name.partition(";")[0].strip().lower() for name in types]
    if kinds == ["application/json"] or (not kinds and not from_browser):
        return
    given = repr(", ".join(types)[:80] or "nothing")
    remedy = "Add the header `Content-Type: application/json` (curl: -H 'Content-Type: application/json')."
    raise NotLetIn(415, "INVALID_ARGUMENT", Problem("content-type", given, "application/json", remedy))


def name_of(host: str) -> str | None:
    """The name in a Host header, without the port; None if it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    return name if name and not parts.path and not parts.username and "@" not in host and "," not in host else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _values(scope: Scope, name: str) -> list[str]:
    wanted = name.encode()
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key.lower() == wanted]


async def _answer(refusal: NotLetIn, send: Send, path: str) -> None:
    """As Google's APIs answer, and for the HTTP API as a problem document (RFC 9457) too."""
    error: Mapping[str, object] = {"code": refusal.code, "message": str(refusal), "status": refusal.status}
    document: dict[str, object] = {"error": error}
    kind = b"application/json"
    if path.startswith("/v1/") and not path.startswith("/v1/projects/"):
        kind = b"application/problem+json"
        title = "Refused at the door of this machine"
        document |= {
            "type": "about:blank", "title": title, "status": refusal.code, "detail": str(refusal), "instance": path,
            "errors": [to_builtins(refusal.problem)],
        }  # fmt: skip
    content = json.dumps(document).encode()
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(content)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),  # what is left of the body is not read
    ]
    await send({"type": "http.response.start", "status": refusal.code, "headers": headers})
    await send({"type": "http.response.body", "body": content})
