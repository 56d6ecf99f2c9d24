"""Each promise is broken by what breaks it, and by nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scripts.drills import holds
from scripts.drills.scene import Hold
from scripts.drills.traffic import NB21
from tests.drills.builders import IMAGE_COSTS, a_call, a_trip, an_end, at, played


def test_nothing_is_wrong_with_one_image_for_one_request() -> None:
    kept = [
        holds.everybody_has_an_image(), holds.one_image_each(), holds.booked_as_charged(), holds.nothing_wasted(),
        holds.failing_calls_at_most(0), holds.no_breaker(), holds.no_downgrade_unexplained(),
    ]  # fmt: skip
    assert played([an_end()], [a_call()], holds=kept).problems() == []


def test_what_is_charged_beyond_the_image_that_was_used_is_wasted() -> None:
    timed_out = a_call(seconds=0, client_disconnected=True)
    found = played([an_end()], [timed_out, a_call(seconds=3)])
    assert found.wasted_micros == IMAGE_COSTS
    assert played([an_end(status="failed")], [a_call()]).wasted_micros == IMAGE_COSTS


@pytest.mark.parametrize(
    ("hold", "requests", "calls"),
    [
        (holds.everybody_has_an_image(), [an_end(status="failed")], []),
        (holds.some_end_as("expired"), [an_end()], []),
        (holds.one_image_each(), [an_end()], [a_call(), a_call()]),
        (holds.booked_as_charged(), [an_end(cost_micros=1)], [a_call()]),
        (holds.nothing_wasted(), [an_end()], [a_call(), a_call()]),
        (holds.failing_calls_at_most(0), [an_end()], [a_call(outcome="hang")]),
        (holds.the_failure_is_met(), [an_end()], [a_call()]),
        (holds.each_asks_at_most(1, "hang"), [an_end()], [a_call(outcome="hang"), a_call(outcome="hang")]),
        (holds.the_route_is_left_within(6), [], [a_call(outcome="gone"), a_call(seconds=7, outcome="gone")]),
        (holds.refused_are_asked_once(), [an_end(status="refused")], [a_call(), a_call()]),
        (holds.only_refusals_are_refused(), [an_end(status="refused")], []),
        (holds.no_downgrade_unexplained(), [an_end(model=NB21)], []),
        (holds.escalated("credential"), [], []),
        (holds.warned_of_a_lack(), [], []),
    ],
)
def test_a_broken_promise_is_told(hold: Hold, requests: list, calls: list) -> None:  # type: ignore[type-arg]
    (problem,) = played(requests, calls, holds=[hold]).problems()
    assert problem


def test_a_call_before_the_hint_is_early_and_one_after_it_is_not() -> None:
    hold = holds.nobody_before_the_hint(6)
    rejected = a_call(outcome="rate_limit_exceeded", status=429)
    assert played([an_end()], [rejected, a_call(seconds=5)], holds=[hold]).problems()
    assert not played([an_end()], [rejected, a_call(seconds=6.1)], holds=[hold]).problems()
    assert not played([an_end()], [rejected, a_call(seconds=5, model=NB21)], holds=[hold]).problems()


def test_probes_each_fifteen_seconds_are_four_a_minute_and_each_ten_seconds_are_not() -> None:
    hold = holds.four_primary_calls_a_minute()
    probes = [a_call(seconds=each, outcome="service_unavailable") for each in (16, 31, 46, 61)]
    hasty = [a_call(seconds=each, outcome="service_unavailable") for each in range(10, 60, 10)]
    assert played([], probes, [a_trip(1)], [hold], lasts=62).problems() == []
    assert played([], hasty, [a_trip(1)], [hold], lasts=62).problems()
    assert played([], [], [], [hold]).problems() == ["the breaker never tripped"]


def test_calls_that_were_released_before_the_trip_are_not_counted_against_it() -> None:
    early = [a_call(seconds=each, outcome="service_unavailable") for each in (1, 1.5, 2, 2.5, 3, 3.5)]
    assert played([], early, [a_trip(1)], [holds.four_primary_calls_a_minute()]).problems() == []


def test_back_means_that_the_breaker_has_reset_and_the_primary_makes_images() -> None:
    hold = holds.back_on_the_primary()
    image = a_call(seconds=70)
    both = [a_trip(1), a_trip(75, "reset")]
    assert played([], [image], both, [hold]).problems() == []
    assert played([], [image], [a_trip(1)], [hold]).problems() == ["the breaker has not reset"]
    assert played([], [], both, [hold]).problems()
    assert played([], [image]).back_after() == 10.0


def test_a_call_after_the_deadline_is_too_late_and_so_is_any_call_of_what_expired() -> None:
    hold = holds.nobody_begins_after_the_deadline()
    due = replace(an_end(), fields={"deadline": at(8).isoformat()})
    assert played([due], [a_call(seconds=7)], holds=[hold]).problems() == []
    assert played([due], [a_call(seconds=10)], holds=[hold]).problems()
    assert played([replace(due, status="expired")], [a_call(seconds=1)], holds=[hold]).problems()


def test_a_request_with_a_deadline_must_have_its_image_and_one_without_may_wait() -> None:
    waiting = an_end(status="queued")
    due = replace(waiting, fields={"deadline": at(60).isoformat()})
    assert played([waiting], holds=[holds.due_ones_have_images()]).problems() == []
    assert played([due], holds=[holds.due_ones_have_images()]).problems()
