"""Errors as the API answers them: one value, two documented bodies (string codes, and google.rpc.Status)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

ErrorForm = Literal["detailed", "coded", "rpc"]
"""How /interactions words an error: `detailed` = string code plus the details seen in captured answers; `coded` = as
documented, code and message only; `rpc` = the google.rpc form that :generateContent always uses."""

_HTTP_STATUS = {
    "invalid_request": 400,
    "parameter_unknown": 400,
    "failed_precondition": 400,
    "authentication": 401,
    "payment_required": 402,
    "permission_denied": 403,
    "not_found": 404,
    "model_not_found": 404,
    "rate_limit_exceeded": 429,
    "quota_exceeded": 429,
    "too_many_requests": 429,
    "insufficient_user_quota": 429,
    "api_error": 500,
    "service_unavailable": 503,
    "deadline_exceeded": 504,
}

_RPC_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class ApiProblem(Struct, frozen=True):
    code: str
    """The Interactions API's string code; it decides the HTTP status unless `status` does."""
    message: str
    details: tuple[Mapping[str, Any], ...] = ()
    """google.rpc details: QuotaFailure, RetryInfo, Help, ErrorInfo."""
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    """HTTP status of a code that has none of its own, such as `safety`."""
    form: ErrorForm | None = None
    """Overrules the simulation's form for this one answer."""

    @property
    def http_status(self) -> int:
        return self.status if self.status is not None else _HTTP_STATUS.get(self.code, 400)

    def coded_body(self, *, detailed: bool) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if detailed and self.details:
            error["details"] = list(self.details)
        return {"error": error}

    def rpc_body(self) -> dict[str, Any]:
        status = "FAILED_PRECONDITION" if self.code == "failed_precondition" else _RPC_STATUS[self.http_status]
        error: dict[str, Any] = {"code": self.http_status, "message": self.message, "status": status}
        if self.details:
            error["details"] = list(self.details)
        return {"error": error}


class RequestRefused(Exception):
    """A request that cannot be served as it is written."""

    def __init__(self, problem: ApiProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def invalid(message: str, *, code: str = "invalid_request") -> RequestRefused:
    return RequestRefused(ApiProblem(code, message))


def model_not_found(model_id: str) -> ApiProblem:
    return ApiProblem("model_not_found", f"Model '{model_id}' is not found, or is not supported for this method.")
