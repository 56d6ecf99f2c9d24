"""What the fleet can take up, begin in time and carry at once."""

from __future__ import annotations

import json
import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.admission.fleet_pace import (
    CAP_DOUBLES_EVERY,
    DRAINS_FOR,
    FIRST_CAP,
    FIRST_PACE,
    HORIZON,
    LEAST_IN_AIR,
    LEAST_PACE,
    LONGEST_LEAD,
    MIN_LEAD_TIME,
    FleetPace,
    Late,
    Recent,
    concurrency_cap,
    most_running,
)
from shared.core.limits.quota import Limits
from tests.builders import NOW

SECOND = timedelta(seconds=1)


def after_ticks(
    fleet: FleetPace,
    count: int,
    *,
    late: Late = Late(),  # noqa: B008
    released: int = 20,
    capacity: int = 1_000,
    filling: float = math.inf,
) -> FleetPace:
    """So many ticks of a second with 100 starts judged in each, every release of the one before taken up.

    Each tick uses the pace to the full, where it releases anything.
    """
    start = NOW if fleet.seen_at is None else fleet.seen_at
    for number in range(1, count + 1):
        recent = Recent(starts=100, busiest=math.ceil(fleet.pace) if released else 0)
        now = start + number * SECOND
        fleet = fleet.after(in_air=0, late=late, recent=recent, capacity=capacity, now=now, filling=filling).released(
            released
        )
    return fleet


# -- room -------------------------------------------------------------------------------------------------------------


def test_four_fifths_of_the_fleet_may_be_in_flight() -> None:
    assert [most_running(capacity) for capacity in (1_000, 10, 2, 1, 0)] == [800, 8, 1, 1, 1]
    assert FleetPace(most_in_air=10_000).room(running=790, capacity=1_000) == 10
    assert FleetPace(most_in_air=10_000).room(running=900, capacity=1_000) == 0


def test_no_more_is_in_the_air_than_about_twice_what_the_last_tick_saw_taken_up() -> None:
    assert FleetPace().room(0, 10_000) == LEAST_IN_AIR
    taken_up = FleetPace(in_air=300, most_in_air=300).after(
        in_air=100, late=Late(), recent=Recent(), capacity=10_000, now=NOW
    )
    assert 400 <= taken_up.most_in_air <= 500
    assert taken_up.room(running=0, capacity=10_000) == int(taken_up.most_in_air) - 100


def test_where_nobody_takes_releases_up_fewer_and_fewer_go_out_but_never_none() -> None:
    fleet = FleetPace(in_air=400, most_in_air=400)
    for number in range(60):
        fleet = fleet.after(in_air=400, late=Late(), recent=Recent(), capacity=10_000, now=NOW + number * SECOND)
    assert fleet.most_in_air == LEAST_IN_AIR
    assert fleet.room(0, 10_000) == 0


# -- pace and lead ----------------------------------------------------------------------------------------------------


def test_the_pace_grows_while_it_is_used_and_nothing_is_late() -> None:
    assert after_ticks(FleetPace(), 20).pace > 4 * FIRST_PACE
    assert after_ticks(FleetPace(), 60).pace == 200.0  # a fifth of what the fleet carries
    assert after_ticks(FleetPace(), 20, released=0).pace == FIRST_PACE


def test_late_starts_cut_the_pace_by_their_share_between_a_tenth_and_a_half() -> None:
    fast = FleetPace(pace=100.0, seen_at=NOW)
    assert after_ticks(fast, 1, late=Late(starts=25)).pace == 75.0
    assert after_ticks(fast, 1, late=Late(starts=80)).pace == 50.0
    assert after_ticks(fast, 1, late=Late(starts=300)).pace == 50.0
    small = fast.after(in_air=0, late=Late(starts=11), recent=Recent(150), capacity=1_000, now=NOW + SECOND)
    assert small.pace == 100.0, "7 %, of so few"
    more = fast.after(in_air=0, late=Late(starts=42), recent=Recent(600), capacity=1_000, now=NOW + SECOND)
    assert more.pace == 90.0, "7 %, of many"
    assert after_ticks(fast, 60, late=Late(starts=90)).pace == LEAST_PACE


def test_what_was_granted_before_a_cut_does_not_cut_again() -> None:
    cut = after_ticks(FleetPace(lead_seconds=1.0, pace=100.0, seen_at=NOW), 1, late=Late(starts=25))
    assert cut.judged_from == NOW + SECOND + SECOND + HORIZON
    assert after_ticks(cut, 1).judged_from == cut.judged_from


def test_a_late_start_in_a_hundred_is_chance() -> None:
    assert after_ticks(FleetPace(), 20, late=Late(starts=1)).pace > 4 * FIRST_PACE


def test_one_in_twenty_is_no_failure_and_holds_the_pace() -> None:
    assert after_ticks(FleetPace(), 20, late=Late(starts=6)).pace == FIRST_PACE


def test_near_a_pace_at_which_starts_were_late_it_grows_slowly_and_past_it_quickly() -> None:
    cut = after_ticks(FleetPace(pace=40.0, seen_at=NOW), 1, late=Late(starts=40))
    assert cut.pace == 24.0
    near = after_ticks(cut, 5)
    assert 30 <= near.pace < 31
    assert 40 < after_ticks(near, 60).pace < 45
    assert after_ticks(near, 110).pace > 100, "past 50, a quarter a second"


def test_near_a_pace_that_failed_no_more_is_tried_for_than_fills_the_limits() -> None:
    cut = after_ticks(FleetPace(pace=40.0, seen_at=NOW), 1, late=Late(starts=25))
    assert after_ticks(cut, 60, filling=10.0).pace == cut.pace
    assert after_ticks(cut, 60, filling=30.0).pace > cut.pace
    assert after_ticks(FleetPace(), 20, filling=1.0).pace > 4 * FIRST_PACE, "none has failed"


def test_a_fleet_that_begins_less_than_the_limits_allow_is_waited_for_until_it_begins_more() -> None:
    late = after_ticks(FleetPace(pace=8.0, seen_at=NOW), 1, late=Late(starts=45), filling=7.0)
    assert (late.pace, late.patient) == (4.4, True)
    assert after_ticks(late, 30, filling=7.0).patient
    assert not after_ticks(late, 90, filling=7.0).patient
    enough = after_ticks(FleetPace(pace=8.0, seen_at=NOW), 1, late=Late(starts=45), filling=4.0)
    assert not enough.patient, "its pace still fills the limits"
    assert not after_ticks(FleetPace(pace=8.0, seen_at=NOW), 1, late=Late(starts=45)).patient, "no limit is known"


def test_a_slow_fleet_whose_starts_are_nearly_late_is_given_less_before_one_is() -> None:
    slow = FleetPace(pace=3.0, patient=True, failed_pace=3.2, seen_at=NOW)
    assert after_ticks(slow, 10, late=Late(tight=26), filling=4.0).pace == pytest.approx(3.0 * 0.99**10)
    assert after_ticks(slow, 10, late=Late(tight=25), filling=4.0).pace > 3.0
    assert after_ticks(slow, 600, late=Late(tight=90), filling=4.0).pace == LEAST_PACE
    strict = replace(slow, patient=False)
    assert after_ticks(strict, 10, late=Late(tight=90), filling=2.0).pace == 3.0, "it fills the limits"


def test_past_a_pace_that_failed_a_slow_fleet_is_not_overrun_before_it_shows() -> None:
    slow = FleetPace(pace=3.8, patient=True, failed_pace=3.0, seen_at=NOW)
    assert 4.6 < after_ticks(slow, 5, filling=8.0).pace < 5.0
    assert after_ticks(replace(slow, patient=False), 5, filling=8.0).pace > 10


def test_what_a_slow_fleet_still_has_in_hand_does_not_cut_its_pace_again() -> None:
    slow = FleetPace(lead_seconds=1.0, pace=3.0, patient=True, seen_at=NOW)
    cut = after_ticks(slow, 1, late=Late(starts=25), filling=4.0)
    assert cut.judged_from == NOW + SECOND + SECOND + HORIZON + DRAINS_FOR


def test_late_deliveries_double_the_lead_up_to_six_seconds_and_it_comes_back() -> None:
    assert after_ticks(FleetPace(), 1, late=Late(starts=20)).lead == MIN_LEAD_TIME
    assert after_ticks(FleetPace(), 1, late=Late(deliveries=20)).lead == MIN_LEAD_TIME * 2
    slow = after_ticks(FleetPace(), 60, late=Late(deliveries=20))
    assert slow.lead == LONGEST_LEAD
    assert after_ticks(slow, 600).lead == MIN_LEAD_TIME


def test_the_only_release_was_late_and_the_next_is_sent_earlier() -> None:
    alone = FleetPace().after(in_air=0, late=Late(deliveries=1), recent=Recent(1, 1), capacity=400, now=NOW)
    assert alone.lead == MIN_LEAD_TIME * 2


def test_near_a_lead_that_failed_it_shrinks_slowly_and_past_it_quickly() -> None:
    cut = after_ticks(FleetPace(lead_seconds=0.4, seen_at=NOW), 1, late=Late(deliveries=20))
    assert cut.lead_seconds == 0.8
    assert after_ticks(cut, 15).lead_seconds < 0.5
    assert after_ticks(cut, 45).lead_seconds > 0.4
    assert after_ticks(cut, 100).lead == MIN_LEAD_TIME


def test_between_two_bursts_the_lead_stays() -> None:
    led = replace(FleetPace(), lead_seconds=1.0, seen_at=NOW)
    quiet = led.after(in_air=0, late=Late(), recent=Recent(), capacity=400, now=NOW + 2 * SECOND)
    assert quiet.lead_seconds == 1.0
    assert (
        quiet.after(in_air=0, late=Late(), recent=Recent(1, 1), capacity=400, now=NOW + 3 * SECOND).lead_seconds < 1.0
    )


def test_while_starts_are_tight_the_lead_stays() -> None:
    led = replace(FleetPace(), lead_seconds=1.0)
    assert after_ticks(led, 30, late=Late(tight=7)).lead_seconds == 1.0
    assert after_ticks(led, 60).lead == MIN_LEAD_TIME


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.floats(-3, 20)),
        max_size=40,
    )
)
def test_whatever_is_seen_and_however_time_jumps_every_figure_stays_in_its_bounds(
    steps: list[tuple[int, int, int, int, float]],
) -> None:
    fleet, now = FleetPace(), NOW
    for in_air, starts, deliveries, tight, seconds in steps:
        now += timedelta(seconds=seconds)
        fleet = fleet.after(
            in_air=in_air, late=Late(starts, deliveries, tight), recent=Recent(), capacity=400, now=now
        ).released(5)
        assert LEAST_PACE <= fleet.pace <= 80
        assert MIN_LEAD_TIME <= fleet.lead <= LONGEST_LEAD
        assert fleet.most_in_air >= LEAST_IN_AIR
        assert fleet.room(0, 400) >= 0
        assert FleetPace.from_json(fleet.to_json()) == fleet


def test_a_fleet_is_written_in_plain_values_and_read_where_a_field_is_missing() -> None:
    fleet = FleetPace(pace=9.5, in_air=3)
    assert json.loads(json.dumps(fleet.to_json())) == fleet.to_json()
    assert FleetPace.from_json({"pace": 9.5, "in_air": 3, "gone": 1}) == fleet


# -- one model's cap --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [Limits(rpm=60), Limits(ipm=1), Limits(tpm=1)])
def test_with_a_known_rate_the_cap_is_what_the_fleet_can_carry(limits: Limits) -> None:
    assert concurrency_cap(limits, 400, timedelta(0)) == most_running(400) == 320


def test_a_configured_concurrency_holds_but_for_a_smaller_fleet() -> None:
    assert concurrency_cap(Limits(rpm=60, concurrency=7), 400, timedelta(days=1)) == 7
    assert concurrency_cap(Limits(concurrency=7), 5, timedelta(0)) == 4
    assert concurrency_cap(Limits(concurrency=0), 4, timedelta(0)) == 0


def test_where_nothing_is_known_concurrency_begins_at_twenty_and_doubles_every_five_seconds() -> None:
    caps = [concurrency_cap(Limits(), 10_000, CAP_DOUBLES_EVERY * count) for count in range(5)]
    assert caps == [20, 40, 80, 160, 320]
    almost = CAP_DOUBLES_EVERY - timedelta(microseconds=1)
    assert concurrency_cap(Limits(rpd=100), 10_000, almost) == FIRST_CAP
    assert concurrency_cap(Limits(rpd=100), 10_000, almost, ended=FIRST_CAP) == 2 * FIRST_CAP
    assert concurrency_cap(Limits(), 100, timedelta(days=365)) == 80


def test_where_evidence_holds_the_rate_concurrency_does_not_hold_it_too() -> None:
    assert concurrency_cap(Limits(), 1_000, None) == 800
