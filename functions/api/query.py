"""The query of a call as values. Raises ProblemAnswer for a parameter that the call does not have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import wraps
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from functions.api.problems import ProblemAnswer
from shared.core.times.moments import read_moment
from shared.core.validation.numbers import whole_number
from shared.core.validation.shapes import Problem, shown
from shared.core.validation.spelling import meant

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
IN_THE_BODY = "tenant"
"""Where links of a request name its tenant; a new request names it in its body."""


def takes(*names: str) -> Callable[[Endpoint], Endpoint]:
    """A call with these parameters, once each, and no others: a filter with a slip in its name filters nothing."""

    def checked(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def call(request: Request) -> Response:
            problems = _problems(request, names)
            if problems:
                raise ProblemAnswer(422, "; ".join(map(str, problems)), problems)
            return await endpoint(request)

        call.parameters = names  # type: ignore[attr-defined]
        return call

    return checked


def number(request: Request, name: str, default: float, least: float, most: float) -> float:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise _wrong(name, text, f"a number from {least:g} to {most:g}")
    return value


def whole(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    value = whole_number(text) if text.isascii() else None
    if value is None or not least <= value <= most:
        raise _wrong(name, text, f"a whole number from {least} to {most}")
    return value


def moment(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    value = read_moment(text.upper().replace(" ", "+"))  # an unencoded `+` arrives as a space
    if value is None:
        allowed = "a date and time with offset, such as 2026-12-01T12:00:00Z"
        raise ProblemAnswer.of_field(422, Problem(name, shown(text), allowed, "Correct it."))
    return value


def _wrong(name: str, text: str, allowed: str) -> ProblemAnswer:
    return ProblemAnswer.of_field(422, Problem(name, shown(text), allowed, "Change it, or leave it out."))


def _problems(request: Request, names: tuple[str, ...]) -> list[Problem]:
    allowed = ", ".join(names) or "no parameter in the query"
    problems = []
    for name in dict.fromkeys(request.query_params):
        count = len(request.query_params.getlist(name))
        if name not in names:
            likely = meant(name, names)
            remedy = f"Write {likely}." if likely else "Remove it."
            if name == IN_THE_BODY:
                remedy = "Name the tenant in the body."
            problems.append(Problem(shown(name)[1:-1], "an unknown parameter", allowed, remedy))
        elif count > 1:
            problems.append(Problem(name, f"{count} of them", "one", "Send it once."))
    return problems[:20]
