"""Every documented error of the Gemini API, and any bytes at all, mean exactly one thing for us."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.simulator.formats.fault_replies import gate_problem
from scripts.simulator.provider.accepted_request import Headline
from scripts.simulator.provider.faults import Fault
from scripts.simulator.provider.problems import ErrorForm
from shared.adapters.gemini_errors.errors import read_failure
from shared.core.provider.failure import RULES, FailureKind, Next

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
RPC = "type.googleapis.com/google.rpc."
DAY = "GenerateRequestsPerDayPerProjectPerModel"
MINUTE = "GenerateRequestsPerMinutePerProjectPerModel"


@dataclass(frozen=True)
class Row:
    """One documented form and what it means."""

    name: str
    status: int
    body: Any
    kind: FailureKind
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    """Seconds."""
    quota_id: str | None = None
    quota_value: int | None = None

    @property
    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def words(code: str, message: str = "no more to say") -> dict[str, Any]:
    """The Interactions form."""
    return {"error": {"code": code, "message": message}}


def rpc(code: int, status: str, message: str = "no more to say", *details: dict[str, Any]) -> dict[str, Any]:
    """The google.rpc.Status form."""
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def quota_failure(*violations: dict[str, Any]) -> dict[str, Any]:
    return {"@type": RPC + "QuotaFailure", "violations": list(violations)}


def violation(quota_id: str, value: Any = None) -> dict[str, Any]:
    return {"quotaMetric": "generativelanguage.googleapis.com/generate", "quotaId": quota_id} | (
        {} if value is None else {"quotaValue": value}
    )


def retry_info(delay: str) -> dict[str, Any]:
    return {"@type": RPC + "RetryInfo", "retryDelay": delay}


def exhausted(message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return rpc(429, "RESOURCE_EXHAUSTED", message, *details)


CAPTURED = exhausted(
    "You exceeded your current quota. Please retry in 1h52m56.4s.",
    quota_failure(
        {
            "quotaMetric": "generativelanguage.googleapis.com/generate_requests_per_model_per_day",
            "quotaId": DAY,
            "quotaDimensions": {"location": "global", "model": "gemini-3-pro-image"},
            "quotaValue": "100",
        }
    ),
    retry_info("6776s"),
)
HELP = {"@type": RPC + "Help", "links": [{"description": "limits", "url": "https://ai.google.dev/gemini-api/docs"}]}
BAD_KEY = {"@type": RPC + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
PRO = "gemini-3-pro-image"
HTML = b"<html><head><title>Error</title><style>p{}</style></head><body><p>That's an error.</p></body></html>"
K = FailureKind

ERRORS = [
    Row("400 invalid_request", 400, words("invalid_request"), K.INVALID_REQUEST, "invalid_request"),
    Row("400 parameter_unknown", 400, words("parameter_unknown"), K.INVALID_REQUEST, "parameter_unknown"),
    Row("400 failed_precondition", 400, words("failed_precondition"), K.PERMISSION, "failed_precondition"),
    Row("400 rpc", 400, rpc(400, "INVALID_ARGUMENT"), K.INVALID_REQUEST, "invalid_argument"),
    Row("400 bad key by reason", 400, rpc(400, "INVALID_ARGUMENT", "x", BAD_KEY), K.CREDENTIAL, "invalid_argument"),
    Row("400 bad key by text", 400, words("invalid_request", "API key not valid."), K.CREDENTIAL, "invalid_request"),
    Row("400 expired key", 400, rpc(400, "INVALID_ARGUMENT", "API key expired."), K.CREDENTIAL, "invalid_argument"),
    Row("400 no billing", 400, rpc(400, "FAILED_PRECONDITION", "Enable billing."), K.BALANCE, "failed_precondition"),
    Row("401", 401, words("authentication"), K.CREDENTIAL, "authentication"),
    Row("401 rpc", 401, rpc(401, "UNAUTHENTICATED"), K.CREDENTIAL, "unauthenticated"),
    Row("401 without a body", 401, b"", K.CREDENTIAL),
    Row("402", 402, words("payment_required"), K.BALANCE, "payment_required"),
    Row("403", 403, words("permission_denied"), K.PERMISSION, "permission_denied"),
    Row("403 rpc", 403, rpc(403, "PERMISSION_DENIED"), K.PERMISSION, "permission_denied"),
    Row("403 blocked content", 403, words("content_blocked"), K.REFUSED, "content_blocked"),
    Row("403 safety", 403, words("safety"), K.REFUSED, "safety"),
    Row("403 leaked key", 403, rpc(403, "PERMISSION_DENIED", "Your API key was reported as leaked."), K.CREDENTIAL,
        "permission_denied"),
    Row("403 of a broke gateway", 403, {"error": {"type": "insufficient_user_quota", "message": "x"}}, K.BALANCE,
        "insufficient_user_quota"),
    Row("404 model_not_found", 404, words("model_not_found"), K.MODEL_GONE, "model_not_found"),
    Row("404 not_found", 404, words("not_found"), K.MODEL_GONE, "not_found"),
    Row("404 rpc", 404, rpc(404, "NOT_FOUND", "models/x is not found for API version v1"), K.MODEL_GONE, "not_found"),
    Row("404 a file", 404, rpc(404, "NOT_FOUND", "File files/abc123 does not exist for this model."), K.INVALID_REQUEST,
        "not_found"),
    Row("404 a cached content", 404, words("not_found", "Cached content not found."), K.INVALID_REQUEST, "not_found"),
    Row("404 rpc without a word", 404, rpc(404, "NOT_FOUND", "Requested entity was not found."), K.MODEL_GONE,
        "not_found"),
    Row("404 html", 404, HTML, K.CONNECTION),
    Row("404 without a body", 404, b"", K.CONNECTION),
    Row("404 html that speaks of models", 404, b"<p>No such page. Our models are listed below.</p>", K.CONNECTION),
    Row("404 of a web framework", 404, {"detail": "Not Found"}, K.CONNECTION),
    Row("404 of a path", 404, {"error": {"type": "invalid_request_error", "message": "Invalid URL (POST /v1/x)"}},
        K.CONNECTION, "invalid_request_error"),
    Row("404 of a gateway's model", 404, {"error": {"type": "invalid_request_error", "message": "No such model: x"}},
        K.MODEL_GONE, "invalid_request_error"),
    Row("400 flex unsupported", 400, words("invalid_request", f"Service tier 'flex' is not supported for {PRO}."),
        K.LANE_UNSUPPORTED, "invalid_request"),
    Row("400 flex unsupported rpc", 400, rpc(400, "INVALID_ARGUMENT", f"Bad request. {PRO} doesn't support Flex."),
        K.LANE_UNSUPPORTED, "invalid_argument"),
    Row("400 priority unavailable", 400, words("failed_precondition", "Priority inference is not yet available here."),
        K.LANE_UNSUPPORTED, "failed_precondition"),
    Row("400 service_tier unknown", 400, words("parameter_unknown", "Unknown name \"service_tier\": no such field."),
        K.LANE_UNSUPPORTED, "parameter_unknown"),
    Row("400 of a size beside a tier", 400, words("invalid_request", "Size 512 is not supported. Tier: flex."),
        K.INVALID_REQUEST, "invalid_request"),
    Row("400 flexible words", 400, words("invalid_request", "A flexible ratio is not supported."), K.INVALID_REQUEST,
        "invalid_request"),
    Row("403 a file", 403, rpc(403, "PERMISSION_DENIED", "You do not have permission to access the File a1."),
        K.REFERENCE, "permission_denied"),
    Row("403 a uri", 403, words("permission_denied", "Cannot read the URI gs://b/a.png."), K.REFERENCE,
        "permission_denied"),
    Row("403 that visits a console", 403,
        rpc(403, "PERMISSION_DENIED", "Gemini API is disabled. Enable it by visiting https://console.cloud.google.com"),
        K.PERMISSION, "permission_denied"),
    Row("403 html of a firewall", 403, b"<p>The requested URL was rejected.</p>", K.CONNECTION),
    Row("403 image_safety rpc", 403,
        rpc(403, "PERMISSION_DENIED", "The file was blocked.", {"@type": RPC + "ErrorInfo", "reason": "IMAGE_SAFETY"}),
        K.REFUSED, "permission_denied"),
    Row("408", 408, b"", K.TIMEOUT),
    Row("409 already_exists", 409, words("already_exists"), K.OVERLOAD, "already_exists"),
    Row("409 aborted", 409, words("aborted"), K.OVERLOAD, "aborted"),
    Row("413 too large", 413, HTML, K.INVALID_REQUEST),
    Row("416", 416, words("out_of_range"), K.INVALID_REQUEST, "out_of_range"),
    Row("422", 422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, K.INVALID_REQUEST),
    Row("499", 499, words("cancelled"), K.CONNECTION_LOST, "cancelled"),
    Row("500", 500, words("api_error"), K.SERVER_ERROR, "api_error"),
    Row("500 rpc", 500, rpc(500, "INTERNAL"), K.SERVER_ERROR, "internal"),
    Row("500 without a body", 500, b"", K.SERVER_ERROR),
    Row("500 that means 503", 500, rpc(503, "UNAVAILABLE"), K.OVERLOAD, "unavailable"),
    Row("502 html", 502, HTML, K.SERVER_ERROR),
    Row("503", 503, words("service_unavailable"), K.OVERLOAD, "service_unavailable"),
    Row("503 rpc", 503, rpc(503, "UNAVAILABLE", "The model is overloaded."), K.OVERLOAD, "unavailable"),
    Row("503 in a list of one", 503, [rpc(503, "UNAVAILABLE")], K.OVERLOAD, "unavailable"),
    Row("503 with a hint", 503, b"", K.OVERLOAD, headers={"retry-after": "7"}, retry_after=7),
    Row("504", 504, words("deadline_exceeded"), K.TIMEOUT, "deadline_exceeded"),
    Row("504 rpc", 504, rpc(504, "DEADLINE_EXCEEDED"), K.TIMEOUT, "deadline_exceeded"),
    Row("504 html", 504, HTML, K.TIMEOUT),
    Row("error as a plain string", 400, {"error": "no such field"}, K.INVALID_REQUEST),
    Row("a code with digits", 401, {"error": {"code": "401", "message": "x"}}, K.CREDENTIAL),
]  # fmt: skip

QUOTAS = [
    Row("the captured daily 429", 429, CAPTURED, K.QUOTA_DAY, "resource_exhausted", {}, 6776.4, DAY, 100),
    Row("per minute by code", 429, words("rate_limit_exceeded"), K.QUOTA_MINUTE, "rate_limit_exceeded"),
    Row("per day by code", 429, words("quota_exceeded"), K.QUOTA_DAY, "quota_exceeded"),
    Row("too_many_requests", 429, words("too_many_requests"), K.QUOTA_UNKNOWN, "too_many_requests"),
    Row("per minute with value and fractional delay", 429,
        exhausted("Quota exceeded.", quota_failure(violation(MINUTE, "60")), retry_info("45.837906927s")),
        K.QUOTA_MINUTE, "resource_exhausted", {}, 45.837907, MINUTE, 60),
    Row("per minute of the interactions form", 429,
        {"error": {"code": "rate_limit_exceeded", "message": "x", "details": [quota_failure(violation(MINUTE, 60))]}},
        K.QUOTA_MINUTE, "rate_limit_exceeded", {}, None, MINUTE, 60),
    Row("quota_exceeded that names a minute", 429,
        {"error": {"code": "quota_exceeded", "message": "x", "details": [quota_failure(violation(MINUTE, 60))]}},
        K.QUOTA_MINUTE, "quota_exceeded", {}, None, MINUTE, 60),
    Row("minute and day with 856 ms: the day wins", 429,
        exhausted("Please retry in 856.1ms.", quota_failure(violation(MINUTE, "60"), violation(DAY, "1000")),
                  retry_info("0.856s")),
        K.QUOTA_DAY, "resource_exhausted", {}, 0.8561, DAY, 1000),
    Row("tokens per minute without a value", 429,
        exhausted("x", quota_failure(violation("GenerateContentPaidTierInputTokensPerModelPerMinute"))),
        K.QUOTA_MINUTE, "resource_exhausted", {}, None, "GenerateContentPaidTierInputTokensPerModelPerMinute", None),
    Row("help link only", 429, exhausted("Please check your plan and billing details.", HELP), K.QUOTA_UNKNOWN,
        "resource_exhausted"),
    Row("no details", 429, exhausted("Resource has been exhausted (e.g. check quota)."), K.QUOTA_UNKNOWN,
        "resource_exhausted"),
    Row("without a body", 429, b"", K.QUOTA_UNKNOWN),
    Row("html", 429, HTML, K.QUOTA_UNKNOWN),
    Row("limit 0 in a violation", 429,
        exhausted("x", quota_failure(violation(DAY + "-FreeTier", "0")), retry_info("30s")),
        K.BALANCE, "resource_exhausted", {}, 30, DAY + "-FreeTier", 0),
    Row("limit 0 in the text", 429, exhausted("Quota exceeded for metric: x, limit: 0, model: y"), K.BALANCE,
        "resource_exhausted"),
    Row("a limit of 0.5 is not 0", 429, exhausted("limit: 0.5 per minute"), K.QUOTA_MINUTE, "resource_exhausted"),
    Row("no balance at a gateway", 429, words("insufficient_user_quota"), K.BALANCE, "insufficient_user_quota"),
    Row("credits used up", 429, exhausted("Your prepayment credits are depleted."), K.BALANCE, "resource_exhausted"),
    Row("the spend window by text", 429, exhausted("The project's spend limit was reached."), K.QUOTA_SPEND,
        "resource_exhausted"),
    Row("the spend window by violation", 429, exhausted("x", quota_failure(violation("SpendPer10MinutesPerProject"))),
        K.QUOTA_SPEND, "resource_exhausted", {}, None, "SpendPer10MinutesPerProject", None),
    Row("an unlimited value is no value", 429, exhausted("x", quota_failure(violation(MINUTE, "9223372036854775807"))),
        K.QUOTA_MINUTE, "resource_exhausted", {}, None, MINUTE, None),
    Row("details of an unknown shape", 429, exhausted("x", {"violations": "many"}, {"@type": 3}), K.QUOTA_UNKNOWN,
        "resource_exhausted"),
    Row("the header's hint is larger", 429, exhausted("Please retry in 3s.", retry_info("2s")), K.QUOTA_UNKNOWN,
        "resource_exhausted", {"retry-after": "120"}, 120),
    Row("the header's hint is a date", 429, b"", K.QUOTA_UNKNOWN, "",
        {"retry-after": "Sun, 22 Nov 2026 12:01:30 GMT"}, 90),
    Row("the date has passed", 429, b"", K.QUOTA_UNKNOWN, "", {"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0),
    Row("an absurd hint is bounded", 429, b"", K.QUOTA_UNKNOWN, "", {"retry-after": "999999999"}, 7 * 86400),
    Row("an unreadable hint is none", 429, exhausted("x", retry_info("soon")), K.QUOTA_UNKNOWN, "resource_exhausted",
        {"retry-after": "later"}),
]  # fmt: skip

NO_IMAGE_CODES = {
    **dict.fromkeys(
        ["safety", "recitation", "language", "prohibited_content", "spii", "blocklist", "image_safety",
         "image_prohibited_content", "image_recitation", "content_blocked"],
        K.REFUSED,
    ),
    "image_other": K.NO_IMAGE,
    "no_image": K.NO_IMAGE,
}  # fmt: skip

ROWS = ERRORS + QUOTAS + [Row(f"400 {code}", 400, words(code), kind, code) for code, kind in NO_IMAGE_CODES.items()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_documented_error_has_one_meaning(row: Row) -> None:
    failure = read_failure(row.status, row.headers, row.data, NOW)
    assert (failure.kind, failure.code, failure.http_status) == (row.kind, row.code, row.status)
    assert (failure.quota_id, failure.quota_value) == (row.quota_id, row.quota_value)
    expected = None if row.retry_after is None else timedelta(seconds=row.retry_after)
    assert failure.retry_after == expected


@pytest.mark.parametrize("code", NO_IMAGE_CODES)
def test_a_code_in_capitals_or_as_a_uri_means_the_same(code: str) -> None:
    for written in (code.upper(), f"https://ai.google.dev/errors/{code}"):
        assert read_failure(400, {}, json.dumps(words(written)).encode(), NOW).code == code


def test_a_refusal_is_never_tried_again() -> None:
    assert RULES[FailureKind.REFUSED].next is Next.END


def test_a_page_of_html_is_told_by_its_text() -> None:
    assert read_failure(502, {}, HTML, NOW).message == "Error That's an error."


def test_a_404_that_names_no_model_tells_to_look_at_the_base_url() -> None:
    failure = read_failure(404, {}, HTML, NOW)
    assert "is the base URL that of the API?" in failure.message
    assert "Error That's an error." in failure.message
    assert "base URL" in failure.rule.advice


@pytest.mark.parametrize("form", ["detailed", "coded", "rpc"])
def test_the_simulators_tier_that_is_not_had_is_the_lanes_failure(form: ErrorForm) -> None:
    headline = Headline(model=PRO, prompt="x", size="1K", ratio="", tier="flex", references=0, marker="")
    problem = gate_problem(Fault(kind="tier_unsupported"), headline)
    body = problem.rpc_body() if form == "rpc" else problem.coded_body(detailed=form == "detailed")
    failure = read_failure(problem.http_status, {}, json.dumps(body).encode(), NOW)
    assert (failure.kind, failure.rule.next) == (FailureKind.LANE_UNSUPPORTED, Next.ELSEWHERE)


def test_an_error_without_words_says_so() -> None:
    assert read_failure(500, {}, b"", NOW).message == "HTTP 500 without a readable reason"


@given(status=st.integers(100, 599), body=st.binary(max_size=300), hint=st.text(max_size=40))
def test_any_bytes_are_some_failure(status: int, body: bytes, hint: str) -> None:
    assert read_failure(status, {"retry-after": hint}, body, NOW).kind in FailureKind


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(
    status=st.integers(200, 599),
    error=st.dictionaries(st.sampled_from(["code", "message", "status", "type", "details"]), json_values),
    details=st.lists(
        st.dictionaries(st.sampled_from(["@type", "reason", "retryDelay", "violations"]), json_values), max_size=3
    ),
    violations=st.lists(st.dictionaries(st.sampled_from(["quotaId", "quotaMetric", "quotaValue"]), json_values)),
)
def test_any_shape_inside_the_error_is_some_failure(
    status: int, error: dict[str, Any], details: list[dict[str, Any]], violations: list[dict[str, Any]]
) -> None:
    full = error | {"details": [*details, {"violations": violations}]}
    for body in ({"error": error}, {"error": full}, [{"error": full}]):
        assert read_failure(status, {}, json.dumps(body).encode(), NOW).kind in FailureKind


@given(text=st.text(alphabet="retry in0123456789.hmsµund ", max_size=60))
def test_any_hint_in_the_text_is_a_delay_or_none(text: str) -> None:
    hint = read_failure(429, {}, json.dumps(exhausted(f"Please retry in {text}")).encode(), NOW).retry_after
    assert hint is None or timedelta(0) <= hint <= timedelta(days=7)
