"""Who is calling: the key of a request, wherever it is, and whether it is accepted."""

from __future__ import annotations

from starlette.requests import Request

from scripts.simulator.provider.problems import ApiProblem, RequestRefused

STANDARD_KEY = "AIza"


def key_of(http: Request) -> str:
    """The caller's key, wherever it is; empty when there is none."""
    scheme, _, token = http.headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return http.headers.get("x-goog-api-key") or bearer or http.query_params.get("key", "")


def check_key(key: str) -> None:
    if not key:
        message = "Request is missing an API key. Pass it in the x-goog-api-key header."
        raise RequestRefused(ApiProblem("authentication", message, details=(_reason("CREDENTIALS_MISSING"),)))
    if key.startswith(STANDARD_KEY):
        message = "Standard API keys are no longer accepted. Create an auth key in AI Studio."
        raise RequestRefused(ApiProblem("authentication", message, details=(_reason("API_KEY_INVALID"),)))


def _reason(reason: str) -> dict[str, str]:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
    }
