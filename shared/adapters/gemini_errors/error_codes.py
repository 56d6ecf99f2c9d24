"""The words for errors: those of the Gemini API's documentation, and those of gateways that speak OpenAI's form."""

from __future__ import annotations

from shared.core.provider.failure import FailureKind

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
        "content_filter",
        "content_filtered",
        "content_policy_violation",
        "content_policy",
        "contentpolicyviolationerror",
        "content_violation",
        "data_inspection_failed",
        "flagged",
        "input_moderation",
        "moderation",
        "moderation_blocked",
        "moderation_error",
        "output_moderation",
        "policy_violation",
        "prompt_blocked",
        "responsibleaipolicyviolation",
        "safety_violation",
        "sensitive_words_detected",
        "violates_policy",
        "content_moderation",
        "prompt_filtered",
        "refusal",
        "responsible_ai_policy_violation",
        "image_generation_refused",
    ]
)
"""The model's or the policy's no. It is an answer: never retried, never routed around."""
NO_IMAGE = frozenset(["image_other", "no_image", "max_tokens"])
NO_MONEY = frozenset(
    [
        "account_balance_insufficient",
        "arrearage",
        "balance_not_enough",
        "billing_hard_limit_reached",
        "billing_not_active",
        "budget_exceeded",
        "credit_limit",
        "credit_limit_exceeded",
        "exceeded_current_quota_error",
        "insufficient_balance",
        "insufficient_credit",
        "insufficient_credits",
        "insufficient_funds",
        "insufficient_quota",
        "insufficient_user_quota",
        "payment_required",
        "pre_consume_token_quota_failed",
        "quota_not_enough",
        "token_quota_exhausted",
        "user_quota_exhausted",
    ]
)
"""An empty account, with any HTTP status."""
BUSY = frozenset(
    ["engine_overloaded", "engine_overloaded_error", "model_capacity_exhausted", "model_overloaded", "overloaded",
     "overloaded_error"]
)  # fmt: skip
"""Short of capacity, with any HTTP status."""
BLOCKED_REGIONS = frozenset(["unsupported_country_region_territory", "unsupported_country", "unsupported_location"])
KEYS = frozenset(["invalid_api_key", "api_key_invalid", "account_deactivated", "key_expired", "token_expired"])

_CREDENTIAL_REASONS = (
    "account_state_invalid", "consumer_invalid", "consumer_suspended", "credentials_missing", "credential_missing",
    "gcp_suspended", "jwt_token_invalid", "overloaded_credentials",
    "session_cookie_invalid", "user_account_deactivated",
)  # fmt: skip
_CREDENTIAL_FAMILIES = ("api_key_", "access_token_")
_PROJECT_REASONS = (
    "iam_permission_denied", "loas_project_disabled", "location_org_policy_violated", "location_policy_violated",
    "location_tax_policy_violated", "location_unavailable", "org_restriction_header_invalid",
    "org_restriction_violation", "resource_project_invalid", "resource_usage_restriction_violated",
    "security_policy_violated", "service_disabled", "service_not_visible", "tls_cipher_restricted",
    "tls_org_policy_violated", "user_blocked_by_admin", "user_project_denied",
)  # fmt: skip


def kind_of_reason(reason: str) -> FailureKind | None:
    """What a google.rpc.ErrorInfo.reason of the domain googleapis.com means; None for one that says nothing of the
    project, the key or the account. Source: https://github.com/googleapis/googleapis google/api/error_reason.proto"""
    if reason.startswith("billing_") or reason in NO_MONEY:
        return FailureKind.BALANCE
    if reason in _CREDENTIAL_REASONS or reason.startswith(_CREDENTIAL_FAMILIES):
        return FailureKind.CREDENTIAL
    return FailureKind.PERMISSION if reason in _PROJECT_REASONS else None


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
    "bad_gateway": 502,
    "gateway_timeout": 504,
    "internal_error": 500,
    "internal_server_error": 500,
    "server_error": 500,
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
