"""Waiting for an interaction: every sequence of looks comes to an end, and an image is always taken."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.lifecycle.awaiting import (
    LEAST_SPACING,
    LONGEST_SPACING,
    STOPPED_WITHIN,
    UNREAD_FOR,
    UNREADABLE_FOR,
    VISIBLE_WITHIN,
    Awaited,
    Over,
    Stop,
    Wait,
    after_look,
    first_look,
    spacing,
)
from shared.core.provider.call import Made, Picture
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.interaction import Finished, Gone, InProgress, Looked, Unread
from shared.core.records.request import Stopping
from tests.builders import NOW, a_failure, a_usage

TIME_OUT = timedelta(seconds=300)
AWAITED = Awaited(NOW, TIME_OUT)
MADE = Made(Picture(b"x", "image/jpeg", 8, 8), a_usage(), "m", "standard", "v1_a")
CANCELLED = Finished(Failure(FailureKind.NO_IMAGE, "ended as cancelled", "cancelled", http_status=200))
LOOKS = st.sampled_from(
    [
        InProgress("in_progress"),
        InProgress("queued"),
        Gone(),
        Unread(a_failure(FailureKind.OVERLOAD)),
        Unread(a_failure(FailureKind.CREDENTIAL)),
        Unread(a_failure(FailureKind.MALFORMED_ANSWER)),
    ]
)


@given(st.lists(LOOKS, min_size=1), st.booleans(), st.booleans(), st.integers(1, 120))
def test_any_sequence_of_looks_comes_to_an_end_with_one_stop_at_most(
    looks: list[Looked], is_cancelled: bool, is_canary: bool, minutes: int
) -> None:
    awaited = replace(AWAITED, is_cancelled=is_cancelled, is_canary=is_canary)
    now, stops, step = NOW, 0, None
    last = NOW + TIME_OUT + UNREAD_FOR + STOPPED_WITHIN + timedelta(minutes=3 * minutes)
    while not isinstance(step, Over):
        step = after_look(looks[stops % len(looks)] if len(looks) > 1 else looks[0], awaited, now)
        if isinstance(step, Stop):
            stops += 1
            awaited = replace(awaited, stopping=Stopping(now, step.why))
        looks = [*looks[1:], looks[0]]
        assert now <= last, "it waits too long"
        now += timedelta(minutes=minutes)
    assert stops <= 1
    assert isinstance(step.answer, Failure)


@given(st.booleans(), st.booleans(), st.integers(0, 10_000))
def test_an_image_is_an_image_however_late_and_cancelled(is_cancelled: bool, is_canary: bool, seconds: int) -> None:
    now = NOW + timedelta(seconds=seconds)
    for stopping in (None, Stopping(NOW, "time"), Stopping(NOW, "caller")):
        awaited = Awaited(NOW, TIME_OUT, stopping, is_cancelled, is_canary)
        assert after_look(Finished(MADE, now), awaited, now) == Over(MADE, now)


def test_past_the_models_time_it_is_stopped_and_before_it_is_waited_for() -> None:
    almost, then = NOW + TIME_OUT - timedelta(seconds=1), NOW + TIME_OUT
    assert after_look(InProgress("idle"), AWAITED, almost) == Wait()
    assert after_look(InProgress("idle"), AWAITED, then) == Stop("time")
    assert after_look(InProgress("idle"), replace(AWAITED, is_cancelled=True), NOW) == Stop("caller")


@pytest.mark.parametrize(
    ("why", "is_canary", "kind"),
    [
        ("time", False, FailureKind.NOT_FINISHED),
        ("time", True, FailureKind.BACKGROUND_REFUSED),
        ("caller", False, FailureKind.CANCELLED),
        ("caller", True, FailureKind.CANCELLED),
    ],
)
def test_what_was_stopped_ends_for_our_reason(why: str, is_canary: bool, kind: FailureKind) -> None:
    stopping = Stopping(NOW, "time" if why == "time" else "caller")
    step = after_look(CANCELLED, Awaited(NOW, TIME_OUT, stopping, is_canary=is_canary), NOW)
    assert isinstance(step, Over)
    assert isinstance(step.answer, Failure)
    assert step.answer.kind is kind
    assert step.answer.ambiguous, "a cost that nobody states counts against the cap"
    assert not step.answer.limits_repeats, "nothing goes on at the provider"


def test_a_refusal_after_a_stop_is_still_a_refusal() -> None:
    refused = Finished(a_failure(FailureKind.REFUSED, http_status=200))
    step = after_look(refused, replace(AWAITED, stopping=Stopping(NOW, "time")), NOW)
    assert step == Over(refused.answer)


def test_a_stop_that_does_not_show_is_believed_after_a_minute() -> None:
    stopped = replace(AWAITED, stopping=Stopping(NOW, "time"))
    assert after_look(InProgress("in_progress"), stopped, NOW + timedelta(seconds=59)) == Wait()
    assert isinstance(after_look(InProgress("in_progress"), stopped, NOW + STOPPED_WITHIN), Over)


def test_a_young_interaction_may_not_be_visible_yet() -> None:
    assert after_look(Gone(), AWAITED, NOW + VISIBLE_WITHIN - timedelta(seconds=1)) == Wait()
    step = after_look(Gone(), AWAITED, NOW + VISIBLE_WITHIN)
    assert isinstance(step, Over)
    assert isinstance(step.answer, Failure)
    assert step.answer.kind is FailureKind.CONNECTION_LOST


def test_an_answer_that_can_never_be_read_is_given_up_sooner_than_a_provider_that_is_away() -> None:
    unreadable, away = (Unread(a_failure(kind)) for kind in (FailureKind.MALFORMED_ANSWER, FailureKind.OVERLOAD))
    later = NOW + TIME_OUT + UNREADABLE_FOR
    assert isinstance(after_look(unreadable, AWAITED, later), Over)
    assert after_look(away, AWAITED, later) == Wait()


@given(st.integers(0, 600_000), st.none() | st.integers(500, 300_000), st.booleans())
def test_looks_grow_apart_and_are_never_far_apart(age_ms: int, usual_ms: int | None, has_webhooks: bool) -> None:
    usual = None if usual_ms is None else timedelta(milliseconds=usual_ms)
    age = timedelta(milliseconds=age_ms)
    now, later = (spacing(moment, usual, has_webhooks=has_webhooks) for moment in (age, age * 2))
    assert LEAST_SPACING <= now <= LONGEST_SPACING
    assert has_webhooks or age > 2 * (usual or age) or now <= max(later, now)
    first = first_look(NOW, usual, has_webhooks=has_webhooks)
    assert first >= NOW + LEAST_SPACING
    assert first <= first_look(NOW, usual, has_webhooks=True)
