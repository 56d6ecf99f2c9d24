"""What every call passes: who calls and for which tenants, and the headers of every answer."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from functions.answer_headers import with_headers
from functions.api.problems import ProblemAnswer
from functions.proxy_headers import PROXIES
from shared.core.validation.shapes import Problem, shown
from shared.ports.identity import Caller, CallerInfo, Callers, NotIdentified

OPEN = ("/healthz", "/v1/openapi.json")
"""Open to every identified caller: these say nothing about requests."""
HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class Identified:
    """ASGI middleware: no endpoint runs without a caller."""

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        self._app = app
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        send = with_headers(send, HEADERS)
        request = Request(scope, receive)
        if scope["path"] not in OPEN:
            try:
                request.state.caller = await self._callers.caller(_call(request))
            except NotIdentified as error:
                answer = ProblemAnswer(401, str(error), (error.problem,), {"www-authenticate": "Bearer"})
                await answer.response(scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)


def tenant_of(request: Request, named: str | None) -> str:
    """The tenant that a call is for: the named one, else the caller's first one. Raises ProblemAnswer."""
    caller: Caller = request.state.caller
    if named is None:
        return caller.default_tenant
    if caller.may_use(named):
        return named
    problem = Problem(
        "tenant", shown(named), ", ".join(caller.tenants), "Use your own tenant, or ask the operators for this one."
    )
    raise ProblemAnswer.of_field(403, problem)


def _call(request: Request) -> CallerInfo:
    # Cloud Run checks this header where it is sent, and passes `authorization` on unread.
    token = request.headers.get("x-serverless-authorization") or request.headers.get("authorization")
    return CallerInfo(
        peer=request.client.host if request.client else "",
        host=request.headers.get("host", ""),
        proxied=request.scope.get("http_version") == "1.0" or any(name in request.headers for name in PROXIES),
        assertion=token,
    )
