"""Who starts when: priority, room, paces and reserve, and one model never holding another's queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.admission.allocation import INTERACTIVE_HORIZON, Admission, Candidate, Shared, admit, lead_time
from shared.core.admission.fleet_pace import HORIZON, LONGEST_LEAD, MIN_LEAD_TIME
from shared.core.admission.model_state import ModelState
from shared.core.admission.priority import PriorityState
from shared.core.admission.rate_control import Pressure
from shared.core.admission.slot_calendar import (
    BUCKET,
    SLOT_GOOD_FOR,
    UNTIMED_GOOD_FOR,
    WINDOW,
    Blocked,
    Calendar,
    Granted,
    Weight,
    begin_of,
    bucket_of,
)
from shared.core.limits.quota import Limits
from shared.core.routing.ladder import Planned
from shared.core.times.pacific import next_pacific_midnight
from tests.builders import NOW, a_candidate, candidates

PRO, NB21, LITE = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"
MODELS = (PRO, NB21, LITE)
RANK = {"interactive": 0, "normal": 1, "bulk": 2}


def admitted(
    queue: Sequence[Candidate],
    limits: Limits = Limits(rpm=60),  # noqa: B008  a frozen value
    *,
    standings: Mapping[str, ModelState] | None = None,
    other_limits: Mapping[str, Limits] | None = None,
    room: int | Mapping[str, int] = 100,
    shared: Shared = Shared(),  # noqa: B008
) -> Admission:
    return admit(
        queue,
        {model: ModelState() for model in MODELS} | dict(standings or {}),
        dict.fromkeys(MODELS, limits) | dict(other_limits or {}),
        dict.fromkeys(MODELS, room) if isinstance(room, int) else room,
        shared,
        NOW,
    )


def names(admission: Admission) -> list[str]:
    return [grant.candidate.head.request_id for grant in admission.grants]


def of_tokens(request_id: str, tokens: int, priority: str = "normal") -> Candidate:
    candidate = a_candidate(request_id, priority=priority)
    planned = candidate.planned
    return replace(candidate, planned=replace(planned, input_tokens=tokens))


def after_starts(limits: Limits, number: int, weight: Weight = Weight()) -> ModelState:  # noqa: B008
    """So many have just started."""
    calendar = Calendar()
    for _ in range(number):
        granted = calendar.grant(limits, weight, earliest=NOW, horizon=NOW)
        assert isinstance(granted, Granted)
        calendar = granted.calendar
    return ModelState(calendar)


def test_interactive_goes_before_normal_before_bulk_in_the_order_given() -> None:
    queue = [
        a_candidate("bulk-1", priority="bulk"),
        a_candidate("normal-2", priority="normal"),
        a_candidate("interactive-7", priority="interactive"),
        a_candidate("normal-9", priority="normal"),
        a_candidate("interactive-8", priority="interactive"),
    ]
    order = ["interactive-7", "interactive-8", "normal-2", "normal-9", "bulk-1"]
    assert names(admitted(queue)) == order
    assert names(admitted(queue, Limits(rpm=3))) == order[:3]


def test_who_gets_no_slot_is_told_why_by_model() -> None:
    queue = candidates(5)
    admission = admitted(queue, Limits(rpm=3))
    assert names(admission) == ["r-0", "r-1", "r-2"]
    assert admission.blocked == {PRO: Blocked("minute", None)}
    assert admitted(queue[:3], Limits(rpm=3)).blocked == {}


@pytest.mark.parametrize("full", ["day", "closed", "concurrency", "minute", "zero"])
@pytest.mark.parametrize("priority", ["interactive", "bulk"])
def test_ten_thousand_of_one_full_model_never_hold_the_queue_of_another(full: str, priority: str) -> None:
    backlog = candidates(10_000, "pro", model=PRO, priority=priority)
    others = candidates(4, "nb21", model=NB21) + candidates(4, "lite", model=LITE)
    standing = after_starts(Limits(), 1)
    if full == "closed":
        standing = ModelState(Calendar().close(NOW + timedelta(minutes=1), "quota_minute"))
    pro = {"day": Limits(rpm=60, rpd=1), "minute": Limits(rpm=1), "zero": Limits(rpm=0)}.get(full, Limits(rpm=60))
    admission = admitted(
        [*backlog, *others],
        standings={PRO: standing},
        other_limits={PRO: pro, NB21: Limits(rpm=60), LITE: Limits()},
        room={PRO: 0 if full == "concurrency" else 100, NB21: 100, LITE: 100},
    )
    assert sorted(names(admission)) == sorted(candidate.head.request_id for candidate in others)
    assert {model: blocked.reason for model, blocked in admission.blocked.items()} == {PRO: full}
    if full == "day":
        assert admission.blocked[PRO].until == next_pacific_midnight(NOW)


@pytest.mark.parametrize("room", [-3, 0, 1, 4])
def test_no_more_are_granted_than_there_is_room_for_in_flight(room: int) -> None:
    queue = candidates(6)
    admission = admitted(queue, Limits(), room=room)
    assert len(admission.grants) == max(room, 0)
    assert admission.blocked == {PRO: Blocked("concurrency", None)}


def test_where_the_fleet_is_full_the_better_priority_goes_first_whatever_its_model() -> None:
    queue = candidates(5, "bulk", priority="bulk", model=PRO) + candidates(3, "now", priority="interactive", model=NB21)
    admission = admitted(queue, shared=Shared(room=4))
    assert names(admission) == ["now-0", "now-1", "now-2", "bulk-0"]
    assert admission.blocked == {PRO: Blocked("concurrency", None)}


def test_models_of_one_priority_share_a_full_fleet_in_turn() -> None:
    queue = candidates(9, "pro", model=PRO) + candidates(9, "nb21", model=NB21) + candidates(9, "lite", model=LITE)
    admission = admitted(queue, shared=Shared(room=9))
    assert Counter(grant.candidate.model for grant in admission.grants) == dict.fromkeys(MODELS, 3)


def test_a_timed_slot_is_good_until_four_tenths_of_its_half_second_and_an_untimed_one_for_ten_seconds() -> None:
    timed = admitted([a_candidate()]).grants[0]
    assert timed.slot_until == begin_of(bucket_of(timed.slot_at)) + SLOT_GOOD_FOR
    untimed = admitted([a_candidate()], Limits(concurrency=5)).grants[0]
    assert untimed.slot_until - untimed.slot_at == UNTIMED_GOOD_FOR == timedelta(seconds=10)


@pytest.mark.parametrize(("priority", "horizon"), [("normal", HORIZON), ("interactive", INTERACTIVE_HORIZON)])
def test_slots_lie_between_the_lead_time_and_the_horizon_beyond_it(priority: str, horizon: timedelta) -> None:
    for lead in (MIN_LEAD_TIME, timedelta(seconds=2)):
        admission = admitted(candidates(60, priority=priority), shared=Shared(lead=lead, pace=4))
        assert admission.grants
        for grant in admission.grants:
            assert NOW + lead <= grant.slot_at <= NOW + lead + horizon


def test_no_half_second_holds_more_starts_than_the_fleet_can_begin_in_it() -> None:
    admission = admitted(candidates(100), Limits(rpm=600), shared=Shared(pace=7))
    assert max(Counter(bucket_of(grant.slot_at) for grant in admission.grants).values()) == 7


def test_who_was_late_gets_its_slot_twice_as_far_ahead_each_time_up_to_six_seconds() -> None:
    assert [lead_time(count) for count in range(6)] == [MIN_LEAD_TIME * 2**count for count in range(6)]
    assert lead_time(6) == lead_time(1_000_000) == LONGEST_LEAD == timedelta(seconds=6)
    late = admitted([a_candidate(late_count=4)]).grants[0]
    assert late.slot_at >= NOW + MIN_LEAD_TIME * 16


# -- all or none ------------------------------------------------------------------------------------------------------


def test_a_request_whose_tokens_do_not_fit_takes_none_of_the_other_limits() -> None:
    limits = Limits(rpm=5, ipm=5, rpd=5, tpm=100)
    standing = after_starts(limits, 1, Weight(tokens=60))
    admission = admitted([of_tokens("r", 41)], limits, standings={PRO: standing})
    assert admission.grants == ()
    assert admission.standings[PRO] == standing
    assert admission.blocked == {PRO: Blocked("minute", None)}


def test_a_request_that_the_spend_window_refuses_takes_no_slot() -> None:
    admission = admitted([a_candidate()], shared=Shared(most_spend=0))
    assert admission.grants == ()
    assert admission.standings[PRO] == ModelState()
    assert admission.blocked == {PRO: Blocked("spend", None)}


def test_small_requests_of_a_lower_priority_never_starve_a_heavy_one_of_a_higher() -> None:
    """Else what each minute frees went to the small ones, and the heavy one waited for as long as they come."""
    limits, standing, now = Limits(rpm=1_000, tpm=1_000), ModelState(), NOW
    small = [
        replace(candidate, planned=replace(candidate.planned, input_tokens=50))
        for candidate in candidates(40, priority="bulk")
    ]
    heavy = of_tokens("heavy", 900, "interactive")
    for second in range(180):
        now = NOW + timedelta(seconds=second)
        queue = small if second < 62 else [*small, heavy]
        admission = admit(queue, {PRO: standing.forget(now)}, {PRO: limits}, {PRO: 100}, Shared(), now)
        standing = admission.standings[PRO]
        if "heavy" in names(admission):
            assert now - NOW < timedelta(seconds=62) + WINDOW + timedelta(seconds=2)
            return
    pytest.fail("the heavy request never started")


# -- paces and reserve ------------------------------------------------------------------------------------------------


def slots_of(priority: str, standing: ModelState, limits: Limits, seconds: int, each_tick: int = 30) -> list[float]:
    """The slots that an endless queue of one priority gets, in seconds."""
    slots: list[float] = []
    for second in range(seconds):
        now = NOW + timedelta(seconds=second)
        queue = candidates(each_tick, f"{priority}-{second}", priority=priority)
        admission = admit(queue, {PRO: standing.forget(now)}, {PRO: limits}, {PRO: 1_000}, Shared(), now)
        standing = admission.standings[PRO]
        slots += [(grant.slot_at - NOW).total_seconds() for grant in admission.grants]
    return slots


def longest_rush(slots: list[float], seconds: float = 10.0) -> int:
    """The most starts in any such time."""
    return max(sum(1 for slot in slots if begins <= slot < begins + seconds) for begins in slots)


def test_interactive_and_normal_may_fill_an_empty_window_at_once_and_bulk_is_spread_over_it() -> None:
    limits = Limits(rpm=60)
    assert longest_rush(slots_of("interactive", ModelState(), limits, 20)) == 60
    assert longest_rush(slots_of("normal", ModelState(), limits, 20)) == 60
    assert longest_rush(slots_of("bulk", ModelState(), limits, 60)) <= 13


def test_where_bursts_are_disliked_normal_is_spread_too_and_interactive_is_not() -> None:
    limits, wary = Limits(rpm=60), ModelState(pressure=Pressure(bursts_disliked_at=NOW))
    assert longest_rush(slots_of("normal", wary, limits, 60)) <= 13
    assert longest_rush(slots_of("bulk", wary, limits, 60)) <= 13
    assert longest_rush(slots_of("interactive", wary, limits, 20)) == 60


@pytest.mark.parametrize("priority", ["normal", "bulk"])
def test_what_is_spread_still_uses_the_limit(priority: str) -> None:
    slots = slots_of(priority, ModelState(pressure=Pressure(bursts_disliked_at=NOW)), Limits(rpm=60), 180)
    assert len([slot for slot in slots if 60 <= slot < 180]) >= 0.98 * 2 * 60 - 1


@pytest.mark.parametrize("priority", ["interactive", "normal", "bulk"])
def test_a_cap_that_evidence_sets_holds_every_priority_without_bursts(priority: str) -> None:
    slots = slots_of(priority, ModelState(pressure=Pressure(rate=60.0)), Limits(rpm=600), 60)
    assert 56 <= len([slot for slot in slots if slot < 60]) <= 62
    assert longest_rush(slots) <= 13


def test_normal_leaves_alone_what_interactive_is_expected_to_need() -> None:
    priority_state = PriorityState(
        interactive={int((NOW - timedelta(minutes=m)).timestamp()) // 5: (10, 100) for m in range(2, 10)}
    )
    admission = admitted(candidates(100), Limits(rpm=60), standings={PRO: ModelState(turns=priority_state)})
    assert 60 * 0.5 <= len(admission.grants) < 60
    kept = 60 - len(admission.grants)
    late = candidates(kept, "late", priority="interactive")
    after = admitted(late, Limits(rpm=60), standings=admission.standings)
    assert len(after.grants) == kept


def test_without_interactive_arrivals_lately_nothing_is_reserved() -> None:
    assert len(admitted(candidates(100), Limits(rpm=60)).grants) == 60


@pytest.mark.parametrize("rpm", [19, 60, 200])
def test_normal_and_bulk_keep_five_percent_each_over_a_long_run_of_three_full_queues(rpm: int) -> None:
    limits, standing, minutes = Limits(rpm=rpm), ModelState(), 20
    had: Counter[str] = Counter()
    queue = [candidate for priority in RANK for candidate in candidates(rpm, priority, priority=priority)]
    for second in range(60 * minutes):
        now = NOW + timedelta(seconds=second)
        admission = admit(queue, {PRO: standing.forget(now)}, {PRO: limits}, {PRO: 10_000}, Shared(), now)
        standing = admission.standings[PRO]
        had.update(grant.candidate.head.priority for grant in admission.grants)
    total = sum(had.values())
    assert total >= 0.97 * rpm * minutes
    assert had["normal"] >= 0.05 * total - 1
    assert had["bulk"] >= 0.05 * total - 1
    assert had["interactive"] >= 0.88 * total


# -- together ---------------------------------------------------------------------------------------------------------

queues = st.lists(
    st.tuples(st.sampled_from(MODELS), st.sampled_from(sorted(RANK)), st.integers(0, 3), st.integers(0, 400)),
    max_size=25,
)
TEMPLATES = {(model, priority): a_candidate(model=model, priority=priority) for model in MODELS for priority in RANK}


def queue_of(wanted: list[tuple[str, str, int, int]]) -> list[Candidate]:
    candidates: list[Candidate] = []
    for number, (model, priority, late, tokens) in enumerate(wanted):
        template = TEMPLATES[model, priority]
        head = replace(template.head, request_id=f"r{number}", late_count=late)
        planned: Planned = replace(template.planned, input_tokens=tokens)
        candidates.append(Candidate(head, planned))
    return candidates


@given(
    queues,
    st.builds(
        Limits,
        rpm=st.none() | st.integers(1, 12),
        ipm=st.none() | st.integers(1, 12),
        tpm=st.none() | st.integers(400, 2_000),
        rpd=st.none() | st.integers(1, 12),
    ),
    st.integers(0, 12),
    st.integers(0, 20),
)
def test_every_candidate_is_granted_once_or_its_model_is_held_and_nobody_is_overtaken_in_its_queue(
    wanted: list[tuple[str, str, int, int]], limits: Limits, room: int, fleet_room: int
) -> None:
    queue = queue_of(wanted)
    admission = admitted(queue, limits, room=room, shared=Shared(room=fleet_room))
    given_out = names(admission)
    assert len(set(given_out)) == len(given_out) <= fleet_room
    for model in MODELS:
        ours = [candidate for candidate in queue if candidate.model == model]
        for priority in RANK:
            taken = [our.head.request_id in given_out for our in ours if our.head.priority == priority]
            assert taken == sorted(taken, reverse=True)
        granted = [our for our in ours if our.head.request_id in given_out]
        assert len(granted) <= room
        assert (model in admission.blocked) == (len(granted) < len(ours))
        used = Weight(len(granted), len(granted), sum(candidate.planned.input_tokens for candidate in granted))
        for limit, taken_of_it in ((limits.rpm, used.requests), (limits.ipm, used.images), (limits.tpm, used.tokens)):
            assert limit is None or taken_of_it <= limit
        assert limits.rpd is None or len(granted) <= limits.rpd
        assert admission.standings[model].calendar.used(NOW + LONGEST_LEAD + INTERACTIVE_HORIZON + BUCKET) == used
