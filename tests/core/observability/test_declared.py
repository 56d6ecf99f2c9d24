"""What is declared once and read by many: signals, queries and their indexes, topics and subscriptions."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.core.lifecycle import queries
from shared.core.messages import topics
from shared.core.observability import events
from shared.core.observability.events import Signal
from shared.core.records.request import HEAD_FIELDS
from shared.core.values.status import FINAL
from tests.builders import a_record
from tests.every_query import QUERIES


def test_every_signal_of_the_module_is_declared_under_its_own_name() -> None:
    written = {value.name: value for value in vars(events).values() if isinstance(value, Signal)}
    assert written
    assert written == events.ALL


@pytest.mark.parametrize("signal", events.ALL.values(), ids=lambda signal: signal.name)
def test_a_signal_names_each_field_once_and_carries_neither_prompt_nor_key(signal: Signal) -> None:
    assert signal.fields
    assert len(set(signal.fields)) == len(signal.fields)
    assert not {"prompt", "key", "api_key", "references", "request"} & set(signal.fields)
    assert signal.name == signal.name.lower()


def test_an_escalation_may_carry_a_trace_and_nothing_else_beside_its_fields() -> None:
    assert events.ESCALATION.declares(["what", "request_id", "runbook"])
    assert events.ESCALATION.declares(["what", "request_id", "runbook", "trace_id"])
    assert not events.ESCALATION.declares(["what", "runbook"])
    assert not events.ESCALATION.declares(["what", "request_id", "runbook", "prompt"])


def test_every_event_of_one_request_can_carry_its_trace() -> None:
    of_one = [signal for signal in events.ALL.values() if "request_id" in signal.fields]
    assert len(of_one) > 8
    assert [signal.name for signal in of_one if "trace_id" not in (*signal.fields, *signal.may_carry)] == []


def test_every_query_of_the_module_is_tried_here() -> None:
    made = {name for name, value in vars(queries).items() if callable(value) and value.__module__ == queries.__name__}
    assert made - {"attempts_of"} == {name.split()[0] for name in QUERIES}
    assert queries.attempts_of("a").collection == "requests/a/attempts"


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_has_the_index_it_needs(name: str) -> None:
    query = QUERIES[name]
    needed = (*(field for field, _ in query.equal), *query.order_by)
    assert any(query.collection == of and needed == fields[: len(needed)] for of, fields in queries.INDEXES)


def test_every_index_is_one_that_a_query_needs() -> None:
    """An index that no query reads still costs writes."""
    needed = {(query.collection, (*(field for field, _ in query.equal), *query.order_by)) for query in QUERIES.values()}
    assert set(queries.INDEXES) <= needed


@pytest.mark.parametrize("name", QUERIES)
def test_a_bounded_field_is_the_first_that_is_ordered_by(name: str) -> None:
    for bound in QUERIES[name].bounds:
        assert QUERIES[name].order_by[0].removeprefix("-") == bound.field


@pytest.mark.parametrize("name", QUERIES)
def test_every_field_that_a_query_names_is_present_in_a_new_request(name: str) -> None:
    query = QUERIES[name]
    if query.collection == "requests":
        named = {*(field for field, _ in query.equal), *(field.lstrip("-") for field in query.order_by), *query.fields}
        assert named <= a_record().keys()


def test_a_list_of_heads_drags_no_prompt_along() -> None:
    for name in ("heads", "woken"):
        assert QUERIES[name].fields == HEAD_FIELDS
    assert not {"request", "prompt", "references"} & set(HEAD_FIELDS)


def test_a_request_in_the_store_has_every_field_of_the_contract() -> None:
    promised = (
        "status reason request round route wake_at slot_at attempt_count cost_micros cost_basis cost_unknown_attempts "
        "receipt image_uri trace_id created_at updated_at finished_at outcome cancel_requested_at announce"
    )
    written = a_record()
    assert written.keys() >= set(promised.split())
    assert written["status"] == "queued"
    assert "queued" not in FINAL


# -- topics -----------------------------------------------------------------------------------------------------------


def test_the_topics_are_those_of_the_contract() -> None:
    assert set(topics.TOPICS) == {
        "render-requests",
        "render-releases",
        "render-arrivals",
        "render-results",
        "pump-kicks",
        "render-dead-letters",
        "webhook-deliveries",
    }


@pytest.mark.parametrize("declared", topics.SUBSCRIPTIONS, ids=lambda item: item.name)
def test_every_subscription_keeps_the_bounds_of_pub_sub(declared: topics.Subscription) -> None:
    assert declared.topic in topics.TOPICS
    assert timedelta(seconds=10) <= declared.ack_deadline <= timedelta(seconds=600)
    assert declared.max_deliveries == 0 or 5 <= declared.max_deliveries <= 100
    assert timedelta(0) <= declared.minimum_backoff <= declared.maximum_backoff <= timedelta(seconds=600)
    assert topics.subscription(declared.name) == declared


def test_a_dead_letter_never_dies_again() -> None:
    """It would be redelivered without end."""
    dead = [subscription for subscription in topics.SUBSCRIPTIONS if subscription.topic == topics.RENDER_DEAD_LETTERS]
    assert [subscription.max_deliveries for subscription in dead] == [0]


def test_a_subscription_of_another_name_is_nobodys() -> None:
    with pytest.raises(KeyError):
        topics.subscription("render-requests")
