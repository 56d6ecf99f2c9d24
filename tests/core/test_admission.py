"""Who starts when: priority, room, refunds, and one model never holding another's queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.admission import (
    CAP_DOUBLES_EVERY,
    FIRST_CAP,
    HORIZON,
    LEAD_TIME,
    LONGEST_LEAD_TIME,
    UNTIMED_GOOD_FOR,
    Admission,
    Candidate,
    admit,
    concurrency_cap,
    lead_time,
)
from shared.core.calendar import SLOT_GOOD_FOR, Calendar, Full, Granted, Weight, next_pacific_midnight
from shared.core.quota import Limits
from shared.core.record import UnusedSlot
from tests.builders import NOW, a_candidate

PRO, NB21, LITE = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"
MODELS = (PRO, NB21, LITE)


def admitted(
    candidates: Sequence[Candidate],
    limits: Limits = Limits(rpm=60),  # noqa: B008  a frozen value
    *,
    calendars: Mapping[str, Calendar] | None = None,
    other_limits: Mapping[str, Limits] | None = None,
    room: int = 100,
) -> Admission:
    return admit(
        candidates,
        {model: Calendar() for model in MODELS} | dict(calendars or {}),
        dict.fromkeys(MODELS, limits) | dict(other_limits or {}),
        dict.fromkeys(MODELS, room),
        now=NOW,
    )


def names(admission: Admission) -> list[str]:
    return [grant.candidate.head.request_id for grant in admission.grants]


def full_until_tomorrow() -> Calendar:
    found = Calendar().grant(Limits(rpd=1), Weight(), earliest=NOW, horizon=NOW)
    assert isinstance(found, Granted)
    return found.calendar


def test_interactive_goes_before_normal_before_bulk_and_then_by_fair_tag() -> None:
    queue = [
        a_candidate("bulk-1", priority="bulk", fair_tag=1),
        a_candidate("normal-9", priority="normal", fair_tag=9),
        a_candidate("interactive-7", priority="interactive", fair_tag=7),
        a_candidate("normal-2", priority="normal", fair_tag=2),
        a_candidate("interactive-8", priority="interactive", fair_tag=8),
    ]
    order = ["interactive-7", "interactive-8", "normal-2", "normal-9", "bulk-1"]
    assert names(admitted(queue)) == order
    assert names(admitted(queue, Limits(rpm=3))) == order[:3]


def test_who_gets_no_slot_is_told_why_by_model() -> None:
    queue = [a_candidate(f"r{number}", fair_tag=number) for number in range(5)]
    admission = admitted(queue, Limits(rpm=3))
    assert names(admission) == ["r0", "r1", "r2"]
    assert admission.held == {PRO: Full("minute", None)}
    assert admitted(queue[:3], Limits(rpm=3)).held == {}


@pytest.mark.parametrize("full", ["day", "closed", "concurrency"])
def test_one_models_full_quota_never_holds_the_queue_of_another(full: str) -> None:
    queue = [a_candidate(f"{model}-{number}", model=model, fair_tag=number) for number in range(4) for model in MODELS]
    calendar = full_until_tomorrow() if full == "day" else Calendar()
    if full == "closed":
        calendar = calendar.close(NOW + timedelta(minutes=1), "quota_minute")
    room = {model: 0 if full == "concurrency" and model == PRO else 100 for model in MODELS}
    limits = {PRO: Limits(rpm=60, rpd=1), NB21: Limits(rpm=60), LITE: Limits()}
    calendars = {PRO: calendar, NB21: Calendar(), LITE: Calendar()}
    admission = admit(queue, calendars, limits, room, now=NOW)
    assert sorted(names(admission)) == sorted(f"{model}-{number}" for number in range(4) for model in (NB21, LITE))
    assert {model: held.reason for model, held in admission.held.items()} == {PRO: full}
    if full == "day":
        assert admission.held[PRO].until == next_pacific_midnight(NOW)


@pytest.mark.parametrize("room", [-3, 0, 1, 4])
def test_no_more_are_granted_than_there_is_room_for_in_flight(room: int) -> None:
    queue = [a_candidate(f"r{number}", fair_tag=number) for number in range(6)]
    admission = admitted(queue, Limits(), room=room)
    assert len(admission.grants) == max(room, 0)
    assert admission.held == {PRO: Full("concurrency", None)}


def test_a_timed_slot_is_good_for_four_tenths_of_a_second_and_an_untimed_one_for_ten() -> None:
    timed = admitted([a_candidate()]).grants[0]
    assert timed.slot_until - timed.slot_at == SLOT_GOOD_FOR == timedelta(seconds=0.4)
    untimed = admitted([a_candidate()], Limits(concurrency=5)).grants[0]
    assert untimed.slot_until - untimed.slot_at == UNTIMED_GOOD_FOR == timedelta(seconds=10)


def test_slots_lie_between_the_lead_time_and_a_second_and_a_half_beyond_it() -> None:
    queue = [a_candidate(f"r{number}", fair_tag=number) for number in range(60)]
    for grant in admitted(queue).grants:
        assert NOW + LEAD_TIME <= grant.slot_at <= NOW + LEAD_TIME + HORIZON


def test_who_was_late_gets_its_slot_twice_as_far_ahead_each_time_up_to_six_seconds() -> None:
    assert [lead_time(count) for count in range(6)] == [LEAD_TIME * 2**count for count in range(6)]
    assert lead_time(6) == lead_time(1_000_000) == LONGEST_LEAD_TIME == timedelta(seconds=6)
    late = admitted([a_candidate(late_count=4)]).grants[0]
    assert late.slot_at >= NOW + LEAD_TIME * 16


# -- unused slots -----------------------------------------------------------------------------------------------------


def with_unused_slot(request_id: str = "r", release: int = 1, model: str = PRO) -> Candidate:
    return a_candidate(request_id, unused_slot=UnusedSlot(model, NOW, release, tokens=7))


def one_used(limits: Limits, number: int = 1) -> Calendar:
    calendar = Calendar()
    for _ in range(number):
        found = calendar.grant(limits, Weight(tokens=7), earliest=NOW, horizon=NOW)
        assert isinstance(found, Granted)
        calendar = found.calendar
    return calendar


def test_an_unused_slot_is_given_back_before_slots_are_granted() -> None:
    limits = Limits(rpm=1, rpd=1, tpm=7)
    admission = admitted([with_unused_slot()], limits, calendars={PRO: one_used(limits)})
    assert names(admission) == ["r"]


def test_an_unused_slot_is_given_back_once_however_often_it_is_seen() -> None:
    limits = Limits(rpm=5)
    calendar = one_used(limits, 5)
    for _ in range(3):
        admission = admitted([with_unused_slot()], limits, calendars={PRO: calendar}, room=0)
        calendar = admission.calendars[PRO]
        assert calendar.used(NOW) == Weight(4, 4, 28)


def test_each_release_of_a_request_has_a_slot_of_its_own_to_give_back() -> None:
    calendar = one_used(Limits(rpm=5), 5)
    for release in (1, 2):
        unused = with_unused_slot(release=release)
        calendar = admitted([unused], Limits(rpm=5), calendars={PRO: calendar}, room=0).calendars[PRO]
    assert calendar.used(NOW).requests == 3


def test_a_slot_is_given_back_to_the_model_it_was_granted_on() -> None:
    """The route may have changed since."""
    limits = Limits(rpm=1)
    unused = with_unused_slot(model=NB21)
    admission = admitted([unused], limits, calendars={NB21: one_used(limits), PRO: one_used(limits)}, room=0)
    assert admission.calendars[NB21].used(NOW).requests == 0
    assert admission.calendars[PRO].used(NOW).requests == 1


# -- concurrency ------------------------------------------------------------------------------------------------------


def test_with_a_known_rate_the_cap_is_what_the_fleet_can_carry() -> None:
    for limits in (Limits(rpm=60), Limits(ipm=1), Limits(tpm=1)):
        assert concurrency_cap(limits, 400, timedelta(0)) == 400


def test_a_configured_concurrency_holds_but_for_a_smaller_fleet() -> None:
    assert concurrency_cap(Limits(rpm=60, concurrency=7), 400, timedelta(days=1)) == 7
    assert concurrency_cap(Limits(concurrency=7), 4, timedelta(0)) == 4
    assert concurrency_cap(Limits(concurrency=0), 4, timedelta(0)) == 0


def test_where_nothing_is_known_concurrency_begins_at_twenty_and_doubles_every_five_seconds() -> None:
    caps = [concurrency_cap(Limits(), 10_000, CAP_DOUBLES_EVERY * count) for count in range(5)]
    assert caps == [20, 40, 80, 160, 320]
    almost = CAP_DOUBLES_EVERY - timedelta(microseconds=1)
    assert concurrency_cap(Limits(rpd=100), 10_000, almost) == FIRST_CAP
    assert concurrency_cap(Limits(), 100, timedelta(days=365)) == 100


# -- together ---------------------------------------------------------------------------------------------------------

queues = st.lists(
    st.tuples(
        st.sampled_from(MODELS),
        st.sampled_from(["interactive", "normal", "bulk"]),
        st.integers(0, 9),
        st.integers(0, 3),
    ),
    max_size=25,
)


@given(queues, st.integers(0, 12), st.integers(0, 12))
def test_every_candidate_is_granted_or_its_model_is_held_and_nobody_is_overtaken(
    queue: list[tuple[str, str, int, int]], rpm: int, room: int
) -> None:
    candidates = [
        a_candidate(f"r{number}", model=model, priority=priority, fair_tag=tag, late_count=late)
        for number, (model, priority, tag, late) in enumerate(queue)
    ]
    admission = admitted(candidates, Limits(rpm=rpm), room=room)
    given_out = names(admission)
    assert len(set(given_out)) == len(given_out)
    rank = {"interactive": 0, "normal": 1, "bulk": 2}
    for model in MODELS:
        ours = [each for each in candidates if each.planned.route.model == model]
        ours.sort(key=lambda each: (rank[each.head.priority], each.head.fair_tag))
        taken = [each.head.request_id in given_out for each in ours]
        assert taken == sorted(taken, reverse=True)
        assert sum(taken) <= min(rpm, room)
        assert (model in admission.held) == (not all(taken))
        assert admission.calendars[model].used(NOW + LONGEST_LEAD_TIME + HORIZON).requests == sum(taken)
