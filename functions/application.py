"""A whole application as a function's answer: made when it is sent, and logged if it ends with a 5xx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.push import CRASHED
from functions.unacknowledged import crashed, deferred, delivery_of
from shared import wiring
from shared.config import InvalidSetting
from shared.core.catalogue.toml_errors import BrokenCatalogue
from shared.ports.telemetry import Signals

CAUSE = "cause"
"""In the state of a request: the failure behind the answer, as far as its application knows."""


def note_cause(request: Request, error: Exception) -> None:
    """For the log line about an answer that says less."""
    request.scope.setdefault("state", {})[CAUSE] = str(error)


class FunctionAnswer(Response):
    def __init__(
        self, function: str, application: Callable[[], ASGIApp], signals: Callable[[], Signals] | None = None
    ) -> None:
        """`application` raises InvalidSetting or BrokenCatalogue if the process cannot work."""
        super().__init__()
        self._function = function
        self._application = application
        self._signals = signals or (lambda: wiring.worker().ports.signals)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        delivery = delivery_of(self._function, request.headers)
        try:
            application = self._application()
        except (InvalidSetting, BrokenCatalogue) as error:
            deferred(wiring.bare_signals(), delivery, CRASHED, str(error))
            answer = JSONResponse({"error": "the function cannot start; its log says why"}, status_code=CRASHED)
            await answer(scope, receive, send)
            return
        state: dict[str, Any] = {}
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await application({**scope, "root_path": "", "state": state}, receive, noting)
        except Exception as error:
            crashed(self._signals(), delivery, CRASHED, error)
            raise
        if status >= CRASHED:
            cause = state.get(CAUSE, "see the answer; nothing more is known")
            deferred(self._signals(), delivery, status, cause)
