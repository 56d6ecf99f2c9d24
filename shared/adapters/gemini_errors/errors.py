"""What a Gemini error means for us: any status, header and body to exactly one FailureKind. Pure.

Forms and codes are those of the Gemini API's documentation and of answers seen in the wild: the Interactions form
(`{"error": {"code": "quota_exceeded", "message": ...}}`, codes are words), google.rpc.Status (a number, a status and
details), a gateway's (`type`), and bodies that are no JSON at all. All are read on every route.

What is not documented is decided so: 409 (already_exists, aborted) is OVERLOAD, since a later call may go through;
499 is CONNECTION_LOST, since we did not cancel; 3xx is CONNECTION, since no API of Google's redirects, and so is a 404
that names nothing an API could lack (a page, a path that is not served): the base URL is wrong; 502 is SERVER_ERROR
like other 5xx. A 403 in the API's own words about a file or a URI means a reference, not the project.

Codes decide first: those of refusals, google.rpc.ErrorInfo's reason, those of an empty account. Then the status, and
words only within it. What the request sent is cut out of the words before (`quotation`). What comes from a proxy in
front of the API is no statement of the bill, so such a failure says `may_be_billed`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shared.adapters.gemini_errors import error_phrases, quota_errors
from shared.adapters.gemini_errors.error_codes import (
    BLOCKED_REGIONS,
    BUSY,
    KEYS,
    NO_IMAGE,
    NO_MONEY,
    REFUSALS,
    RPC_CODES,
    STATUS_OF_CODE,
    kind_of_reason,
)
from shared.adapters.gemini_errors.error_members import ErrorMembers, bare_error_in, error_in, members_of
from shared.adapters.gemini_errors.quota_errors import Violation
from shared.adapters.payloads.json_member import first_byte, items_of, text_of
from shared.adapters.payloads.quotation import SENT, Sent, provider_words
from shared.core.provider.failure import Failure, FailureKind
from shared.core.validation.numbers import whole_number
from shared.core.values.late_pattern import late_pattern

T = TypeVar("T")

_OTHER_NAME = late_pattern(r"\b(files|cachedContents|interactions|environments|operations)/[\w-]", re.I)
_OTHER_THING = late_pattern(
    r"\b(file|cached ?content|interaction|previous_interaction_id|environment|operation)s?\b", re.I
)
_OF_REQUEST = late_pattern(
    r"\b(images?|prompt|content|parts?|tokens?|parameter|field|argument|value|request|config|modalit\w+)\b", re.I
)
_MODEL = late_pattern(r"\bmodels?\b", re.I)
_FILE = late_pattern(r"\b(files?|file_?(uri|data)|ur[il]s?|gs)\b", re.I)
_LEADING_CODE = late_pattern(r"([a-z_]{4,40}|[A-Z_]{4,40}): ")
_FLEX = late_pattern(r"\b(flex|priority)\b", re.I)
_GOOGLE = ("googleapis.com",)
CLOUDFLARE = frozenset([520, 521, 522, 523, 524, 525, 526, 527])
"""Cloudflare's own: https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/"""
NEVER_PASSED_ON = frozenset([521, 522, 523])
"""Statuses at which the origin saw nothing, if Cloudflare sent them."""
CALLER_GONE = (408, 460, 499)
"""A proxy assumed that the caller, or itself, was gone while the call continued (460: AWS, 499: nginx)."""
PROXY_PAGES = frozenset([400, 403, 405, 407, 411, 414, 421, 426, 431, 494, 495, 496, 497])
"""As an HTML page these are a proxy's: no API answers that way."""
_TAG = late_pattern(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.I | re.S)


class _Detail(msgspec.Struct):
    """Any of google.rpc's details; a member of another type says nothing."""

    reason: msgspec.Raw = msgspec.Raw(b"")
    domain: msgspec.Raw = msgspec.Raw(b"")
    retryDelay: msgspec.Raw = msgspec.Raw(b"")
    violations: msgspec.Raw = msgspec.Raw(b"")


class _Flagged(msgspec.Struct):
    """OpenRouter's reasons for a 403: https://openrouter.ai/docs/api/reference/errors-and-debugging"""

    reasons: list[str]


class _Inner(msgspec.Struct):
    code: str


Body: TypeAlias = bytes | bytearray | msgspec.Raw


class ProviderProblem(Struct, frozen=True):
    """The provider's statement, in whichever form it came."""

    codes: tuple[str, ...]
    """Its words for the error in lower case, the error's own code first."""
    message: str
    number: int | None = None
    """An HTTP status inside the body."""
    violations: tuple[Violation, ...] = ()
    retry_delays: tuple[str, ...] = ()
    in_form: bool = True
    """It came as an error of an API; otherwise as a page or as text of unknown origin."""
    own_form: bool = False
    """As an error object with a code: not a proxy's JSON."""
    is_page: bool = False
    reasons: tuple[str, ...] = ()
    """google.rpc.ErrorInfo's of Google's domain."""

    @property
    def code(self) -> str:
        return self.codes[0] if self.codes else ""


class _Meaning(Struct, frozen=True):
    kind: FailureKind
    violation: Violation | None = None
    explicit: bool = False


def read_failure(
    status: int, headers: Mapping[str, str], body: Body, now: datetime, sent: Sent | None = None
) -> Failure:
    """The failure of an HTTP answer that is an error. `headers` by lower-case name; `now` turns a date into a delay."""
    members = bare_error_in(body)
    problem = _problem(members) if members is not None else None
    if problem is None:
        is_page = bytes(memoryview(body)[:200]).lstrip()[:1] == b"<" or "html" in headers.get("content-type", "")
        problem = ProviderProblem((), _plain_text(body), in_form=False, is_page=is_page)
    return judge(problem, status, headers, now, sent=sent)


def read_problem(body: Body) -> ProviderProblem | None:
    """The error in a JSON body, also inside a list of one; None if there is none."""
    members = error_in(body)
    return _problem(members) if members is not None else None


def read_inner_problem(error: Body) -> ProviderProblem | None:
    """An error object that stands inside an answer: an item of `errors`, or the `error` of a step."""
    members = members_of(error) if bytes(memoryview(error)[:1]) == b"{" else None
    return _problem(members) if members is not None else None


def judge(
    problem: ProviderProblem,
    status: int,
    headers: Mapping[str, str],
    now: datetime,
    unnamed: FailureKind = FailureKind.MALFORMED_ANSWER,
    sent: Sent | None = None,
) -> Failure:
    """Name the failure; `unnamed` where neither the HTTP status (200) nor the body says which error it is. `sent`: what
    the answer may quote; by default that of the call at hand."""
    sent = SENT.get() if sent is None else sent
    words = provider_words(problem.message, sent)
    problem = _led_by(problem, words)
    meaning = _meaning(problem, words, status, headers, unnamed, sent)
    return Failure(
        meaning.kind,
        _message(problem, meaning.kind, status, headers),
        code=problem.code,
        http_status=status,
        retry_after=quota_errors.retry_after(headers, problem.retry_delays, words, now),
        quota_id=meaning.violation.quota_id if meaning.violation else None,
        quota_value=meaning.violation.value if meaning.violation else None,
        explicit=meaning.explicit,
        may_be_billed=_may_be_billed(problem, meaning.kind, words, status, headers),
    )


def decoded(body: Body, kind: type[T]) -> T | None:
    """`body` as `kind`, or None: no server's answer raises an exception."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError):  # msgspec's own errors, and bytes that are no UTF-8, are ValueErrors
        return None


def _message(problem: ProviderProblem, kind: FailureKind, status: int, headers: Mapping[str, str]) -> str:
    message = problem.message or f"HTTP {status} without a readable reason"
    if kind is not FailureKind.CONNECTION:
        return message
    if status == 404:
        return f"HTTP 404 that names no model: is the base URL that of the API? It said: {message}"
    name = headers.get("via") or headers.get("server") or "unnamed"
    return f"HTTP {status} of a proxy ({name}), not of the API: {message}" if status >= 400 else message


def _may_be_billed(
    problem: ProviderProblem, kind: FailureKind, words: str, status: int, headers: Mapping[str, str]
) -> bool:
    """Google's promise that a 500 costs nothing does not hold for a proxy, or for a gateway that gave up waiting."""
    if kind is FailureKind.CONNECTION or (status < 500 and status not in CALLER_GONE):
        return False
    content_type = headers.get("content-type", "json")
    own = problem.own_form and ("json" in content_type or "event-stream" in content_type)
    return not own or (kind is FailureKind.SERVER_ERROR and status != 500) or _gave_up(problem, words)


def _gave_up(problem: ProviderProblem, words: str) -> bool:
    """A gateway says that its own upstream did not answer in time. Google's own 500 does not count."""
    google = "internal" in problem.codes or problem.codes == ("api_error",)
    return not google and error_phrases.is_upstream_timeout(" ".join((words, *problem.codes)))


def _meaning(
    problem: ProviderProblem, words: str, status: int, headers: Mapping[str, str], unnamed: FailureKind, sent: Sent
) -> _Meaning:
    by_code = _by_code(problem)
    if by_code is not None:
        return by_code
    if status in CLOUDFLARE or status in (598, 599):
        passed_on = status not in NEVER_PASSED_ON or "cf-ray" not in headers
        return _Meaning(FailureKind.TIMEOUT if passed_on else FailureKind.CONNECTION)
    if status in (407, 511) or (problem.is_page and status in PROXY_PAGES):
        return _Meaning(FailureKind.CONNECTION)
    count = _said_status(problem, status)
    if count == 429:
        return _of_quota(problem, words)
    if status >= 500 and problem.in_form and error_phrases.names_refusal(words):
        return _Meaning(FailureKind.REFUSED)
    by_words = _by_words(problem, words, count, sent) if 400 <= count < 500 or status == 200 else None
    if by_words is not None:
        return by_words
    kind = _kind_of_status(count, problem, words, unnamed)
    if kind is FailureKind.SERVER_ERROR and _gave_up(problem, words):
        return _Meaning(FailureKind.TIMEOUT)
    if kind is FailureKind.INVALID_REQUEST and count == 413 and sent.has_references:
        return _Meaning(FailureKind.REFERENCE)
    return _Meaning(kind, explicit=kind is FailureKind.MODEL_GONE and _names_model(problem, words, sent))


def _by_code(problem: ProviderProblem) -> _Meaning | None:
    """The meaning of a code that is the same with any status."""
    codes = problem.codes
    if not REFUSALS.isdisjoint(codes):
        return _Meaning(FailureKind.REFUSED)
    if not NO_IMAGE.isdisjoint(codes):
        return _Meaning(FailureKind.NO_IMAGE)
    by_reason = next((kind for reason in problem.reasons if (kind := kind_of_reason(reason)) is not None), None)
    if by_reason is not None:
        return _Meaning(by_reason, explicit=True)
    for named, kind in (
        (NO_MONEY, FailureKind.BALANCE),
        (KEYS, FailureKind.CREDENTIAL),
        (BLOCKED_REGIONS, FailureKind.PERMISSION),
    ):
        if not named.isdisjoint(codes):
            return _Meaning(kind, explicit=True)
    return None if BUSY.isdisjoint(codes) else _Meaning(FailureKind.OVERLOAD)


def _of_quota(problem: ProviderProblem, words: str) -> _Meaning:
    if not problem.violations and quota_errors.has_no_balance(problem.codes, words):
        return _Meaning(FailureKind.BALANCE, explicit=problem.in_form)
    if not problem.violations and quota_errors.is_overload(problem.codes, words):
        return _Meaning(FailureKind.OVERLOAD)
    kind, violation = quota_errors.kind(problem.codes, words, problem.violations)
    if violation is None and quota_errors.has_no_balance(problem.codes, words):
        kind = FailureKind.BALANCE
    return _Meaning(kind, violation, explicit=violation is not None and bool(violation.quota_id))


def _by_words(problem: ProviderProblem, words: str, status: int, sent: Sent) -> _Meaning | None:
    """The meaning of a sentence within an ambiguous status. A page's or a proxy's text does not count."""
    if not problem.in_form:
        return None
    if status in (200, 400, 403, 422, 451) and error_phrases.is_refusal(words):
        return _Meaning(FailureKind.REFUSED)
    if status == 200:
        return _Meaning(FailureKind.BALANCE) if quota_errors.has_no_balance(problem.codes, words) else None
    if status in (400, 401, 402, 403, 412) and quota_errors.has_no_balance(problem.codes, words):
        return _Meaning(FailureKind.BALANCE, explicit=True)
    if status in (400, 401, 403) and error_phrases.is_of_key(words):
        return _Meaning(FailureKind.CREDENTIAL, explicit=True)
    if status in (400, 403, 412) and error_phrases.is_of_billing(words):
        return _Meaning(FailureKind.BALANCE, explicit=True)
    if status in (400, 422) and error_phrases.lacks_tier(words):
        return _Meaning(FailureKind.LANE_UNSUPPORTED, explicit=bool(_FLEX().search(words)))
    if status in (400, 403, 410, 412, 451) and error_phrases.is_of_project(words):
        return _Meaning(FailureKind.PERMISSION, explicit=True)
    if status in (400, 413, 415, 422) and sent.has_references and error_phrases.is_of_picture(words):
        return _Meaning(FailureKind.REFERENCE)
    if status == 400 and _is_precondition(problem, words):
        return _Meaning(FailureKind.PERMISSION)
    if status == 403 and problem.reasons:  # it names what forbids it, in a word that is new
        return _Meaning(FailureKind.PERMISSION, explicit=True)
    return None


def _is_precondition(problem: ProviderProblem, words: str) -> bool:
    """FAILED_PRECONDITION is about the state of a project, unless it names something in the request."""
    return "failed_precondition" in problem.codes and not (_OTHER_THING().search(words) or _OF_REQUEST().search(words))


def _names_model(problem: ProviderProblem, words: str, sent: Sent) -> bool:
    """It says that the very model that was called does not exist."""
    return "model_not_found" in problem.codes or bool(sent.model and sent.model.lower() in words.lower())


def _said_status(problem: ProviderProblem, status: int) -> int:
    """The HTTP status, unless it is a vague one and the body is more precise."""
    if status not in (200, 400, 500):
        return status
    named = next((STATUS_OF_CODE[code] for code in problem.codes if code in STATUS_OF_CODE), None)
    return named or problem.number or status


def _kind_of_status(status: int, problem: ProviderProblem, words: str, unnamed: FailureKind) -> FailureKind:
    match status:
        case 401:
            return FailureKind.CREDENTIAL
        case 402:
            return FailureKind.BALANCE
        case 403 | 451:
            of_file = problem.in_form and _FILE().search(words)
            return FailureKind.REFERENCE if of_file else FailureKind.PERMISSION
        case 404:
            return _missing(problem, words)
        case 408 | 504:
            return FailureKind.TIMEOUT
        case 409 | 503 | 529:
            return FailureKind.OVERLOAD
        case 460 | 499:
            return FailureKind.CONNECTION_LOST
        case _ if 300 <= status < 400:
            return FailureKind.CONNECTION
        case _ if 400 <= status < 500:
            return FailureKind.INVALID_REQUEST
        case _ if status >= 500:
            return FailureKind.SERVER_ERROR
        case _:
            return unnamed


def _missing(problem: ProviderProblem, words: str) -> FailureKind:
    """A 404 is about the model if it says so, or if the API says `not_found` without naming anything: the model is all
    that we name. Otherwise the server does not know our path."""
    if not problem.in_form:
        return FailureKind.CONNECTION
    if "model_not_found" in problem.codes:
        return FailureKind.MODEL_GONE
    if _OTHER_NAME().search(words):
        return FailureKind.INVALID_REQUEST
    if _MODEL().search(words):
        return FailureKind.MODEL_GONE
    if _OTHER_THING().search(words):
        return FailureKind.INVALID_REQUEST
    return FailureKind.MODEL_GONE if "not_found" in problem.codes else FailureKind.CONNECTION


def _problem(error: ErrorMembers) -> ProviderProblem:
    details = [detail for detail in (decoded(raw, _Detail) for raw in error.details) if detail is not None]
    number = _number(text_of(error.code))
    word = text_of(error.code) if number is None and first_byte(error.code) == b'"' else ""
    if number is not None and 0 < number < len(RPC_CODES):
        word, number = RPC_CODES[number], None
    reasons = [(reason, text_of(detail.domain)) for detail in details if (reason := text_of(detail.reason))]
    flagged = "flagged" if getattr(decoded(error.metadata, _Flagged), "reasons", None) else None
    inner = decoded(error.innererror, _Inner)
    names: Sequence[str | None] = (
        word, error.status, error.type, *(reason for reason, _ in reasons), flagged,
        inner.code if inner is not None else None,
    )  # fmt: skip
    return ProviderProblem(
        tuple(_word(name) for name in names if name),
        error.message,
        number if number is not None and 300 <= number < 600 else None,
        tuple(quota_errors.violations(raw for detail in details for raw in items_of(detail.violations, msgspec.Raw))),
        tuple(delay for detail in details if (delay := text_of(detail.retryDelay))),
        own_form=not error.is_bare and bool(text_of(error.code) or error.status or error.type),
        reasons=tuple(_word(reason) for reason, domain in reasons if domain.endswith(_GOOGLE)),
    )


def _led_by(problem: ProviderProblem, words: str) -> ProviderProblem:
    """With the code of a refusal that leads the message, as a step's error has it beside a bare number."""
    match = _LEADING_CODE().match(words)
    word = _word(match[1]) if match else ""
    return replace(problem, codes=(word, *problem.codes)) if word in REFUSALS or word in NO_IMAGE else problem


def _number(code: str) -> int | None:
    """A whole number below 1000, also as 400.0."""
    number = code.removesuffix(".0")
    return whole_number(number, 3) if number.isascii() else None


def _word(code: str) -> str:
    """`IMAGE_SAFETY` and the URI form `…/errors/image_safety` are both `image_safety`."""
    return re.sub(r"[^a-z0-9_.-]", "_", code.rstrip("/").rpartition("/")[2].strip().lower())[:64]


def _plain_text(body: Body) -> str:
    """The readable part of a page of HTML or of plain text."""
    text = bytes(memoryview(body)[:20_000]).decode("utf-8", "replace")
    return " ".join(_TAG().sub(" ", text).split())
