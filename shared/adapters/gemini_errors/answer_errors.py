"""Errors and refusals inside an HTTP 200, in Google's words and in those of OpenAI's forms. Pure.

Sources: https://openrouter.ai/docs/api-reference/errors (an error inside a choice),
https://github.com/BerriAI/litellm/issues/28989 (content policy), https://github.com/cline/cline/pull/2075.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from shared.adapters.gemini_errors import error_phrases, errors
from shared.adapters.gemini_errors.error_codes import NO_IMAGE, REFUSALS, STATUS_OF_CODE
from shared.adapters.gemini_errors.errors import ProviderProblem
from shared.adapters.payloads.json_member import NONE, decoded, text_of
from shared.core.provider.failure import Failure, FailureKind
from shared.core.values.late_pattern import late_pattern

_REFUSED = late_pattern(
    r"content[ _-]?(policy|filter|management policy|moderation)|contentpolicyviolation|safety (system|filter|polic)"
    r"|flagged (by|for|as)\b.{0,40}(moderation|safety|content|polic)|moderation[ _]blocked|prohibited[ _]content"
    r"|violat\w+ .{0,40}(polic|guideline)",
    re.I,
)


class _Bare(msgspec.Struct):
    """An error without `error` around it, as some relays answer."""

    code: Raw = NONE
    message: Raw = NONE
    status: Raw = NONE
    type: Raw = NONE
    detail: Raw = NONE
    msg: Raw = NONE
    error_message: Raw = NONE


def problem_in(body: bytes | bytearray | Raw) -> ProviderProblem | None:
    """The error in a body of another shape, with or without `error` around it."""
    problem = errors.read_problem(body)
    if problem is not None:
        return problem
    bare = decoded(body, _Bare)
    if bare is None:
        return None
    message = next(filter(None, map(text_of, (bare.message, bare.detail, bare.msg, bare.error_message))), "")
    if not message:
        return None
    inner = errors.read_inner_problem(body)
    return replace(inner, message=inner.message or message) if inner is not None else ProviderProblem((), message)


def problem_among(values: Iterable[Raw]) -> ProviderProblem | None:
    """The first error in the JSON values of an answer."""
    return next(filter(None, map(problem_in, values)), None)


def inner_problem(error: Raw) -> ProviderProblem | None:
    """The error object, or the text, of an `error` member; None if it is null, empty or without content."""
    text = text_of(error)
    if text:
        return ProviderProblem((), text)
    problem = errors.read_inner_problem(error)
    return problem if problem is not None and (problem.codes or problem.number or problem.message) else None


def judge(
    problem: ProviderProblem,
    headers: Mapping[str, str],
    now: datetime,
    unnamed: FailureKind = FailureKind.MALFORMED_ANSWER,
) -> Failure:
    """As gemini_errors.judge for a 200, and it knows a refusal in OpenAI's words."""
    if is_refusal(problem):
        word = next((code for code in problem.codes if code in REFUSALS), problem.code)
        return Failure(FailureKind.REFUSED, problem.message or f"refused: {word}", word, http_status=200)
    return errors.judge(problem, 200, headers, now, unnamed)


def judge_instead(
    problem: ProviderProblem,
    headers: Mapping[str, str],
    now: datetime,
    unnamed: FailureKind = FailureKind.MALFORMED_ANSWER,
) -> Failure:
    """For an error in place of the answer, with the HTTP status that it names: a gateway charges by it, and one that
    refused the call in a 200 has made no image."""
    failure = judge(problem, headers, now, unnamed)
    number = problem.number or next((STATUS_OF_CODE[code] for code in problem.codes if code in STATUS_OF_CODE), 200)
    return failure if number < 400 or failure.kind is FailureKind.REFUSED else replace(failure, http_status=number)


def is_refusal(problem: ProviderProblem) -> bool:
    """By its code; by its words only if no code or number says otherwise."""
    if not REFUSALS.isdisjoint(problem.codes):
        return True
    if not NO_IMAGE.isdisjoint(problem.codes) or problem.number not in (None, 400, 403, 422):
        return False
    others = {STATUS_OF_CODE[code] for code in problem.codes if code in STATUS_OF_CODE} - {400, 403}
    words = problem.message[:4_000]
    return not others and _REFUSED().search(words) is not None and not error_phrases.is_of_closed_account(words)
