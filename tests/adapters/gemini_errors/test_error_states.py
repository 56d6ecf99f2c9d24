"""What errors of the real world mean: proxies, states of a project, empty accounts, refusals, pictures, quotations."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.gemini_errors.errors import read_failure
from shared.adapters.payloads.quotation import NOTHING_SENT, Sent, provider_words, unescaped
from shared.core.provider.failure import Charge, Failure, FailureKind, Next
from tests.adapters.gemini_errors.test_errors import DAY, NOW, exhausted, quota_failure, rpc, violation, words

K = FailureKind
PRO = "gemini-3-pro-image"
PAGE = b"<!DOCTYPE html><title>An error</title>"
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html", "server": "cloudflare"}
RAY = HTML | {"cf-ray": "8a-FRA"}


def read(status: int, body: Any, headers: dict[str, str] | None = None, sent: Sent = NOTHING_SENT) -> Failure:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_failure(status, headers if headers is not None else JSON, raw, NOW, sent)


def reason(word: str, domain: str = "googleapis.com") -> dict[str, str]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": word, "domain": domain}


def openai(message: str = "x", kind: str = "", code: str | None = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


@pytest.mark.parametrize("status", [520, 522, 523, 524, 525, 526, 527, 598, 599, 504, 408])
def test_a_proxy_that_gave_up_waiting_leaves_the_bill_unknown_and_the_estimate_held(status: int) -> None:
    failure = read(status, PAGE, HTML)
    assert (failure.kind, failure.charge, failure.ambiguous) == (K.TIMEOUT, Charge.UNKNOWN, True)


@pytest.mark.parametrize("status", [521, 522, 523])
def test_what_cloudflare_could_not_pass_on_reached_nobody(status: int) -> None:
    failure = read(status, PAGE, RAY)
    assert (failure.kind, failure.charge, failure.ambiguous) == (K.CONNECTION, Charge.NOTHING, False)


@pytest.mark.parametrize(
    ("body", "headers"),
    [(PAGE, HTML), (b"", {}), (b"upstream connect error", {"content-type": "text/plain"}), ({"message": "x"}, JSON),
     ({"error": "Bad Gateway"}, JSON), (rpc(500, "INTERNAL"), HTML), ({"error": {}}, JSON)],
)  # fmt: skip
@pytest.mark.parametrize("status", [500, 501, 502, 503, 505, 529, 530, 599])
def test_no_promise_of_googles_holds_for_what_is_not_in_its_form(status: int, body: Any, headers: Any) -> None:
    failure = read(status, body, headers)
    assert (failure.charge, failure.ambiguous) == (Charge.UNKNOWN, True)


@pytest.mark.parametrize("body", [rpc(500, "INTERNAL", "Deadline exceeded."), words("api_error")])
def test_googles_own_500_is_not_charged(body: Any) -> None:
    failure = read(500, body)
    assert (failure.kind, failure.charge, failure.ambiguous) == (K.SERVER_ERROR, Charge.NOTHING, False)


@pytest.mark.parametrize(
    "body",
    [openai("do request failed", "new_api_error", "do_request_failed"), openai("upstream timeout", "upstream_error"),
     openai('Post "https://x/y": context deadline exceeded', "new_api_error"), openai("Request timed out.", "x")],
)  # fmt: skip
def test_a_gateway_whose_upstream_was_silent_is_a_timeout(body: Any) -> None:
    failure = read(500, body)
    assert (failure.kind, failure.charge, failure.ambiguous) == (K.TIMEOUT, Charge.UNKNOWN, True)


STATES = [
    (403, rpc(403, "PERMISSION_DENIED", "x", reason("BILLING_DISABLED")), K.BALANCE),
    (400, rpc(400, "INVALID_ARGUMENT", "x", reason("API_KEY_INVALID")), K.CREDENTIAL),
    (403, rpc(403, "PERMISSION_DENIED", "x", reason("API_KEY_SERVICE_BLOCKED")), K.CREDENTIAL),
    (403, rpc(403, "PERMISSION_DENIED", "x", reason("API_KEY_IP_ADDRESS_BLOCKED")), K.CREDENTIAL),
    (401, rpc(401, "UNAUTHENTICATED", "x", reason("ACCESS_TOKEN_TYPE_UNSUPPORTED")), K.CREDENTIAL),
    (403, rpc(403, "PERMISSION_DENIED", "x", reason("CONSUMER_SUSPENDED")), K.CREDENTIAL),
    (403, rpc(403, "PERMISSION_DENIED", "x", reason("CONSUMER_INVALID")), K.CREDENTIAL),
    (403, rpc(403, "PERMISSION_DENIED", "x", reason("SERVICE_DISABLED")), K.PERMISSION),
    (403, rpc(403, "PERMISSION_DENIED", "x", reason("USER_PROJECT_DENIED")), K.PERMISSION),
    (403, rpc(403, "PERMISSION_DENIED", "x", reason("SOMETHING_NEW")), K.PERMISSION),
    (403, rpc(403, "PERMISSION_DENIED", "Your project has been denied access. Please contact support."), K.PERMISSION),
    (400, rpc(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), K.PERMISSION),
    (403, openai("Country, region, or territory not supported", "request_forbidden",
                 "unsupported_country_region_territory"), K.PERMISSION),
    (400, words("invalid_request", "The legacy Interactions API schema is no longer supported."), K.PERMISSION),
    (400, rpc(400, "FAILED_PRECONDITION", "Gemini API free tier is not available in your country. Please enable billing"
              " on your project."), K.BALANCE),
    (400, openai("Budget has been exceeded! Current cost: 14.2, Max budget: 10.0", "budget_exceeded", "400"),
     K.BALANCE),
    (400, openai("Budget has been exceeded! Current cost: 14.2, Max budget: 10.0"), K.BALANCE),
    (429, openai("x", "budget_exceeded", "429"), K.BALANCE),
    (429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), K.BALANCE),
    (400, openai("Billing hard limit has been reached", "billing_limit_user_error", "billing_hard_limit_reached"),
     K.BALANCE),
    (403, openai("x", "new_api_error", "pre_consume_token_quota_failed"), K.BALANCE),
    (402, {"error": {"code": 402, "message": "Insufficient credits. Add more using https://x"}}, K.BALANCE),
    (403, openai("用户额度不足, 剩余额度: 0", "new_api_error"), K.BALANCE),
    (429, exhausted("Your project has exceeded its monthly spending cap. Please go to AI Studio."), K.BALANCE),
    (429, exhausted("Your prepayment credits are depleted."), K.BALANCE),
    (402, rpc(402, "x", "Your prepayment credits are depleted."), K.BALANCE),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind"), STATES)
def test_a_state_of_project_key_or_account_ends_no_request(status: int, body: Any, kind: FailureKind) -> None:
    failure = read(status, body)
    assert (failure.kind, failure.rule.next, failure.explicit) == (kind, Next.WAIT, True)


def test_a_reason_of_another_domain_is_no_statement_of_googles() -> None:
    assert not read(403, rpc(403, "PERMISSION_DENIED", "x", reason("SERVICE_DISABLED", "example.com"))).explicit


def test_a_bare_403_names_nothing() -> None:
    failure = read(403, rpc(403, "PERMISSION_DENIED", "The caller does not have permission"))
    assert (failure.kind, failure.explicit) == (K.PERMISSION, False)


def test_a_spend_window_opens_by_itself_and_an_overload_is_no_quota() -> None:
    assert read(429, exhausted("You exceeded your spend-based rate limit.")).kind is K.QUOTA_SPEND
    assert read(429, exhausted("This model is currently experiencing high demand.")).kind is K.OVERLOAD


@pytest.mark.parametrize(
    "sentence", ["No credits were used.", "There was no balance charged.", "No credits were charged."]
)
def test_a_statement_of_innocence_is_no_lack_of_money(sentence: str) -> None:
    assert read(400, openai(f"The size is wrong. {sentence}", "invalid_request_error")).kind is K.INVALID_REQUEST


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, openai("x", "invalid_request_error", "content_policy_violation")),
        (400, openai("x", "image_generation_user_error", "moderation_blocked")),
        (400, openai("x", "new_api_error", "prompt_blocked")),
        (400, openai("x", "", "content_filter")),
        (400, openai("x", "", None, innererror={"code": "ResponsibleAIPolicyViolation"})),
        (400, openai("litellm.ContentPolicyViolationError: rejected as a result of our safety system.")),
        (403, {"error": {"code": 403, "message": "x", "metadata": {"reasons": ["violence"], "provider_name": "G"}}}),
        (403, {"error": {"code": 403, "message": "Your input was flagged."}}),
        (500, openai("x", "new_api_error", "sensitive_words_detected")),
    ],
)
def test_a_refusal_in_a_gateways_words_is_the_answer(status: int, body: Any) -> None:
    assert read(status, body).kind is K.REFUSED


WITH_REFERENCES = Sent(("a teapot",), PRO, has_references=True)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, rpc(400, "INVALID_ARGUMENT", "Unable to process input image. Please retry.")),
        (400, rpc(400, "INVALID_ARGUMENT", "Provided image is not valid.")),
        (400, words("invalid_request", "Unsupported image format: image/x.")),
        (400, rpc(400, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 104857600 bytes.")),
        (413, PAGE),
        (413, b""),
    ],
)
def test_trouble_with_a_picture_is_a_references_where_there_is_one(status: int, body: Any) -> None:
    assert read(status, body, sent=WITH_REFERENCES).kind is K.REFERENCE
    assert read(status, body).kind is K.INVALID_REQUEST


@pytest.mark.parametrize("status", [400, 403, 405, 407, 414, 431])
def test_a_page_of_a_proxy_is_a_matter_of_the_way_and_names_it(status: int) -> None:
    failure = read(status, PAGE, {"content-type": "text/html", "via": "1.1 squid"})
    assert (failure.kind, failure.charge) == (K.CONNECTION, Charge.NOTHING)
    assert "1.1 squid" in failure.message


def test_407_is_a_proxys_in_any_form() -> None:
    assert read(407, openai("Proxy Authentication Required")).kind is K.CONNECTION


def test_only_what_names_the_thing_is_explicit() -> None:
    sent_request = Sent(("a teapot",), PRO)
    gone = rpc(404, "NOT_FOUND", f"models/{PRO} is not found for API version v1beta.")
    assert read(404, gone, sent=sent_request).explicit
    assert not read(404, gone, sent=Sent(("a teapot",), "another")).explicit
    assert read(404, words("model_not_found"), sent=sent_request).explicit
    assert not read(404, rpc(404, "NOT_FOUND", "Requested entity was not found."), sent=sent_request).explicit
    assert read(429, exhausted("x", quota_failure(violation(DAY, 100)))).explicit
    assert not read(429, exhausted("x")).explicit
    assert read(400, words("invalid_request", f"Service tier 'flex' is not supported for {PRO}.")).explicit
    assert not read(500, rpc(500, "INTERNAL")).explicit
    assert not read(401, words("authentication")).explicit


TRIGGERS = [
    "insufficient balance", "please enable billing", "monthly spending cap exceeded", "API key expired",
    "the priority lane is not available", "a fashion model", "5 apples per day", "limit: 0", "high demand",
    "User location is not supported", "project denied access", "your input was flagged", "out of credits",
    "the spend of a king", "retry in 5 days", "safety: first", "unable to process input image", "files/abc",
    "context deadline exceeded", "the legacy API schema is no longer supported", "content policy",
]  # fmt: skip
QUOTING: dict[str, Callable[[str], str]] = {
    "bare": lambda text: text,
    "double": lambda text: f'"{text}"',
    "single": lambda text: f"'{text}'",
    "backtick": lambda text: f"`{text}`",
    "guillemets": lambda text: f"«{text}»",
    "json": lambda text: json.dumps(json.dumps(text))[1:-1],
    "url": lambda text: quote(text),
    "html": lambda text: html.escape(text).replace(" ", "&#32;"),
    "upper": lambda text: text.upper(),
    "spaced": lambda text: text.replace(" ", "\n  "),
    "truncated": lambda text: f"{text[: max(len(text) * 2 // 3, 6)]}…",
}
BODIES: Any = [
    (400, rpc, (400, "INVALID_ARGUMENT")),
    (403, rpc, (403, "PERMISSION_DENIED")),
    (404, rpc, (404, "NOT_FOUND")),
    (429, rpc, (429, "RESOURCE_EXHAUSTED")),
    (500, rpc, (500, "X")),
    (400, words, ("invalid_request",)),
]


@given(
    prompt=st.lists(st.sampled_from([*TRIGGERS, "a teapot", "of blue glass"]), min_size=1, max_size=3).map(" ".join),
    form=st.sampled_from(sorted(QUOTING)),
    case=st.sampled_from(BODIES),
    has_references=st.booleans(),
)
def test_no_words_of_a_request_change_what_its_failure_means(
    prompt: str, form: str, case: tuple[int, Callable[..., Any], tuple[str, ...]], *, has_references: bool
) -> None:
    status, shape, codes = case
    plain = read(status, shape(*codes, "Bad value."), sent=Sent(("x y z",), PRO, has_references))
    failure = read(
        status, shape(*codes, f"Bad value: {QUOTING[form](prompt)}"), sent=Sent((prompt,), PRO, has_references)
    )
    assert (failure.kind, failure.charge, failure.explicit) == (plain.kind, plain.charge, plain.explicit)
    assert failure.retry_after == plain.retry_after


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_can_be_cut(message: str, prompt: str) -> None:
    assert isinstance(provider_words(message, Sent((prompt,))), str)
    assert isinstance(unescaped(message), str)


MUTATED = [(status, body) for status, body, _ in STATES] + [
    (500, rpc(500, "INTERNAL")), (503, rpc(503, "UNAVAILABLE")), (524, PAGE), (502, {"message": "x"}), (200, b"{}")
]  # fmt: skip


@given(
    case=st.sampled_from(MUTATED),
    at=st.integers(0, 400),
    piece=st.binary(max_size=3),
    removed=st.integers(0, 5),
    status=st.sampled_from([None, 200, 500, 502, 503, 504, 520, 524]),
    headers=st.sampled_from([JSON, HTML, {}]),
)
def test_no_mutation_of_a_real_error_is_an_exception_or_a_call_for_nothing(
    case: Any, at: int, piece: bytes, removed: int, status: int | None, headers: dict[str, str]
) -> None:
    usual, body = case
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    raw = raw[:at] + piece + raw[at + removed :]
    failure = read(status or usual, raw, headers)
    try:
        in_form = isinstance(json.loads(raw.decode("utf-8", "replace"))["error"], dict)
    except (ValueError, TypeError, KeyError, RecursionError):
        in_form = False
    if (status or usual) >= 500 and not in_form:
        assert failure.charge is Charge.UNKNOWN
        assert failure.ambiguous
