"""What goes into one file, when it is closed, and what a batch's end means for what it left out."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import pytest
from msgspec.structs import replace

from shared.core.catalogue.batch_rules import DEFAULT_RULES, LARGEST_FILE, BatchRules
from shared.core.lifecycle import batch, batch_schedule, settlement
from shared.core.lifecycle.batch import MOST_REFERENCES, BatchCandidate, Progress
from shared.core.lifecycle.settlement import book_extra
from shared.core.provider.failure import Failure, FailureKind
from shared.core.records.batch import Item, ProviderState
from shared.core.values.documents import Create, Increment, Update
from shared.core.values.route import Route
from tests.builders import NOW, a_catalogue, a_delivered, a_failure, a_usage, an_attempt

ROUTE = Route("batch", "gemini-3-pro-image", "1K")


def waiting(
    count: int, *, since: timedelta = timedelta(0), size: str = "1K", references: int = 0
) -> list[BatchCandidate]:
    return [BatchCandidate(f"{size}-{n}", ROUTE.model, size, references, NOW - since) for n in range(count)]


def test_a_young_collection_with_room_stays_open() -> None:
    assert batch.due_collections(waiting(LARGEST_FILE - 1), NOW) == []


def test_a_full_collection_is_closed_at_any_age() -> None:
    for full_only in (True, False):
        closed = batch.due_collections(waiting(LARGEST_FILE + 7), NOW, full_only=full_only)
        assert [len(items) for items in closed] == [LARGEST_FILE]


def test_an_old_collection_is_closed_as_it_is() -> None:
    old = waiting(3, since=DEFAULT_RULES.collect_for)
    assert [len(items) for items in batch.due_collections(old, NOW)] == [3]
    assert batch.due_collections(old, NOW, full_only=True) == []


def test_sizes_are_collected_apart() -> None:
    mixed = [*waiting(2, since=DEFAULT_RULES.collect_for), *waiting(2, since=DEFAULT_RULES.collect_for, size="4K")]
    assert [{item.image_size for item in one} for one in batch.due_collections(mixed, NOW)] == [{"1K"}, {"4K"}]


def test_references_fill_a_file_as_requests_do_and_no_request_is_too_large_for_one() -> None:
    closed = batch.due_collections(waiting(9, references=14), NOW, full_only=True)
    assert [len(items) for items in closed] == [2, 2, 2, 2]
    assert all(sum(one.references for one in items) <= MOST_REFERENCES for items in closed)
    alone = batch.due_collections(waiting(1, references=MOST_REFERENCES + 1), NOW, full_only=True)
    assert [len(items) for items in alone] == [1]


def test_an_operator_says_how_many_go_together_how_long_they_wait_and_when_he_is_told() -> None:
    rules = BatchRules(timedelta(seconds=30), 3, timedelta(hours=2), timedelta(hours=1))
    young, old = waiting(5), waiting(2, since=timedelta(seconds=30))
    assert [len(items) for items in batch.due_collections(young, NOW, rules)] == [3]
    assert [len(items) for items in batch.due_collections(old, NOW, rules)] == [2]
    data = batch.new_record("b-1", ROUTE, [Item("r-1", 1)], NOW)
    assert batch_schedule.is_newly_stuck(data, NOW + timedelta(hours=1), rules)
    sent = batch.submitted(data, "batches/1", NOW)
    assert not batch_schedule.is_newly_stuck(sent, NOW + timedelta(hours=1), rules)
    assert batch_schedule.is_newly_stuck(sent, NOW + timedelta(hours=2), rules)


def test_nothing_waiting_closes_nothing() -> None:
    assert batch.due_collections([], NOW) == []


@pytest.mark.parametrize(
    ("failure", "refused"),
    [
        (a_failure(FailureKind.QUOTA_UNKNOWN, http_status=429), True),
        (a_failure(FailureKind.INVALID_REQUEST, http_status=400), True),
        (a_failure(FailureKind.CONNECTION), True),
        (a_failure(FailureKind.LATE), True),
        (a_failure(FailureKind.TIMEOUT), False),
        (a_failure(FailureKind.TIMEOUT, http_status=408), False),
        (a_failure(FailureKind.CONNECTION_LOST), False),
        (a_failure(FailureKind.SERVER_ERROR, http_status=500), False),
        (a_failure(FailureKind.OVERLOAD, http_status=503), False),
        (a_failure(FailureKind.MALFORMED_ANSWER, http_status=200), False),
    ],
    ids=lambda failure: f"{failure.kind.value} {failure.http_status}" if isinstance(failure, Failure) else "",
)
def test_only_a_plain_no_means_that_no_batch_was_made(failure: Failure, refused: bool) -> None:
    assert batch.is_surely_refused(failure) is refused


@pytest.mark.parametrize("state", get_args(ProviderState))
def test_every_end_of_a_batch_has_an_answer_for_what_it_left_out(state: ProviderState) -> None:
    failure = batch.without_result(Progress(state))
    assert failure.message
    assert failure.rule.advice


def test_waits_between_tries_grow_to_half_an_hour() -> None:
    data = batch.new_record("b-1", ROUTE, [Item("r-1", 1)], NOW)
    waits = [(batch.not_created(replace(data, tries=tries), NOW).due_at or NOW) - NOW for tries in range(8)]
    assert waits[0] == timedelta(minutes=1)
    assert waits == sorted(waits)
    assert waits[-1] == timedelta(minutes=30)


def test_who_holds_a_batch_cannot_be_overtaken_by_a_second_create() -> None:
    """A create may leave so long after it is on record, and nobody repeats it before it must have shown."""
    assert batch_schedule.LEAVE_WITHIN < batch_schedule.HOLD < batch_schedule.FOUND_WITHIN


def test_a_stuck_batch_is_told_once_until_it_moves() -> None:
    data = batch.submitted(batch.new_record("b-1", ROUTE, [Item("r-1", 1)], NOW), "batches/1", NOW)
    later = NOW + DEFAULT_RULES.stuck_after
    assert not batch_schedule.is_newly_stuck(data, later - timedelta(seconds=1))
    assert batch_schedule.is_newly_stuck(data, later)
    assert not batch_schedule.is_newly_stuck(replace(data, escalated_at=later), later + timedelta(hours=5))
    escalated = replace(data, escalated_at=later)
    moved = batch.after_look(escalated, Progress("running", 1), later + timedelta(hours=1))
    assert not batch_schedule.is_newly_stuck(moved, later + timedelta(hours=2))
    assert batch_schedule.is_newly_stuck(moved, later + timedelta(hours=1) + DEFAULT_RULES.stuck_after)


def test_a_batch_that_has_not_moved_is_not_said_to_have() -> None:
    data = replace(batch.new_record("b-1", ROUTE, [Item("r-1", 1)], NOW), provider_state="running", done=3)
    assert batch.after_look(data, Progress("running", 3), NOW + timedelta(hours=1)) == data


# -- further answers under one key -----------------------------------------------------------------------------------


def test_a_further_image_is_a_cost_and_changes_neither_status_nor_image() -> None:
    request, attempt = an_attempt(status="succeeded")
    writes = book_extra(request, attempt, a_delivered(lane="standard"), 1, a_catalogue(), now=NOW, shard=0)
    update, created, ledger = writes
    assert isinstance(update, Update)
    assert isinstance(created, Create)
    assert isinstance(ledger, Increment)
    assert created.path == f"{attempt.path}-1"
    assert created.data["outcome"]["code"] == "duplicate"
    assert created.data["image_uri"] is None
    assert update.changes["cost_micros"] == created.data["cost_micros"] == ledger.amounts["cost_micros"] > 0
    assert not {"status", "image_uri", "route"} & set(update.changes)


def test_a_further_answer_without_an_image_is_booked_by_its_usage() -> None:
    request, attempt = an_attempt(status="queued")
    charged = a_failure(FailureKind.NO_IMAGE, usage=a_usage(image_out=0))
    update, created, _ = book_extra(request, attempt, charged, 2, a_catalogue(), now=NOW, shard=0)
    assert isinstance(update, Update)
    assert isinstance(created, Create)
    assert created.data["cost_micros"] == update.changes["cost_micros"] > 0
    assert "status" not in update.changes


def test_an_attempt_in_a_batch_is_the_current_one_of_its_request() -> None:
    request, attempt = an_attempt(status="batched", batch="b-1")
    settled = settlement.settle(
        request, attempt, a_failure(), a_catalogue(), now=NOW, latency_ms=1, jitter=0.0, shard=0
    )
    assert isinstance(settled, settlement.Settlement)
    assert settled.effect == "queued"
    (update, *_) = settled.writes()
    assert isinstance(update, Update)
    assert (update.changes["status"], update.changes["batch"]) == ("queued", None)


@pytest.mark.parametrize(
    ("tenants", "first"),
    [("aaaa", 2), ("aaab", 3), ("baaa", 3), ("abab", 2), ("ab", 1), ("aabbcc", 2), ("aa", 1)],
)
def test_a_refused_file_is_split_at_the_border_of_two_tenants_nearest_to_its_middle(tenants: str, first: int) -> None:
    items = [(Item(f"r-{number}", 1), tenant) for number, tenant in enumerate(tenants)]
    one, other = batch.halves(items)
    assert (len(one), len(other)) == (first, len(tenants) - first)
    assert {*one, *other} == {item for item, _ in items}


def test_a_batch_is_split_once_and_its_second_part_knows_under_which_id_its_requests_are_filed() -> None:
    route, items = Route("batch", "gemini-3-pro-image", "1K"), [Item("r-1", 1), Item("r-2", 1)]
    whole = batch.new_record("b", route, items, NOW)
    assert batch.may_be_split(whole)
    assert not batch.may_be_split(replace(whole, items=whole.items[:1]))
    part = batch.second_part("b-2", "b", route, items, NOW)
    assert not batch.may_be_split(part)
    assert not batch.may_be_split(batch.first_part(whole, items, NOW))
    assert (batch.family("b", whole), batch.family("b-2", part)) == ("b", "b")
