"""Codes of ends are one closed set: the failure table's, and those of ends without a failure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.core.lifecycle.attempt_cost import why
from shared.core.provider.failure import RULES, FailureKind
from shared.core.provider.outcome import Outcome
from shared.core.provider.outcome_code import CODES, OF_REQUESTS, OutcomeCode, PlainEnd, code_of

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_read_as_it_was_written(code: OutcomeCode) -> None:
    outcome = Outcome.of(code, "text")
    written = outcome.to_json()
    assert type(written["code"]) is str, "a store takes no enum"
    assert Outcome.from_json(written).kind is code
    assert outcome.problem == (None if code == "succeeded" else code)


def test_no_two_codes_are_alike_and_requests_are_found_by_all_but_those_of_attempts_alone() -> None:
    texts = [code.value for code in CODES]
    assert len(set(texts)) == len(texts)
    assert set(texts) - set(OF_REQUESTS) == {"duplicate"}


def test_the_code_of_a_newer_release_can_be_read_after_a_rollback() -> None:
    outcome = Outcome.from_json({"code": "a_new_one", "message": "text", "advice": ""})
    assert (outcome.code, outcome.kind, outcome.problem) == ("a_new_one", None, "a_new_one")
    assert code_of("") is None


def test_no_code_is_written_as_text() -> None:
    folders = ("shared/core", "shared/flows", "shared/adapters", "functions", "scripts/cli")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert [path for path in sources if re.search(r"\bOutcome(\.of)?\(\s*['\"]", path.read_text("utf-8"))] == []


@pytest.mark.parametrize("kind", FailureKind)
def test_what_a_failed_attempts_money_went_for_stands_in_the_table(kind: FailureKind) -> None:
    refused, spoiled = kind is FailureKind.REFUSED, RULES[kind].spoiled
    assert why(kind, 1) == ("refused" if refused else "no_image" if spoiled else "first")
    assert why(kind, 2) == ("refused" if refused else "no_image" if spoiled else "retry")


def test_what_the_other_ends_cost() -> None:
    assert (why(PlainEnd.SUCCEEDED, 1), why(PlainEnd.SUCCEEDED, 3)) == ("first", "retry")
    assert why(PlainEnd.DUPLICATE, 1) == "duplicate"
    for code in set(PlainEnd) - {PlainEnd.SUCCEEDED, PlainEnd.DUPLICATE}:
        with pytest.raises(ValueError, match="no attempt ends as"):
            why(code, 1)
