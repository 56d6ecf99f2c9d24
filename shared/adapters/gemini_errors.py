"""What a Gemini error means for us: any status, header and body to exactly one FailureKind. Pure.

Forms and codes are those of the Gemini API's documentation and of answers seen in the wild: the Interactions form
(`{"error": {"code": "quota_exceeded", "message": ...}}`, codes are words), google.rpc.Status (a number, a status and
details), a gateway's (`type`), and bodies that are no JSON at all. All are read on every route.

What is not documented is decided so: 409 (already_exists, aborted) is OVERLOAD, since a later call may go through;
499 is CONNECTION_LOST, since we did not cancel; 3xx is CONNECTION, since no API of Google's redirects, and so is a 404
that names nothing an API could lack (a page, a path that is not served): the base URL is wrong; 502 is SERVER_ERROR
like other 5xx. A 403 in the API's own words that speaks of a file or a URI means a reference, not the project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from shared.adapters import gemini_quota
from shared.adapters.gemini_codes import NO_IMAGE, REFUSALS, RPC_CODES, STATUS_OF_CODE
from shared.adapters.gemini_quota import Violation
from shared.core.failure import Failure, FailureKind

T = TypeVar("T")

_BAD_KEY = re.compile(r"api[ _]key (is |was )?(not valid|invalid|expired|not found|(reported as )?leaked)", re.I)
_NO_BILLING = re.compile(
    r"(enable|set up|activate) billing|billing (is |has )?(not (been )?|dis)(enabled|abled)?", re.I
)
_OTHER_NAME = re.compile(r"\b(files|cachedContents|interactions|environments|operations)/[\w-]", re.I)
_OTHER_THING = re.compile(
    r"\b(file|cached ?content|interaction|previous_interaction_id|environment|operation)s?\b", re.I
)
_MODEL = re.compile(r"\bmodels?\b", re.I)
_FILE = re.compile(r"\b(files?|file_?(uri|data)|ur[il]s?|gs)\b", re.I)
_TIER = re.compile(r"\b(service[ _-]?tiers?|flex|priority)\b", re.I)
_NOT_HAD = re.compile(
    r"(\bnot|n't)( yet| currently)? (support|available|allowed|enabled|offered)|\bunsupported|\bunavailable"
    r"|\binvalid value|\bunknown (name|field|parameter)",
    re.I,
)
_SENTENCE_END = re.compile(r"(?<=[.;!])\s+")
_LEADING_CODE = re.compile(r"([a-z_]{4,40}|[A-Z_]{4,40}): ")
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.I | re.S)


class _Detail(msgspec.Struct):
    """Any of google.rpc's details; a field of another shape makes the whole detail unread, never the error."""

    reason: str = ""
    retryDelay: str = ""
    violations: list[msgspec.Raw] = []


class _Error(msgspec.Struct):
    code: int | float | str | None = None
    message: str | None = None
    status: str | None = None
    type: str | None = None
    details: list[msgspec.Raw] | None = None


class _Body(msgspec.Struct):
    error: _Error | str


Body: TypeAlias = bytes | bytearray | msgspec.Raw


class Problem(Struct, frozen=True):
    """What the provider said, whichever form it said it in."""

    codes: tuple[str, ...]
    """Its words for the error in lower case, the error's own code first."""
    message: str
    number: int | None = None
    """An HTTP status inside the body."""
    violations: tuple[Violation, ...] = ()
    retry_delays: tuple[str, ...] = ()
    in_form: bool = True
    """It came as an error of an API; else as a page or as text of who knows whom."""

    @property
    def code(self) -> str:
        return self.codes[0] if self.codes else ""


def read_failure(status: int, headers: Mapping[str, str], body: Body, now: datetime) -> Failure:
    """The failure of an HTTP answer that is an error. `headers` by lower-case name; `now` turns a date into a delay."""
    return judge(read_problem(body) or Problem((), _plain_text(body), in_form=False), status, headers, now)


def read_problem(body: Body) -> Problem | None:
    """The error a JSON body speaks of, also inside a list of one; None where it speaks of none."""
    found = decoded(body, _Body) or next(iter(decoded(body, list[_Body]) or ()), None)
    if found is None:
        return None
    return Problem((), found.error) if isinstance(found.error, str) else _problem(found.error)


def read_inner_problem(error: Body) -> Problem | None:
    """An error object that stands inside an answer: an item of `errors`, or the `error` of a step."""
    found = decoded(error, _Error)
    return _problem(found) if found is not None else None


def judge(
    problem: Problem,
    status: int,
    headers: Mapping[str, str],
    now: datetime,
    unnamed: FailureKind = FailureKind.MALFORMED_ANSWER,
) -> Failure:
    """Name the failure; `unnamed` where neither the HTTP status (200) nor the body says which error it is."""
    kind, violation = _kind(problem, status, unnamed)
    message = problem.message or f"HTTP {status} without a readable reason"
    if kind is FailureKind.CONNECTION and status == 404:
        message = f"HTTP 404 that names no model: is the base URL that of the API? It said: {message}"
    return Failure(
        kind,
        message,
        code=problem.code,
        http_status=status,
        retry_after=gemini_quota.retry_after(headers, problem.retry_delays, problem.message, now),
        quota_id=violation.quota_id if violation else None,
        quota_value=violation.value if violation else None,
    )


def decoded(body: Body, kind: type[T]) -> T | None:
    """`body` as `kind`, or None: whatever a server sends is never an exception of ours."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError):  # msgspec's own errors, and bytes that are no UTF-8, are ValueErrors
        return None


def _kind(problem: Problem, status: int, unnamed: FailureKind) -> tuple[FailureKind, Violation | None]:
    if not REFUSALS.isdisjoint(problem.codes):
        return FailureKind.REFUSED, None
    if not NO_IMAGE.isdisjoint(problem.codes):
        return FailureKind.NO_IMAGE, None
    said = _said_status(problem, status)
    if said in (400, 402, 403, 429) and gemini_quota.has_no_balance(problem.codes, problem.message):
        return FailureKind.BALANCE, None
    if said in (400, 401, 403) and ("api_key_invalid" in problem.codes or _BAD_KEY.search(problem.message)):
        return FailureKind.CREDENTIAL, None
    if said == 429:
        return gemini_quota.kind(problem.codes, problem.message, problem.violations)
    if said == 400 and _NO_BILLING.search(problem.message):
        return FailureKind.BALANCE, None
    if said in (400, 422) and _lacks_tier(problem.message):
        return FailureKind.LANE_UNSUPPORTED, None
    return _kind_of_status(said, problem, unnamed), None


def _said_status(problem: Problem, status: int) -> int:
    """The HTTP status, unless it is a vague one and the body is more precise."""
    if status not in (200, 400, 500):
        return status
    named = next((STATUS_OF_CODE[each] for each in problem.codes if each in STATUS_OF_CODE), None)
    return named or problem.number or status


def _kind_of_status(status: int, problem: Problem, unnamed: FailureKind) -> FailureKind:
    match status:
        case 401:
            return FailureKind.CREDENTIAL
        case 402:
            return FailureKind.BALANCE
        case 403:
            of_file = problem.in_form and _FILE.search(problem.message)
            return FailureKind.REFERENCE if of_file else FailureKind.PERMISSION
        case 404:
            return _missing(problem)
        case 408 | 504:
            return FailureKind.TIMEOUT
        case 409 | 503 | 529:
            return FailureKind.OVERLOAD
        case 499:
            return FailureKind.CONNECTION_LOST
        case _ if 300 <= status < 400:
            return FailureKind.CONNECTION
        case _ if 400 <= status < 500:
            return FailureKind.INVALID_REQUEST
        case _ if status >= 500:
            return FailureKind.SERVER_ERROR
        case _:
            return unnamed


def _missing(problem: Problem) -> FailureKind:
    """A 404 is the model's where it says so, or where the API says `not_found` of nothing in particular: the model is
    all that we name. Else something was reached that does not know our path."""
    if not problem.in_form:
        return FailureKind.CONNECTION
    if "model_not_found" in problem.codes:
        return FailureKind.MODEL_GONE
    if _OTHER_NAME.search(problem.message):
        return FailureKind.INVALID_REQUEST
    if _MODEL.search(problem.message):
        return FailureKind.MODEL_GONE
    if _OTHER_THING.search(problem.message):
        return FailureKind.INVALID_REQUEST
    return FailureKind.MODEL_GONE if "not_found" in problem.codes else FailureKind.CONNECTION


def _lacks_tier(message: str) -> bool:
    """One sentence says of a service tier that the model does not have it."""
    return any(_TIER.search(each) and _NOT_HAD.search(each) for each in _SENTENCE_END.split(message))


def _problem(error: _Error) -> Problem:
    details = [each for each in (decoded(raw, _Detail) for raw in error.details or ()) if each is not None]
    number = _number(error.code)
    word = error.code if isinstance(error.code, str) and number is None else None
    if number is not None and 0 < number < len(RPC_CODES):
        word, number = RPC_CODES[number], None
    words: Sequence[str | None] = (_led_by(error), word, error.status, error.type, *(each.reason for each in details))
    return Problem(
        tuple(_word(each) for each in words if each),
        error.message or "",
        number if number is not None and 300 <= number < 600 else None,
        tuple(gemini_quota.violations(raw for each in details for raw in each.violations)),
        tuple(each.retryDelay for each in details if each.retryDelay),
    )


def _led_by(error: _Error) -> str | None:
    """The code of a refusal that leads the message, as a step's error has it beside a bare number."""
    found = _LEADING_CODE.match(error.message or "")
    word = _word(found[1]) if found else ""
    return word if word in REFUSALS or word in NO_IMAGE else None


def _number(code: Any) -> int | None:
    if isinstance(code, str):
        return int(code) if code.isascii() and code.isdecimal() and len(code) < 4 else None
    return int(code) if code is not None and 0 <= code < 1000 else None


def _word(code: str) -> str:
    """`IMAGE_SAFETY` and the URI form `…/errors/image_safety` are both `image_safety`."""
    return re.sub(r"[^a-z0-9_.-]", "_", code.rstrip("/").rpartition("/")[2].strip().lower())[:64]


def _plain_text(body: Body) -> str:
    """The readable part of a page of HTML or of plain text."""
    text = bytes(memoryview(body)[:20_000]).decode("utf-8", "replace")
    return " ".join(_TAG.sub(" ", text).split())
