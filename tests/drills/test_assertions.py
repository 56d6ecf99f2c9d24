"""Each promise is broken by what breaks it, and by nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from scripts.drills import assertions
from scripts.drills.recording import DrillRecording, EndedRequest
from scripts.drills.scene import DrillScene, Hold
from scripts.drills.traffic import NB21, PRO
from scripts.simulator.provider.bill import RecordedCall
from tests.drills.builders import IMAGE_COSTS, a_call, a_trip, an_end, at, played


def test_nothing_is_wrong_with_one_image_for_one_request() -> None:
    kept = [
        assertions.everybody_has_an_image(), assertions.one_image_each(), assertions.booked_as_charged(),
        assertions.nothing_wasted(),
        assertions.failing_calls_at_most(0), assertions.no_breaker(), assertions.no_downgrade_unexplained(),
    ]  # fmt: skip
    assert played([an_end()], [a_call()], holds=kept).problems() == []


def test_what_is_charged_beyond_the_image_that_was_used_is_wasted() -> None:
    timed_out = a_call(seconds=0, client_disconnected=True)
    recording = played([an_end()], [timed_out, a_call(seconds=3)])
    assert recording.wasted_micros == IMAGE_COSTS
    assert played([an_end(status="failed")], [a_call()]).wasted_micros == IMAGE_COSTS


@pytest.mark.parametrize(
    ("hold", "requests", "calls"),
    [
        (assertions.everybody_has_an_image(), [an_end(status="failed")], []),
        (assertions.some_end_as("expired"), [an_end()], []),
        (assertions.one_image_each(), [an_end()], [a_call(), a_call()]),
        (assertions.booked_as_charged(), [an_end(cost_micros=1)], [a_call()]),
        (assertions.nothing_wasted(), [an_end()], [a_call(), a_call()]),
        (assertions.failing_calls_at_most(0), [an_end()], [a_call(outcome="hang")]),
        (assertions.the_failure_is_met(), [an_end()], [a_call()]),
        (assertions.each_asks_at_most(1, "hang"), [an_end()], [a_call(outcome="hang"), a_call(outcome="hang")]),
        (
            assertions.the_route_is_left_within(6),
            [],
            [a_call(outcome="gone"), *[a_call(seconds=7, outcome="gone")] * 6],
        ),
        (assertions.refused_are_asked_once(), [an_end(status="refused")], [a_call(), a_call()]),
        (assertions.only_refusals_are_refused(), [an_end(status="refused")], []),
        (assertions.no_downgrade_unexplained(), [an_end(model=NB21)], []),
        (assertions.escalated("credential"), [], []),
        (assertions.warned_of_a_lack(), [], []),
        (assertions.every_kind_came("wrong_size"), [], [a_call()]),
        (assertions.the_ledger_is_the_bill(), [], [a_call()]),
        (
            assertions.what_came_otherwise_is_flagged(),
            [an_end(announced=())],
            [a_call(outcome="wrong_size", charged=True)],
        ),
        (
            assertions.what_came_otherwise_is_flagged(),
            [an_end(mismatches=("model",), announced=("model",), reasons=("x",))],
            [a_call()],
        ),
        (assertions.what_came_otherwise_is_flagged(), [an_end()], [a_call()]),
        (assertions.the_gateway_is_closed_by_name(), [], []),
    ],
)
def test_a_broken_promise_is_told(hold: Hold, requests: list, calls: list) -> None:  # type: ignore[type-arg]
    (problem,) = played(requests, calls, holds=[hold]).problems()
    assert problem


def test_a_call_before_the_hint_is_early_and_one_after_it_is_not() -> None:
    hold = assertions.nobody_before_the_hint(6)
    rejected = a_call(outcome="rate_limit_exceeded", status=429)
    assert played([an_end()], [rejected, a_call(seconds=5)], holds=[hold]).problems()
    assert not played([an_end()], [rejected, a_call(seconds=6.1)], holds=[hold]).problems()
    assert not played([an_end()], [rejected, a_call(seconds=5, model=NB21)], holds=[hold]).problems()


def test_probes_each_fifteen_seconds_are_four_a_minute_and_each_ten_seconds_are_not() -> None:
    hold = assertions.four_primary_calls_a_minute()
    probes = [a_call(seconds=item, outcome="service_unavailable") for item in (16, 31, 46, 61)]
    hasty = [a_call(seconds=number, outcome="service_unavailable") for number in range(10, 60, 10)]
    assert played([], probes, [a_trip(1)], [hold], lasts=62).problems() == []
    assert played([], hasty, [a_trip(1)], [hold], lasts=62).problems()
    assert played([], [], [], [hold]).problems() == ["the breaker never tripped"]


def test_calls_that_were_released_before_the_trip_are_not_counted_against_it() -> None:
    early = [a_call(seconds=item, outcome="service_unavailable") for item in (1, 1.5, 2, 2.5, 3, 3.5)]
    assert played([], early, [a_trip(1)], [assertions.four_primary_calls_a_minute()]).problems() == []


def test_back_means_that_the_breaker_has_reset_and_the_primary_makes_images() -> None:
    hold = assertions.back_on_the_primary()
    image = a_call(seconds=70)
    both = [a_trip(1), a_trip(75, "reset")]
    assert played([], [image], both, [hold]).problems() == []
    assert played([], [image], [a_trip(1)], [hold]).problems() == ["the breaker has not reset"]
    assert played([], [], both, [hold]).problems()
    assert played([], [image]).back_after() == 10.0


def test_a_call_after_the_deadline_is_too_late_and_so_is_any_call_of_what_expired() -> None:
    hold = assertions.nobody_begins_after_the_deadline()
    due = replace(an_end(), fields={"deadline": at(8).isoformat()})
    assert played([due], [a_call(seconds=7)], holds=[hold]).problems() == []
    assert played([due], [a_call(seconds=10)], holds=[hold]).problems()
    assert played([replace(due, status="expired")], [a_call(seconds=1)], holds=[hold]).problems()


def test_a_request_with_a_deadline_must_have_its_image_and_one_without_may_wait() -> None:
    waiting = an_end(status="queued")
    due = replace(waiting, fields={"deadline": at(60).isoformat()})
    assert played([waiting], holds=[assertions.due_ones_have_images()]).problems() == []
    assert played([due], holds=[assertions.due_ones_have_images()]).problems()


def beside(
    *gateway_calls: RecordedCall, calls: Sequence[RecordedCall] = (), requests: Sequence[EndedRequest] = (), **more: Any
) -> DrillRecording:
    """A scene with a gateway."""
    recording = played(requests, calls, **more)
    return replace(recording, scene=replace(recording.scene, gateway=True), gateway_calls=gateway_calls)


def turned_away(seconds: float = 0.0) -> RecordedCall:
    return a_call(seconds=seconds, outcome="insufficient_user_quota", status=429)


def test_what_came_otherwise_and_is_flagged_with_a_reason_and_announced_is_as_it_should_be() -> None:
    flagged = an_end(mismatches=("image_size",), announced=("image_size",), reasons=("1K came",))
    smaller = a_call(outcome="wrong_size", charged=True, cost_micros=IMAGE_COSTS)
    recording = played(
        [flagged], [smaller], holds=[assertions.what_came_otherwise_is_flagged(), assertions.nothing_wasted()]
    )
    assert recording.problems() == []
    assert (
        replace(recording, booked_micros=IMAGE_COSTS, scene=_with(assertions.the_ledger_is_the_bill())).problems() == []
    )


def _with(hold: Hold) -> DrillScene:
    return played(holds=[hold]).scene


def test_a_gateways_trouble_may_close_and_escalate_what_is_its_own_alone() -> None:
    hold = assertions.google_is_not_blamed()
    closed = {"message": "calendar_closed", "model": f"gateway:{PRO}", "why": "balance"}
    escalation = {"message": "escalation", "what": f"gateway:{PRO}: no balance", "runbook": "no-balance"}
    fine = beside(turned_away(), events=[closed, escalation], holds=[hold, assertions.the_gateway_is_closed_by_name()])
    assert fine.problems() == []
    assert beside(events=[closed | {"model": PRO}], holds=[hold]).problems()
    assert beside(events=[escalation | {"what": f"{PRO}: no balance"}], holds=[hold]).problems()
    assert beside(events=[a_trip(1) | {"flag_id": "breaker-x"}], holds=[hold]).problems()


def test_who_is_turned_away_must_be_asked_for_at_google_soon() -> None:
    hold = assertions.those_turned_away_go_elsewhere_within(8)
    assert beside(turned_away(), calls=[a_call(seconds=5)], holds=[hold]).problems() == []
    assert beside(turned_away(), calls=[a_call(seconds=9)], holds=[hold]).problems()
    assert beside(turned_away(), holds=[hold]).problems()


def test_without_consent_no_call_may_be_at_the_gateway() -> None:
    hold = assertions.only_those_that_consent_leave_google()
    consents = an_end(fields={"prompt": "a lighthouse", "allow": {"gateway": True}})
    assert beside(a_call(), requests=[consents], holds=[hold]).problems() == []
    assert beside(a_call(), requests=[an_end()], holds=[hold]).problems()


def test_the_primary_of_a_scene_with_a_gateway_is_the_gateway() -> None:
    recording = beside(turned_away(1), a_call("r-2", 70), calls=[a_call(seconds=2)], requests=[an_end(), an_end("r-2")])
    assert (len(recording.failing()), len(recording.failed())) == (1, 1)
    assert recording.back_after() == 10.0
    assert recording.wasted_micros == 0
    assert recording.charged_micros == 2 * IMAGE_COSTS
