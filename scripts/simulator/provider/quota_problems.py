"""429 answers: what the windows found, and every variant seen in the wild, as `ApiProblem` values.

The wording, quota ids and metric names follow captured answers. The id of images a minute was never captured: it is
formed after the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from scripts.simulator.provider.problems import ApiProblem
from scripts.simulator.provider.quota_windows import NEVER, Dimension, ExceededWindow, QuotaRejection

Variant = Literal[
    "minute",
    "images",
    "tokens",
    "paid_tokens",
    "day",
    "several",
    "valueless",
    "help_only",
    "bare",
    "day_short_delay",
    "zero",
    "balance",
    "other_model",
    "too_many",
]

BARE_MESSAGE = "Resource has been exhausted (e.g. check quota)."
METRIC_PREFIX = "generativelanguage.googleapis.com/"
_HELP = {
    "@type": "type.googleapis.com/google.rpc.Help",
    "links": [
        {
            "description": "Learn more about Gemini API quotas",
            "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
        }
    ],
}


class QuotaMetric(Struct, frozen=True):
    name: str
    quota_id: str


OF_DIMENSION: Mapping[Dimension, QuotaMetric] = {
    "rpm": QuotaMetric("generate_requests_per_model", "GenerateRequestsPerMinutePerProjectPerModel"),
    "ipm": QuotaMetric("generate_images_per_model", "GenerateImagesPerMinutePerProjectPerModel"),
    "tpm": QuotaMetric("generate_content_input_token_count", "GenerateContentInputTokensPerModelPerMinute"),
    "rpd": QuotaMetric("generate_requests_per_model_per_day", "GenerateRequestsPerDayPerProjectPerModel"),
}
_PAID_TOKENS = QuotaMetric(
    "generate_content_paid_tier_input_token_count", "GenerateContentPaidTierInputTokensPerModelPerMinute"
)


def from_rejection(rejected: QuotaRejection, model_id: str) -> ApiProblem:
    """Named windows answer with details and a true delay; spend and concurrency with the bare body, as observed."""
    named = [violation for violation in rejected.violations if violation.dimension in OF_DIMENSION]
    if not named:
        only_concurrency = all(violation.dimension == "concurrency" for violation in rejected.violations)
        return ApiProblem("too_many_requests" if only_concurrency else "rate_limit_exceeded", BARE_MESSAGE)
    rows = [_row(OF_DIMENSION[violation.dimension], model_id, violation.limit) for violation in named]
    code = "quota_exceeded" if any(violation.dimension == "rpd" for violation in named) else "rate_limit_exceeded"
    return _exhausted(code, rows, _longest(named))


def of_variant(
    variant: Variant, model_id: str, *, limit: int, delay: float, retry_delay: str | None, suffix: str
) -> ApiProblem:
    """A scripted 429. `delay` in seconds; `retry_delay`, if given, is sent as it is written; `suffix` ends the ids."""

    def row(dimension: Dimension, value: int | None = limit, model: str = model_id) -> dict[str, Any]:
        metric = OF_DIMENSION[dimension]
        return _row(QuotaMetric(metric.name, metric.quota_id + suffix), model, value)

    match variant:
        case "minute":
            return _exhausted("rate_limit_exceeded", [row("rpm")], delay, retry_delay)
        case "images":
            return _exhausted("rate_limit_exceeded", [row("ipm")], delay, retry_delay)
        case "tokens":
            return _exhausted("rate_limit_exceeded", [row("tpm")], delay, retry_delay)
        case "paid_tokens":
            paid = QuotaMetric(_PAID_TOKENS.name, _PAID_TOKENS.quota_id + suffix)
            return _exhausted("rate_limit_exceeded", [_row(paid, model_id, limit)], delay, retry_delay)
        case "day":
            return _exhausted("quota_exceeded", [row("rpd")], delay, retry_delay)
        case "several":
            return _exhausted("quota_exceeded", [row("rpm"), row("rpd", None), row("tpm")], delay, retry_delay)
        case "valueless":
            return _exhausted("rate_limit_exceeded", [row("rpm", None)], delay, retry_delay)
        case "help_only":
            return ApiProblem("rate_limit_exceeded", BARE_MESSAGE, details=(_HELP,))
        case "bare":
            return ApiProblem("rate_limit_exceeded", BARE_MESSAGE)
        case "day_short_delay":
            return _exhausted("quota_exceeded", [row("rpd")], 0.856, retry_delay)
        case "zero":
            return _exhausted("quota_exceeded", [row("rpd", 0), row("rpm", 0)], None)
        case "balance":
            return ApiProblem("insufficient_user_quota", "user quota is not enough, remaining quota: $0.000000")
        case "other_model":
            return _exhausted("rate_limit_exceeded", [row("rpm", model=f"{model_id}-001")], delay, retry_delay)
        case "too_many":
            return ApiProblem("too_many_requests", BARE_MESSAGE)


def _row(metric: QuotaMetric, model_id: str, value: int | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "quotaMetric": METRIC_PREFIX + metric.name,
        "quotaId": metric.quota_id,
        "quotaDimensions": {"location": "global", "model": model_id},
    }
    if value is not None:
        row["quotaValue"] = str(value)
    return row


def _exhausted(
    code: str, rows: Sequence[dict[str, Any]], delay: float | None, retry_delay: str | None = None
) -> ApiProblem:
    lines = [
        f"* Quota exceeded for metric: {row['quotaMetric']}, limit: {row.get('quotaValue', 'unknown')},"
        f" model: {row['quotaDimensions']['model']}"
        for row in rows
    ]
    message = "You exceeded your current quota, please check your plan and billing details.\n" + "\n".join(lines)
    details: list[Mapping[str, Any]] = [
        _HELP,
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": list(rows)},
    ]
    if delay is not None:
        message += f"\nPlease retry in {spoken(delay)}."
        written = retry_delay if retry_delay is not None else wire(delay)
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": written})
    return ApiProblem(code, message, details=tuple(details))


def _longest(violations: Sequence[ExceededWindow]) -> float | None:
    longest = max(violation.wait for violation in violations)
    return None if longest == NEVER else longest


def wire(seconds: float) -> str:
    """A protobuf duration, never shorter than the truth: whole seconds for a long one, else nine digits."""
    if seconds >= 3600:
        return f"{math.ceil(seconds)}s"
    nanos = math.ceil(seconds * 1e9)
    whole, rest = divmod(nanos, 1_000_000_000)
    return f"{whole}.{rest:09d}s" if rest else f"{whole}s"


def spoken(seconds: float) -> str:
    """As the message says it: 856ms, 45.84s, 1h52m56.4s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{rest:.9f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{int(hours)}h{int(minutes)}m{text}"
    return f"{int(minutes)}m{text}" if minutes else text
