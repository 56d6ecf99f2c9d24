"""Problem documents (RFC 9457) with the field, what was found, what is allowed, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse, Response

from shared.core.validation.shapes import Problem

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "The request cannot be read",
    401: "No caller is identified",
    403: "Not allowed",
    404: "No such request",
    405: "Method not allowed",
    409: "Conflict",
    413: "The body is too large",
    415: "The body has another type",
    422: "The request is not valid",
    429: "Too many calls wait",
    503: "A service that is needed did not respond",
}


class ProblemAnswer(Exception):
    """Raised anywhere below the application; it becomes the answer."""

    def __init__(
        self,
        status: int,
        detail: str,
        problems: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
        title: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.problems = tuple(problems)
        self.headers = dict(headers or {})
        self.title = title or TITLES[status]

    @classmethod
    def of_field(
        cls, status: int, problem: Problem, title: str | None = None, headers: Mapping[str, str] | None = None
    ) -> ProblemAnswer:
        return cls(status, str(problem), (problem,), headers, title)

    def response(self, instance: str) -> Response:
        return document(self.status, self.title, self.detail, self.problems, instance, self.headers)


def document(
    status: int,
    title: str,
    detail: str,
    problems: Sequence[Problem],
    instance: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        "errors": [
            {"field": problem.field, "found": problem.found, "allowed": problem.allowed, "remedy": problem.remedy}
            for problem in problems
        ],
    }
    return JSONResponse(content, status, dict(headers or {}), MEDIA_TYPE)
