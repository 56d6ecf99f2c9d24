"""What a settlement adds to the ledger: for what, of what, and undone exactly where it is corrected."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.accounting.cost_report import bills
from shared.core.accounting.ledger import PARTS, REPEATS, SHARDS, WHYS, Cell, LedgerRow, exact_parts
from shared.core.catalogue.price import Cost
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.usage import Usage
from tests.builders import NOW, a_delivered, a_failure, a_ledger_row, a_request, a_usage, an_attempt
from tests.core.lifecycle.test_settlement import IMAGE_COST, Books, books

CRASH = a_failure(FailureKind.CRASHED)


def row_of(world: Books) -> dict[str, Any]:
    [row] = world.ledger.values()
    return row


@given(st.dictionaries(st.sampled_from([*PARTS, "other"]), st.integers(0, 10**6), max_size=6), st.integers(-5, 5))
def test_parts_that_were_rounded_each_for_itself_add_up_to_the_cost(parts: dict[str, int], off: int) -> None:
    cost = Cost(max(sum(parts.values()) + off, 0), "metered", parts)
    rounded = exact_parts(cost)
    assert sum(rounded.values()) == cost.micros
    assert set(rounded) <= set(PARTS)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (FailureKind.REFUSED, "refused"),
        (FailureKind.NO_IMAGE, "no_image"),
        (FailureKind.MALFORMED_ANSWER, "no_image"),
        (FailureKind.IMAGE_STORE, "no_image"),
        (FailureKind.OVERLOAD, "first"),
    ],
)
def test_what_an_answer_without_an_image_cost_is_named_for_what_it_was(kind: FailureKind, why: str) -> None:
    world = books()
    world.settle(a_failure(kind, usage=Usage(text_in=1_000)))
    row = row_of(world)
    cost = 1_500 + (33_600 if kind is FailureKind.IMAGE_STORE else 0)  # that one was made, its tokens not counted
    assert row[f"micros_{why}"] == row["cost_micros"] == cost
    assert {name: row[name] for name in row if name.startswith("attempts")} == {"attempts": 1, f"attempts_{why}": 1}


def test_a_later_attempt_is_a_retry_and_an_image_too_many_a_duplicate() -> None:
    world = books()
    world.settle(CRASH)
    world.begin()
    world.settle(a_delivered(), 2)
    world.settle(a_delivered(image_uri="file:///images/late.jpg"), 1)
    assert world.sum("micros_retry") == world.sum("micros_duplicate") == IMAGE_COST
    assert [world.sum(f"attempts_{why}") for why in WHYS] == [0, 1, 0, 0, 1]
    assert world.sum("attempts") == 2


def test_a_retry_after_a_free_rejection_is_the_only_money_its_request_has_cost() -> None:
    world = books()
    world.settle(a_failure(FailureKind.QUOTA_MINUTE))
    world.begin()
    world.settle(a_failure(FailureKind.QUOTA_MINUTE), 2)
    world.begin()
    world.settle(a_delivered(), 3)
    assert [world.sum(f"attempts_retry_{repeat}") for repeat in REPEATS] == [1, 1, 0]
    assert world.sum("micros_retry") == world.sum("micros_retry_once") == IMAGE_COST
    assert world.sum("micros_retry_again") == 0
    assert world.sum("attempts_free") == 2


@pytest.mark.parametrize("first", [a_failure(FailureKind.NO_IMAGE, usage=Usage(text_in=1_000)), CRASH])
def test_a_retry_after_an_attempt_that_was_or_may_be_billed_is_paid_again(first: Failure) -> None:
    world = books()
    world.settle(first)
    world.begin()
    world.settle(a_delivered(), 2)
    assert world.sum("micros_retry") == world.sum("micros_retry_again") == IMAGE_COST
    assert (world.sum("attempts_retry_again"), world.sum("micros_retry_once")) == (1, 0)


def test_a_retry_that_was_given_up_and_delivers_after_all_was_not_paid_before_by_itself() -> None:
    world = books()
    world.settle(a_failure(FailureKind.QUOTA_MINUTE))
    world.begin()
    world.settle(CRASH, 2)
    assert [world.sum(f"attempts_retry_{repeat}") for repeat in REPEATS] == [0, 0, 0]
    world.settle(a_delivered(), 2)
    assert [world.sum(f"attempts_retry_{repeat}") for repeat in REPEATS] == [0, 1, 0]
    assert world.sum("attempts_retry") == 1


def test_a_row_of_an_older_release_keeps_its_retries_as_they_were_and_says_that_they_are_not_split() -> None:
    old = {"day": "2026-11-22", "tenant": "web", "lane": "standard", "model": "m", "flag": "", "cost_micros": 201_000,
           "micros_first": 67_000, "micros_retry": 134_000, "attempts_first": 1, "attempts_retry": 2}  # fmt: skip
    total = bills([LedgerRow.from_json(old)], "model").google.total
    assert (total.by_use["retry"], total.by_use["again"], total.unsplit_micros) == (134_000, 0, 134_000)
    assert sum(total.by_use.values()) == total.micros


def test_an_attempt_of_unknown_cost_stands_there_with_its_range_until_it_is_known() -> None:
    world = books()
    estimate = world.attempt().data["estimate_micros"]
    world.settle(CRASH)
    assert world.sum("unknown_most_micros") == world.sum("unknown_held_micros") == estimate
    world.settle(a_delivered())
    assert world.sum("unknown_attempts") == world.sum("unknown_most_micros") == world.sum("unknown_held_micros") == 0
    assert world.sum("cost_micros") == world.sum("micros_first") == IMAGE_COST


def test_a_call_that_a_limit_rejected_is_no_unknown_cost() -> None:
    world = books()
    world.settle(a_failure(FailureKind.QUOTA_MINUTE))
    assert world.sum("unknown_attempts") == world.sum("unknown_most_micros") == 0


def test_an_overload_may_have_cost_its_estimate_and_nothing_is_held_for_it() -> None:
    world = books()
    world.settle(a_failure(FailureKind.OVERLOAD))
    assert world.sum("unknown_most_micros") == world.attempt().data["estimate_micros"]
    assert world.sum("unknown_held_micros") == 0


def test_an_attempt_is_booked_under_what_served_and_an_unknown_model_under_what_was_ordered() -> None:
    world = books(model="nano-banana-2.1")
    world.settle(a_delivered(model="models/gemini-3-pro-image", lane="flex"))
    assert (row_of(world)["model"], row_of(world)["lane"]) == ("gemini-3-pro-image", "flex")
    other = books(model="nano-banana-2.1")
    other.settle(a_delivered(model="gemini-9/../image"))
    assert row_of(other)["model"] == "gemini-nano-banana-2.1"


def test_flags_that_bent_the_route_are_part_of_the_row() -> None:
    request, attempt = an_attempt(a_request(tenant="web"))
    world = Books(request, attempt)
    world.change(world.attempt(), flags=["use-flex@1", "lower-resolution@2"])
    world.settle(a_delivered())
    assert row_of(world)["flag"] == "use-flex@1 lower-resolution@2"


def test_a_size_that_was_stepped_down_is_a_saving_and_what_came_as_ordered_is_none() -> None:
    request, attempt = an_attempt(a_request(model="nano-banana-2.1", image_size="4K"))
    world = Books(request, attempt)
    world.change(world.attempt(), route=world.attempt().data["route"] | {"image_size": "1K"})
    world.settle(a_delivered())
    assert row_of(world)["saved_size_micros"] == (3780 - 1120) * 30
    plain = books(model="nano-banana-2.1")
    plain.settle(a_delivered(usage=a_usage()))
    assert not [name for name in row_of(plain) if name.startswith("saved")]


def test_rows_of_one_combination_share_a_name_but_for_the_shard() -> None:
    cell = Cell("2026-11-22", "a_b", "gemini-3-pro-image", "standard", ())
    paths = {cell.increment({"attempts": 1}, shard, NOW).path for shard in range(3 * SHARDS)}
    assert len(paths) == SHARDS
    other = Cell("2026-11-22", "a_b", "gemini-3-pro-image", "flex", ())
    assert not paths & {other.increment({"attempts": 1}, shard, NOW).path for shard in range(SHARDS)}


def test_a_providers_calls_are_a_bill_of_their_own() -> None:
    rows = [
        a_ledger_row(lane="standard", cost_micros=134_000),
        a_ledger_row(lane="gateway", cost_micros=90_000),
    ]
    bill = bills(rows, "model")
    assert (bill.google.total.micros, bill.gateways.total.micros) == (134_000, 90_000)
    assert bill.gateways.total.saved_micros == 0
