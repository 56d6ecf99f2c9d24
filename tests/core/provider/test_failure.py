"""The closed table of failures, and the outcomes that callers read."""

from __future__ import annotations

import pytest

from shared.core.provider.failure import DENIED, RULES, Charge, Exchange, Failure, FailureKind, Next
from shared.core.provider.outcome import CANCELLED, EXPIRED, SUCCEEDED, of_failure
from tests.builders import a_failure


def test_every_kind_of_failure_has_a_rule_and_nothing_else_has() -> None:
    assert RULES.keys() == set(FailureKind)


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_rule_has_advice_in_whole_sentences(kind: FailureKind) -> None:
    advice = a_failure(kind).rule.advice
    assert len(advice) > 20
    assert advice[0].isupper()
    assert advice.endswith(".")


def test_a_refusal_is_never_repeated() -> None:
    assert RULES[FailureKind.REFUSED].next is Next.END


@pytest.mark.parametrize("kind", list(FailureKind))
def test_what_is_the_projects_affair_waits_and_does_not_cost_a_request_its_life(kind: FailureKind) -> None:
    mended_by_a_person = (FailureKind.BALANCE, FailureKind.CREDENTIAL, FailureKind.PERMISSION)
    made_otherwise = (FailureKind.LATE, FailureKind.BACKGROUND_REFUSED)
    waits = kind.value.startswith("quota_") or kind in made_otherwise or kind in mended_by_a_person
    assert (RULES[kind].next is Next.WAIT) == waits


@pytest.mark.parametrize("kind", list(FailureKind))
def test_what_may_have_been_billed_is_repeated_with_care_and_never_booked_as_nothing(kind: FailureKind) -> None:
    rule = RULES[kind]
    if rule.ambiguous:
        assert rule.next is (Next.END if kind is FailureKind.CANCELLED else Next.AGAIN)
        assert rule.charge is Charge.UNKNOWN


def test_an_outcome_carries_the_providers_word_and_our_advice() -> None:
    outcome = of_failure(a_failure(FailureKind.QUOTA_DAY, "try tomorrow", code="quota_exceeded"))
    assert (outcome.code, outcome.message) == ("quota_day", "quota_exceeded: try tomorrow")
    assert outcome.advice == RULES[FailureKind.QUOTA_DAY].advice
    assert of_failure(a_failure(FailureKind.TIMEOUT, "no answer")).message == "no answer"


def test_an_outcome_in_the_store_has_code_message_and_advice() -> None:
    for outcome in (SUCCEEDED, CANCELLED, EXPIRED, of_failure(a_failure())):
        written = outcome.to_json()
        assert written.keys() == {"code", "message", "advice"}
        assert written["code"]
        assert written["message"]


def test_only_a_refusal_by_the_model_ends_as_refused_and_only_its_caller_cancels() -> None:
    assert [kind for kind in FailureKind if RULES[kind].status == "refused"] == [FailureKind.REFUSED]
    assert [kind for kind in FailureKind if RULES[kind].status == "cancelled"] == [FailureKind.CANCELLED]
    assert {RULES[kind].status for kind in FailureKind} == {"refused", "failed", "cancelled"}


def test_a_refusal_that_is_a_400_costs_nothing() -> None:
    """https://ai.google.dev/gemini-api/docs/pricing: answers 400 and 500 are not charged."""
    assert Failure(FailureKind.REFUSED, "no", http_status=400).charge is Charge.NOTHING
    assert Failure(FailureKind.REFUSED, "no", http_status=200).charge is Charge.UNKNOWN


def test_the_columns_name_the_kinds_that_they_are_about() -> None:
    def having(column: str, value: object = True) -> set[str]:
        return {kind.value for kind, rule in RULES.items() if getattr(rule, column) is value}

    assert having("denied") == DENIED == {"credential", "permission", "balance"}
    assert having("sick_route") == {
        "overload",
        "server_error",
        "timeout",
        "connection",
        "connection_lost",
        "not_finished",
    }
    assert having("lacking") == {"model_gone", "lane_unsupported"}
    assert having("spoiled") == {"no_image", "malformed_answer", "image_store"}
    assert having("no_news") == {"refused", "invalid_request", "reference", "late"}
    assert having("over") == {"overload", "not_finished", "cancelled", "background_refused"}
    assert having("model_answered") == {"refused", "no_image"}
    assert having("exchange", Exchange.NOT_SENT) == {"connection", "late", "reference"}
    assert having("exchange", Exchange.BROKEN_OFF) == {"timeout", "connection_lost", "crashed"}


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_call_that_was_not_sent_costs_nothing_and_one_that_was_broken_off_may_cost(kind: FailureKind) -> None:
    rule = RULES[kind]
    if rule.exchange is Exchange.NOT_SENT:
        assert rule.charge is Charge.NOTHING
        assert not rule.ambiguous
    if rule.exchange is Exchange.BROKEN_OFF:
        assert rule.ambiguous
    if rule.model_answered:
        assert rule.exchange is Exchange.ANSWERED
