"""An attempt ends in every state of its request, and each cent is booked exactly once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.adapters.port_limits.store_limits import check_writes
from shared.core.accounting.ledger import SHARDS
from shared.core.catalogue.price import Cost
from shared.core.lifecycle import request_record
from shared.core.lifecycle.mismatch import size_of_pixels
from shared.core.lifecycle.receipt import mismatches, receipt
from shared.core.lifecycle.retry import MAX_AMBIGUOUS_REPEATS, MAX_DENIED, MAX_FAILURES, MAX_PROBES, QUOTA_BACKOFF
from shared.core.lifecycle.settlement import SettledBefore, Settlement, open_attempt, settle
from shared.core.provider.call import Made, Picture
from shared.core.provider.failure import RULES, Failure, FailureKind
from shared.core.provider.stored_image import Delivered, Ending
from shared.core.provider.usage import Usage
from shared.core.records.request import RequestRecord
from shared.core.records.versioned import Attempt, Request, attempt_in, request_in, with_record
from shared.core.values.codec import stored_value
from shared.core.values.documents import Document, Increment, Update
from shared.core.values.status import FINAL
from tests.builders import (
    NOW,
    a_catalogue,
    a_delivered,
    a_failure,
    a_planned,
    a_request,
    a_statement,
    a_usage,
    an_attempt,
)

LATER = NOW + timedelta(seconds=20)
IMAGE_COST = 22 * 3 // 2 + 1120 * 30 + 210 * 15 // 2
"""Of `a_usage` on Nano Banana 2.1: 1.50 in, 30 image out, 7.50 thinking, per million tokens."""


class Books:
    """The documents of one request, as settlements change them."""

    def __init__(self, request: Document, *attempts: Document) -> None:
        self.documents = {document.path: document for document in (request, *attempts)}
        self.request_path = request.path
        self.ledger: dict[str, dict[str, Any]] = {}
        self.commits = 1

    @property
    def request(self) -> Document:
        return self.documents[self.request_path]

    def attempt(self, number: int = 1) -> Document:
        return self.documents[request_record.attempt_path(self.request.id, number)]

    @property
    def attempts(self) -> list[Document]:
        return [document for path, document in self.documents.items() if path != self.request_path]

    def change(self, document: Document, **changes: Any) -> None:
        self.commits += 1
        data = {**document.data, **changes}
        self.documents[document.path] = Document(document.path, data, f"version-{self.commits}", NOW)

    def settle(self, ending: Ending, number: int = 1, *, jitter: float = 0.5, shard: int = 3) -> Settlement:
        settled = self.settle_again(ending, number, jitter=jitter, shard=shard)
        assert isinstance(settled, Settlement)
        return settled

    def settle_again(
        self, ending: Ending, number: int = 1, *, jitter: float = 0.5, shard: int = 3
    ) -> Settlement | SettledBefore:
        request, attempt = request_in(self.request), attempt_in(self.attempt(number))
        settled = settle(
            request, attempt, ending, a_catalogue(), now=LATER, latency_ms=20_000, jitter=jitter, shard=shard
        )
        for write in () if isinstance(settled, SettledBefore) else settled.writes():
            match write:
                case Update(path, changes, version):
                    assert self.documents[path].version == version
                    unknown = changes.keys() - self.documents[path].data.keys()
                    assert not unknown, f"{path} has no field {unknown}"
                    self.change(self.documents[path], **changes)
                case Increment(path, amounts, also):
                    row = self.ledger.setdefault(path, dict(also))
                    for name, amount in amounts.items():
                        row[name] = row.get(name, 0) + amount
                case _:
                    raise AssertionError(write)
        return settled

    def begin(self) -> int:
        """The next attempt, as the pump and a worker begin one."""
        number: int = self.request.data["attempt_count"] + 1
        release = self.request.data["release"] + 1
        self.change(self.request, status="rendering", attempt_count=number, release=release, wake_at=None)
        record = request_in(self.request).record
        opened = open_attempt(record, number, holder="boot-1", key_kind="auth", owner="local", now=NOW)
        path = request_record.attempt_path(self.request.id, number)
        self.documents[path] = Document(path, opened.to_json(), "version-1", NOW)
        return number

    def sum(self, name: str) -> int:
        return sum(int(row.get(name, 0)) for row in self.ledger.values())


def books(**request: Any) -> Books:
    return Books(*an_attempt(a_request(**request)))


CRASH = a_failure(FailureKind.CRASHED)
COUNTS = [name for name in RequestRecord.__struct_fields__ if name.endswith("_count")]


# -- the current attempt ----------------------------------------------------------------------------------------------


def test_a_success_is_one_final_status_one_image_one_cost_and_one_announcement() -> None:
    world = books()
    assert world.settle(a_delivered()).effect == "final"
    request, attempt = world.request.data, world.attempt().data
    assert (request["status"], request["outcome"]["code"], request["announce"]) == ("succeeded", "succeeded", "pending")
    assert (request["cost_micros"], request["cost_basis"], request["cost_unknown_attempts"]) == (
        IMAGE_COST,
        "metered",
        0,
    )
    assert (request["image_uri"], request["finished_at"]) == ("file:///images/1.jpg", LATER)
    assert request["expire_at"] == LATER + timedelta(days=30)
    assert (request["lease_holder"], request["lease_until"]) == (None, None)
    assert (attempt["outcome"]["code"], attempt["http_status"]) == ("succeeded", 200)
    assert attempt["image_uri"] == request["image_uri"]
    assert (attempt["cost_micros"], attempt["cost_basis"], attempt["latency_ms"]) == (IMAGE_COST, "metered", 20_000)
    assert attempt["cost_parts"] == {"input": 33, "thinking": 1_575, "image": 33_600}
    assert (attempt["model"], attempt["provider_request_id"]) == ("gemini-nano-banana-2.1", "v1_x")
    assert attempt["ended_at"] == LATER
    assert attempt["usage"]["image_out"] == 1120


def test_the_ledger_of_the_day_is_raised_by_the_same_cost_and_says_what_for() -> None:
    world = books(tenant="web")
    world.settle(a_delivered(), shard=SHARDS + 3)
    [(path, row)] = world.ledger.items()
    assert path.startswith("ledger/2026-11-22_web_")
    assert path.endswith("_3")
    assert row == {
        "attempts": 1,
        "attempts_first": 1,
        "images": 1,
        "cost_micros": IMAGE_COST,
        "micros_first": IMAGE_COST,
        "micros_input": 33,
        "micros_thinking": 1_575,
        "micros_image": 33_600,
        "unknown_attempts": 0,
        "name": path.removeprefix("ledger/"),
        "day": "2026-11-22",
        "tenant": "web",
        "model": "gemini-nano-banana-2.1",
        "lane": "standard",
        "flag": "",
        "model_9": 1,
        "wait_0": 1,
        "updated_at": LATER,
    }


@pytest.mark.parametrize("kind", list(FailureKind))
def test_each_failure_of_the_current_attempt_ends_or_requeues_its_request(kind: FailureKind) -> None:
    world = books()
    effect = world.settle(a_failure(kind, "said no", code="a_word", http_status=418, provider_request_id="id-1")).effect
    request, attempt = world.request.data, world.attempt().data
    rule = RULES[kind]
    assert effect == ("final" if rule.next in ("end", "elsewhere") else "queued")
    if effect == "final":
        ends = {FailureKind.REFUSED: "refused", FailureKind.CANCELLED: "cancelled"}
        assert request["status"] == ends.get(kind, "failed")
        assert request["outcome"] == {"code": kind.value, "message": "a_word: said no", "advice": rule.advice}
        assert request["announce"] == "pending"
    else:
        assert (request["status"], request["announce"]) == ("queued", None)
        at_once = kind in (FailureKind.LATE, FailureKind.BACKGROUND_REFUSED)
        assert at_once or request["wake_at"] > LATER
        assert (request["slot_at"], request["lease_holder"]) == (None, None)
    assert attempt["outcome"]["code"] == kind.value
    assert (attempt["http_status"], attempt["provider_request_id"], attempt["image_uri"]) == (418, "id-1", None)
    assert request["failure_count"] == int(rule.next == "again")
    is_over = kind in (FailureKind.NOT_FINISHED, FailureKind.CANCELLED)  # nothing goes on at the provider
    assert request["ambiguous_count"] == int(rule.ambiguous and not is_over)
    assert request["no_image_count"] == int(kind in (FailureKind.NO_IMAGE, FailureKind.MALFORMED_ANSWER))
    assert request["crash_count"] == int(kind is FailureKind.CRASHED)


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_cost_that_nobody_stated_is_unknown_and_not_zero(kind: FailureKind) -> None:
    world = books()
    world.settle(a_failure(kind))
    request, attempt = world.request.data, world.attempt().data
    unknown = RULES[kind].charge == "unknown" and kind is not FailureKind.IMAGE_STORE
    assert (attempt["cost_basis"] == "unknown") == unknown
    assert (request["cost_basis"] == "unknown") == unknown
    assert request["cost_unknown_attempts"] == world.sum("unknown_attempts") == int(unknown)
    reserved = request["estimate_micros"] if unknown and RULES[kind].ambiguous else 0
    assert request["unknown_estimate_micros"] == reserved


def test_a_sum_of_nothing_beside_an_unknown_cost_stays_unknown() -> None:
    world = books()
    world.settle(a_failure(FailureKind.TIMEOUT))
    world.begin()
    world.settle(a_failure(FailureKind.CREDENTIAL), 2)
    assert world.attempt(2).data["cost_basis"] == "listed"
    assert (world.request.data["cost_micros"], world.request.data["cost_basis"]) == (0, "unknown")
    assert world.request.data["cost_unknown_attempts"] == 1


def test_beside_a_known_cost_an_unknown_one_is_counted_apart() -> None:
    world = books()
    world.settle(a_failure(FailureKind.TIMEOUT))
    world.begin()
    world.settle(a_delivered(), 2)
    request = world.request.data
    assert (request["cost_micros"], request["cost_basis"], request["cost_unknown_attempts"]) == (
        IMAGE_COST,
        "metered",
        1,
    )


def test_a_sum_is_listed_as_soon_as_a_part_of_it_is() -> None:
    world = books()
    world.settle(a_failure(FailureKind.NO_IMAGE, usage=Usage(text_out=100), model="gemini-nano-banana-2.1"))
    assert world.request.data["cost_basis"] == "metered"
    world.begin()
    world.settle(a_delivered(usage=None), 2)
    assert (world.request.data["cost_micros"], world.request.data["cost_basis"]) == (750 + 33_600, "listed")


def test_a_refusal_that_carries_usage_is_charged() -> None:
    world = books()
    refusal = a_failure(FailureKind.REFUSED, usage=Usage(text_in=22, thought=210), model="gemini-nano-banana-2.1")
    assert world.settle(refusal).effect == "final"
    assert (world.request.data["status"], world.request.data["cost_micros"]) == ("refused", 33 + 1_575)
    assert world.request.data["cost_basis"] == "metered"


def test_a_usage_that_counted_nothing_is_no_statement_of_the_bill() -> None:
    world = books()
    world.settle(a_failure(FailureKind.REFUSED, usage=Usage()))
    assert world.request.data["cost_basis"] == "unknown"
    world = books()
    world.settle(a_failure(FailureKind.INVALID_REQUEST, usage=Usage()))
    assert world.request.data["cost_basis"] == "listed"


def test_an_image_that_could_not_be_stored_is_paid_for() -> None:
    for usage, cost, basis in ((a_usage(), IMAGE_COST, "metered"), (None, 50_400, "listed")):
        world = books(image_size="2K")
        lost = a_failure(FailureKind.IMAGE_STORE, usage=usage, model="gemini-nano-banana-2.1", lane="standard")
        assert world.settle(lost).effect == "final"
        assert world.request.data["status"] == "failed"
        assert (world.request.data["cost_micros"], world.request.data["cost_basis"]) == (cost, basis)


def test_a_daily_quota_is_asked_again_ever_more_seldom_whatever_the_server_hints() -> None:
    """Where others speak as well, a conclusion holds the queue; a lone request must not ask each minute of a day."""
    for hint in (None, timedelta(milliseconds=856), timedelta(days=3)):
        world = books()
        world.settle(a_failure(FailureKind.QUOTA_DAY, retry_after=hint), jitter=0.5)
        assert world.request.data["wake_at"] == LATER + QUOTA_BACKOFF / 2


def test_a_quota_of_a_minute_sleeps_as_long_as_the_server_hints() -> None:
    world = books()
    world.settle(a_failure(FailureKind.QUOTA_MINUTE, retry_after=timedelta(seconds=31)), jitter=0.0)
    assert world.request.data["wake_at"] == LATER + timedelta(seconds=31)
    assert world.request.data["reason"] == "quota: quota_minute"


def test_what_may_have_been_billed_is_held_against_the_cost_cap() -> None:
    estimate = a_planned().estimate_micros
    for cap, effect in ((2 * estimate, "queued"), (2 * estimate - 1, "final")):
        world = books(max_cost_usd=f"{cap / 1_000_000:.6f}")
        assert world.settle(a_failure(FailureKind.TIMEOUT)).effect == effect
    assert world.request.data["outcome"]["code"] == "cost_cap"


def test_what_was_spent_is_held_against_the_cost_cap() -> None:
    estimate = a_planned().estimate_micros
    for cap, effect in ((estimate + 750, "queued"), (estimate + 749, "final")):
        world = books(max_cost_usd=f"{cap / 1_000_000:.6f}")
        no_image = a_failure(FailureKind.NO_IMAGE, usage=Usage(text_out=100), model="gemini-nano-banana-2.1")
        assert world.settle(no_image).effect == effect


def a_page(**more: Any) -> Failure:
    """A proxy's page: nobody's statement of the bill."""
    return a_failure(FailureKind.SERVER_ERROR, http_status=502, may_be_billed=True, **more)


def test_a_proxys_page_is_unknown_and_held_though_the_kind_is_not_charged() -> None:
    estimate = a_planned().estimate_micros
    world = books(max_cost_usd=f"{(2 * estimate - 1) / 1_000_000:.6f}")
    assert world.settle(a_page()).effect == "final"
    request = world.request.data
    assert (request["outcome"]["code"], request["cost_basis"]) == ("cost_cap", "unknown")
    assert (request["unknown_estimate_micros"], request["cost_unknown_attempts"]) == (estimate, 1)


@pytest.mark.parametrize("ending", [a_page(), a_failure(FailureKind.TIMEOUT, http_status=524)])
@pytest.mark.parametrize("probe", [False, True])
def test_what_was_probably_paid_is_bounded_as_a_probe_too(ending: Failure, *, probe: bool) -> None:
    world, effects = books(), ["queued"]
    for number in range(1, 10):
        if number > 1:
            world.begin()
        world.change(world.attempt(number), probe=probe)
        effects.append(world.settle(ending, number).effect)
        if effects[-1] == "final":
            break
    assert len(effects) - 1 == MAX_AMBIGUOUS_REPEATS + 1


def test_a_free_probe_outlives_a_long_outage_and_not_an_endless_one() -> None:
    world, made = books(), 0
    effect = "queued"
    while effect == "queued":
        made += 1
        if made > 1:
            world.begin()
        world.change(world.attempt(made), probe=True)
        effect = world.settle(a_failure(FailureKind.SERVER_ERROR, http_status=500), made).effect
    assert made == MAX_PROBES
    assert world.request.data["failure_count"] == 0


@pytest.mark.parametrize(("explicit", "status"), [(False, "failed"), (True, "queued")])
def test_a_denial_that_names_the_project_ends_no_request_and_a_bare_one_the_third_time(
    *, explicit: bool, status: str
) -> None:
    world = books()
    for number in range(1, MAX_DENIED + 1):
        if number > 1:
            world.begin()
        world.settle(a_failure(FailureKind.PERMISSION, http_status=403, explicit=explicit), number)
    assert world.request.data["status"] == status


def test_five_crashes_are_the_end() -> None:
    world = books(max_cost_usd="5")
    effects = [world.settle(CRASH).effect]
    while effects[-1] == "queued":
        effects.append(world.settle(CRASH, world.begin()).effect)
    assert effects == ["queued"] * (MAX_FAILURES - 1) + ["final"]
    assert world.request.data["cost_unknown_attempts"] == MAX_FAILURES


# -- late, twice, out of order ----------------------------------------------------------------------------------------


def test_an_attempt_that_is_settled_twice_is_booked_once() -> None:
    for first in (a_delivered(), a_failure(FailureKind.OVERLOAD), a_failure(FailureKind.REFUSED)):
        for second in (a_delivered(), a_failure(FailureKind.OVERLOAD), CRASH):
            world = books()
            world.settle(first)
            before = dict(world.documents)
            assert isinstance(world.settle_again(second), SettledBefore)
            assert world.documents == before
            assert world.sum("attempts") == 1


def test_a_crash_that_is_found_twice_is_booked_once() -> None:
    world = books()
    world.settle(CRASH)
    assert isinstance(world.settle_again(CRASH), SettledBefore)
    assert world.request.data["cost_unknown_attempts"] == 1


def test_an_image_that_comes_after_its_attempt_was_given_up_undoes_the_unknown_cost() -> None:
    world = books()
    assert world.settle(CRASH).effect == "queued"
    assert world.settle(a_delivered()).effect == "final"
    request = world.request.data
    assert (request["status"], request["wake_at"], request["announce"]) == ("succeeded", None, "pending")
    assert (request["cost_micros"], request["cost_basis"]) == (IMAGE_COST, "metered")
    assert (request["cost_unknown_attempts"], request["unknown_estimate_micros"]) == (0, 0)
    assert (world.sum("attempts"), world.sum("images"), world.sum("unknown_attempts")) == (1, 1, 0)
    assert world.attempt().data["outcome"]["code"] == "succeeded"


def test_a_failure_that_comes_after_its_attempt_was_given_up_says_what_it_was_and_changes_no_status() -> None:
    world = books()
    world.settle(CRASH)
    counts = {name: world.request.data[name] for name in COUNTS}
    assert world.settle(a_failure(FailureKind.CONNECTION)).effect == "booked"
    request = world.request.data
    assert (request["status"], {name: request[name] for name in COUNTS}) == ("queued", counts)
    assert (request["cost_unknown_attempts"], request["unknown_estimate_micros"]) == (0, 0)
    assert world.attempt().data["outcome"]["code"] == "connection"


def test_a_failure_of_an_earlier_attempt_leaves_the_one_that_is_running_alone() -> None:
    for late in (a_failure(FailureKind.REFUSED), a_failure(FailureKind.OVERLOAD), a_failure(FailureKind.QUOTA_DAY)):
        world = books()
        world.settle(CRASH)
        world.begin()
        before = dict(world.request.data)
        assert world.settle(late, 1).effect == "booked"
        assert world.request.data["status"] == "rendering"
        assert {name: world.request.data[name] for name in COUNTS} == {name: before[name] for name in COUNTS}
        assert world.settle(a_delivered(), 2).effect == "final"


def test_an_image_of_an_earlier_attempt_ends_the_request_and_the_next_one_is_a_duplicate() -> None:
    world = books()
    world.settle(CRASH)
    world.begin()
    assert world.settle(a_delivered(), 1).effect == "final"
    second = a_delivered(image_uri="file:///images/2.jpg", model="gemini-3-pro-image")
    assert world.settle(second, 2).effect == "booked"
    request, attempt = world.request.data, world.attempt(2).data
    assert (request["status"], request["image_uri"]) == ("succeeded", "file:///images/1.jpg")
    assert request["receipt"]["delivered"]["model"] == "gemini-nano-banana-2.1"
    assert attempt["outcome"]["code"] == "duplicate"
    assert attempt["image_uri"] == "file:///images/2.jpg"
    assert request["cost_micros"] == IMAGE_COST + attempt["cost_micros"]
    assert world.sum("images") == 2


@pytest.mark.parametrize("status", FINAL)
def test_an_image_that_comes_after_the_end_is_booked_as_a_duplicate_whatever_the_end(status: str) -> None:
    world = books()
    world.change(world.request, status=status, outcome={"code": "x", "message": "", "advice": ""}, announce=None)
    before = dict(world.request.data)
    assert world.settle(a_delivered()).effect == "booked"
    changed = {name for name, value in world.request.data.items() if value != before[name]}
    assert changed == {"cost_micros", "cost_basis", "updated_at"}
    assert world.request.data["cost_micros"] == IMAGE_COST
    assert world.attempt().data["outcome"]["code"] == "duplicate"


@pytest.mark.parametrize("status", FINAL)
def test_a_failure_that_comes_after_the_end_books_its_cost_and_nothing_else(status: str) -> None:
    world = books()
    world.change(world.request, status=status, announce=None)
    before = dict(world.request.data)
    assert world.settle(a_failure(FailureKind.REFUSED, usage=Usage(thought=100))).effect == "booked"
    changed = {name for name, value in world.request.data.items() if value != before[name]}
    assert changed == {"cost_micros", "cost_basis", "updated_at"}


def test_an_image_that_comes_while_the_request_is_released_again_ends_it() -> None:
    world = books()
    world.settle(CRASH)
    world.change(world.request, status="released", release=2, slot_at=LATER)
    assert world.settle(a_delivered()).effect == "final"
    assert world.request.data["status"] == "succeeded"


def test_a_catalogue_that_has_lost_the_model_since_keeps_nobody_from_settling() -> None:
    world = books(model="nano-banana-2.1")
    catalogue = replace(a_catalogue(), models={})
    settled = settle(
        request_in(world.request), attempt_in(world.attempt()), a_delivered(), catalogue, now=LATER, latency_ms=1,
        jitter=0.0, shard=0,
    )  # fmt: skip
    assert isinstance(settled, Settlement)
    assert settled.effect == "final"
    changes = settled.writes()[0]
    assert isinstance(changes, Update)
    assert changes.changes["cost_basis"] == "unknown"
    assert changes.changes["receipt"]["requested"]["model"] == "gemini-nano-banana-2.1"


# -- the receipt ------------------------------------------------------------------------------------------------------


FREE = Cost(0, "metered", {})


def stored_receipt(request: Request, attempt: Attempt, delivered: Delivered) -> dict[str, Any]:
    differing = mismatches(request.record.ask, attempt.record.route, delivered, a_catalogue())
    stored: dict[str, Any] = stored_value(receipt(request.record, attempt.record, delivered, FREE, differing))
    return stored


def receipt_of(delivered: Delivered, **fields: Any) -> dict[str, Any]:
    request, attempt = an_attempt(a_request(**({"model": "nano-banana-2.1"} | fields)))
    return stored_receipt(request, attempt, delivered)


def test_a_receipt_without_a_difference_has_no_reasons() -> None:
    assert receipt_of(a_delivered(), model="nano-banana-2.1") == {
        "requested": {
            "model": "gemini-nano-banana-2.1",
            "image_size": "1K",
            "lane": "standard",
            "thinking": None,
            "output_format": None,
        },
        "delivered": {
            "model": "gemini-nano-banana-2.1",
            "image_size": "1K",
            "lane": "standard",
            "width": 1024,
            "height": 1024,
            "image_tokens": 1120,
            "output_format": None,
            "thinking": "medium",
            "thought_tokens": a_usage().thought,
        },
        "mismatches": [],
        "cost_micros": 0,
        "cost_basis": "metered",
        "estimate_micros": 48_611,
        "flags": [],
        "reasons": [],
    }


@pytest.mark.parametrize(
    ("delivered", "fields", "reason"),
    [
        ({}, {"image_size": "4K"}, "size 4K was ordered; 1024x1024 came, which is 1K"),
        ({"model": "gemini-3-pro-image"}, {}, "model gemini-nano-banana-2.1 was ordered; gemini-3-pro-image served"),
        ({"lane": "flex"}, {}, "lane standard was ordered; flex served"),
        (
            {"model": "gemini-3-pro-image"},
            {"model": "gemini-3-pro-image-preview"},
            "model gemini-3-pro-image-preview is retired: its successor gemini-3-pro-image",
        ),
        ({}, {"image_size": "512"}, "size 512 is not made by gemini-nano-banana-2.1: one size up, 1K"),
    ],
)
def test_a_receipt_names_each_difference_between_asked_ordered_and_delivered(
    delivered: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    receipt = receipt_of(a_delivered(**delivered), **fields)
    assert receipt["reasons"][0] == reason
    ordered_otherwise = "was ordered" in reason
    assert bool(receipt["mismatches"]) == ordered_otherwise


def test_a_receipt_names_the_model_that_was_asked_for_and_not_its_successor() -> None:
    assert receipt_of(a_delivered(), model="nano-banana-2")["requested"]["model"] == "gemini-3.1-flash-image"
    assert receipt_of(a_delivered(), model="nano-banana-pro")["requested"]["model"] == "gemini-3-pro-image"
    request, attempt = an_attempt(a_request(purpose="draft"))
    receipt = stored_receipt(request, attempt, a_delivered())
    assert receipt["requested"]["model"] == "gemini-3.1-flash-lite-image"


def test_the_providers_prefix_of_a_model_is_no_difference() -> None:
    receipt = receipt_of(a_delivered(model="models/gemini-nano-banana-2.1"))
    assert receipt["reasons"] == []
    assert receipt["delivered"]["model"] == "gemini-nano-banana-2.1"


@pytest.mark.parametrize(
    ("pixels", "size"),
    [
        ((512, 512), "512"),
        ((1024, 1024), "1K"),
        ((1376, 768), "1K"),
        ((3072, 384), "1K"),
        ((2048, 2048), "2K"),
        ((2752, 1536), "2K"),
        ((4096, 4096), "4K"),
        ((5504, 3072), "4K"),
        ((1, 1), "512"),
        ((0, 0), "512"),
        ((20_000, 20_000), "4K"),
    ],
)
def test_the_size_of_a_picture_is_the_one_of_the_nearest_area(pixels: tuple[int, int], size: str) -> None:
    assert size_of_pixels(*pixels) == size


@given(
    st.none() | st.builds(Usage, *[st.integers(0, 10**6)] * 6),
    st.integers(1, 10**4),
    st.integers(1, 10**4),
    st.sampled_from(["gemini-3-pro-image", "models/x"]),
    st.text(max_size=20),
)
def test_a_stored_image_carries_all_that_settling_it_needs(
    usage: Usage | None, width: int, height: int, model: str, provider_id: str
) -> None:
    picture = Picture(b"", "image/png", width, height)
    delivered = Delivered.of(Made(picture, usage, model, "flex", provider_id), "gs://b/1.png")
    assert Delivered.from_facts("gs://b/1.png", delivered.to_facts()) == delivered
    assert all(isinstance(fact, str) for fact in delivered.to_facts().values())


def test_a_crash_with_a_usage_cannot_be_said() -> None:
    """The worker is gone: it is booked as unknown, and a late answer undoes just that."""
    with pytest.raises(ValueError, match="no usage"):
        a_failure(FailureKind.CRASHED, usage=Usage(text_in=1))
    with pytest.raises(ValueError, match="no usage"):
        replace(a_failure(FailureKind.REFUSED, usage=Usage()), kind=FailureKind.CRASHED)


# -- what a provider says that no store takes -------------------------------------------------------------------------

HOSTILE = "x" * 1_500_000, "a\x1b[31mb\u202e", "\ud800", "a/../b", "__x__", "line\nline"


@pytest.mark.parametrize("text", HOSTILE, ids=["long", "escapes", "half a character", "path", "reserved", "lines"])
@pytest.mark.parametrize("field", ["model", "lane", "provider_request_id"])
@pytest.mark.parametrize("made", [True, False], ids=["image", "failure"])
def test_whatever_an_answer_says_of_itself_it_is_settled_in_writes_that_every_store_takes(
    made: bool, field: str, text: str
) -> None:
    world = books()
    ending = a_delivered() if made else a_failure(FailureKind.REFUSED, usage=Usage(text_in=1))
    settled = world.settle(replace(ending, **{field: text}))
    check_writes(settled.writes())
    assert max(len(json.dumps(write.changes, default=str)) for write in settled.writes()[:2]) < 20_000  # type: ignore[union-attr]
    assert world.request.data["status"] == ("succeeded" if made else "refused")
    kept = world.attempts[0].data
    assert all(
        item is None or (len(item) <= 128 and item.isprintable())
        for item in (kept["model"], kept["provider_request_id"])
    )


@pytest.mark.parametrize("count", [-1, 2**63, 10**30, 10**9])
@pytest.mark.parametrize("field", Usage.__struct_fields__)
def test_counts_that_cannot_be_true_are_no_usage_and_the_image_is_kept_at_its_listed_price(
    field: str, count: int
) -> None:
    world = books()
    settled = world.settle(a_delivered(usage=a_usage(**{field: count})))
    check_writes(settled.writes())
    assert world.request.data["status"] == "succeeded"
    assert world.request.data["cost_basis"] == "listed"
    assert world.attempts[0].data["usage"] is None


# -- any order of endings ---------------------------------------------------------------------------------------------

usages = st.none() | st.builds(
    Usage,
    text_in=st.integers(0, 3_000),
    text_out=st.integers(0, 3_000),
    image_out=st.sampled_from([0, 747, 1120, 2000]),
    thought=st.integers(0, 3_000),
    grounding_searches=st.integers(0, 2),
)
served = st.sampled_from(
    ["gemini-nano-banana-2.1", "gemini-3-pro-image", "gemini-3.1-flash-image", "gemini-9", "models/gemini-3-pro-image"]
)
lanes = st.sampled_from(["standard", "flex", "priority", "gateway"])
endings: st.SearchStrategy[Ending] = st.one_of(
    st.builds(
        lambda usage, model, lane, side: a_delivered(usage=usage, model=model, lane=lane, width=side, height=side),
        usages, served, lanes, st.sampled_from([512, 1024, 4096]),
    ),
    st.builds(
        lambda kind, usage, model, lane: Failure(kind, "no", usage=usage, model=model, lane=lane),
        st.sampled_from(sorted(set(FailureKind) - {FailureKind.CRASHED})),
        usages, served | st.just(""), lanes | st.just(""),
    ),
    st.just(CRASH),
)  # fmt: skip
stories = st.lists(st.tuples(st.booleans(), st.integers(0, 30), endings, st.integers(0, 20)), min_size=1, max_size=14)


@settings(max_examples=300)
@given(stories, st.none() | st.integers(50_000, 500_000), st.booleans())
def test_attempts_request_and_ledger_hold_the_same_sum_after_any_order_of_endings(
    story: list[tuple[bool, int, Ending, int]], cap: int | None, cancelled: bool
) -> None:
    """Attempts end late, twice, out of order and after their request; each is settled for good in the end."""
    world = books(**({"max_cost_usd": f"{cap / 1_000_000:.6f}"} if cap else {}))
    finals = 0
    for begins, which, ending, shard in story:
        if begins and world.request.data["status"] == "queued":
            world.begin()
        number = 1 + which % len(world.attempts)
        was_final = world.request.data["status"] in FINAL
        cost_before = world.request.data["cost_micros"]
        settled = world.settle_again(ending, number, shard=shard)
        is_final = isinstance(settled, Settlement) and settled.effect == "final"
        finals += is_final
        assert not (is_final and was_final)
        assert world.request.data["cost_micros"] >= cost_before
        if cancelled and which == 7 and world.request.data["status"] == "queued":
            world.change(world.request, status="cancelled")
    request, closed = world.request.data, [attempt.data for attempt in world.attempts if attempt.data["outcome"]]
    assert finals <= 1
    assert request["cost_micros"] == sum(item["cost_micros"] for item in closed) == world.sum("cost_micros")
    unknown = [item for item in closed if item["cost_basis"] == "unknown"]
    assert request["cost_unknown_attempts"] == len(unknown) == world.sum("unknown_attempts")
    assert world.sum("attempts") == len(closed)
    images = [item for item in closed if item["image_uri"]]
    assert world.sum("images") == len(images)
    ambiguous = [item for item in unknown if item["outcome"]["code"] in AMBIGUOUS]
    assert request["unknown_estimate_micros"] == sum(item["estimate_micros"] for item in ambiguous)
    assert (request["status"] == "succeeded") == (sum(item["outcome"]["code"] == "succeeded" for item in closed) == 1)
    if closed:
        bases = {item["cost_basis"] for item in closed if item["cost_micros"]}
        expected = "listed" if "listed" in bases else "metered" if bases else None
        assert request["cost_basis"] == (expected or ("unknown" if unknown else request["cost_basis"]))
    assert all(item["ended_at"] == LATER for item in closed)


AMBIGUOUS = {kind.value for kind in FailureKind if RULES[kind].ambiguous}


@pytest.mark.parametrize("kind", [FailureKind.PERMISSION, FailureKind.CREDENTIAL, FailureKind.BALANCE])
@pytest.mark.parametrize("is_own", [True, False])
def test_a_plain_denial_counts_only_where_others_are_served(kind: FailureKind, *, is_own: bool) -> None:
    before, attempt = an_attempt()
    request = with_record(before, replace(before.record, denied_count=MAX_DENIED - 1))
    settled = settle(
        request, attempt, a_statement(kind), a_catalogue(), now=LATER, latency_ms=1, jitter=0.5, shard=3,
        is_own=is_own,
    )  # fmt: skip
    assert isinstance(settled, Settlement)
    assert settled.effect == ("final" if is_own else "queued")
    update = settled.writes()[0]
    assert isinstance(update, Update)
    if is_own:
        assert "Other requests are served" in update.changes["outcome"]["message"]
    else:
        assert list(update.changes["denied_at"]) == [f"{kind.value}:{attempt.record.route.model}"]
