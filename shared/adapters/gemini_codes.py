"""The words for errors that the Gemini API's documentation lists."""

from __future__ import annotations

REFUSALS = frozenset(
    [
        "safety",
        "prohibited_content",
        "spii",
        "blocklist",
        "image_safety",
        "image_prohibited_content",
        "content_blocked",
        "recitation",
        "image_recitation",
        "language",
    ]
)
"""The model's or the policy's no. It is an answer: never retried, never routed around."""
NO_IMAGE = frozenset(["image_other", "no_image", "max_tokens"])

STATUS_OF_CODE: dict[str, int] = {
    "invalid_request": 400,
    "invalid_argument": 400,
    "parameter_unknown": 400,
    "failed_precondition": 400,
    "authentication": 401,
    "unauthenticated": 401,
    "payment_required": 402,
    "permission_denied": 403,
    "not_found": 404,
    "model_not_found": 404,
    "already_exists": 409,
    "aborted": 409,
    "out_of_range": 416,
    "rate_limit_exceeded": 429,
    "quota_exceeded": 429,
    "too_many_requests": 429,
    "resource_exhausted": 429,
    "cancelled": 499,
    "api_error": 500,
    "internal": 500,
    "unknown": 500,
    "data_loss": 500,
    "unimplemented": 501,
    "service_unavailable": 503,
    "unavailable": 503,
    "deadline_exceeded": 504,
}
"""Words of both body forms, in lower case, to the HTTP status the documentation gives them."""
RPC_CODES = [
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
]
"""google.rpc.Code by number: a step's error carries these instead of an HTTP status."""
