"""Whose turn it is: least shares, the reserve for interactive requests, and even paces."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.admission.priority import (
    CATCH_UP,
    MOST_RESERVED,
    RANK,
    SEEN_FOR,
    PriorityState,
    interval,
    limits_minus,
)
from shared.core.admission.slot_calendar import NO_WEIGHT, WINDOW, Weight
from shared.core.limits.quota import Limits
from tests.builders import NOW

ALL = ("interactive", "normal", "bulk")


def after_starts(starts: int, *, minutes_ago: float, tokens: int = 0) -> PriorityState:
    """So many interactive starts at one moment."""
    turns = PriorityState()
    for _ in range(starts):
        at = NOW - timedelta(minutes=minutes_ago)
        turns = turns.granted("interactive", ["interactive"], Weight(tokens=tokens), at)
    return turns


# -- least shares -----------------------------------------------------------------------------------------------------


def shares(turns: PriorityState, waiting: tuple[str, ...], slots: int) -> Counter[str]:
    """Who gets so many slots, all waiting all the time."""
    had: Counter[str] = Counter()
    for _ in range(slots):
        first = turns.order(waiting)[0]
        turns = turns.granted(first, waiting, Weight(), NOW)
        had[first] += 1
    return had


def test_the_better_priority_is_tried_first_where_nobody_is_owed_anything() -> None:
    assert PriorityState().order(["bulk", "interactive", "normal"]) == ["interactive", "normal", "bulk"]


def test_normal_and_bulk_get_one_slot_in_twenty_each_while_all_wait() -> None:
    had = shares(PriorityState(), ALL, 20_000)
    assert 1_000 <= had["normal"] <= 1_060
    assert 999 <= had["bulk"] <= 1_060


def test_bulk_gets_one_slot_in_twenty_behind_normal_alone() -> None:
    had = shares(PriorityState(), ("normal", "bulk"), 20_000)
    assert 1_000 <= had["bulk"] <= 1_060


def test_a_priority_that_did_not_wait_has_saved_up_nothing() -> None:
    turns = PriorityState()
    for _ in range(1_000):
        turns = turns.granted("interactive", ["interactive"], Weight(), NOW)
    assert not turns.is_owed("bulk")
    assert shares(turns, ("interactive", "bulk"), 15)["bulk"] == 0


def test_a_priority_that_waited_without_a_turn_gets_one_slot_ahead_and_no_heap_of_them() -> None:
    turns = PriorityState()
    for _ in range(1_000):
        turns = turns.granted("interactive", ALL, Weight(), NOW)
    assert shares(turns, ALL, 20)["bulk"] <= 2


@given(st.lists(st.tuples(st.sampled_from(ALL), st.sets(st.sampled_from(ALL), min_size=1)), max_size=60))
def test_every_priority_that_waits_is_in_the_order_once(steps: list[tuple[str, set[str]]]) -> None:
    turns = PriorityState()
    for priority, waiting in steps:
        turns = turns.granted(priority, waiting | {priority}, Weight(), NOW)
        order = turns.order(waiting)
        assert sorted(order) == sorted(waiting)
        owed = [name for name in order if turns.is_owed(name)]
        assert order == sorted(owed, key=RANK.__getitem__) + [name for name in sorted(waiting, key=RANK.__getitem__)
                                                              if name not in owed]  # fmt: skip
        assert not turns.is_owed("interactive")


# -- the reserve ------------------------------------------------------------------------------------------------------


def test_where_no_interactive_request_came_for_ten_minutes_nothing_is_kept() -> None:
    assert PriorityState().reserve(Limits(rpm=60), NOW) == NO_WEIGHT
    assert after_starts(50, minutes_ago=10.2).reserve(Limits(rpm=60), NOW) == NO_WEIGHT
    assert after_starts(50, minutes_ago=9.8).reserve(Limits(rpm=60), NOW) != NO_WEIGHT


def test_the_reserve_covers_what_a_minute_brought_on_average_and_a_little_more() -> None:
    assert (
        after_starts(10, minutes_ago=5).reserve(Limits(rpm=600), NOW).requests == 2
    )  # 1 a minute, and its square root
    assert after_starts(20, minutes_ago=2).reserve(Limits(rpm=600), NOW).requests == 14  # 10 a minute lately


def test_a_rush_that_is_over_is_not_waited_for() -> None:
    quiet = after_starts(20, minutes_ago=5)
    rush = replace(quiet, interactive={**after_starts(500, minutes_ago=8).interactive, **quiet.interactive})
    assert rush.reserve(Limits(rpm=600), NOW) == quiet.reserve(Limits(rpm=600), NOW)


@pytest.mark.parametrize("limits", [Limits(rpm=20), Limits(ipm=20), Limits(rpm=100, ipm=20), Limits(rpm=20, ipm=100)])
def test_no_more_than_half_of_a_limit_is_kept_however_many_came(limits: Limits) -> None:
    assert after_starts(1_000, minutes_ago=1).reserve(limits, NOW).requests == 20 * MOST_RESERVED


def test_the_reserve_keeps_the_tokens_that_interactive_requests_take() -> None:
    reserve = after_starts(100, minutes_ago=5, tokens=300).reserve(Limits(rpm=600, tpm=1_000_000), NOW)
    assert reserve.tokens == 300 * reserve.requests


def test_interactive_starts_of_this_window_are_counted_once() -> None:
    turns = after_starts(3, minutes_ago=0.5, tokens=7)
    assert turns.interactive_in_window(NOW) == Weight(3, 3, 21)
    assert turns.interactive_in_window(NOW + timedelta(seconds=40)) == NO_WEIGHT


@given(
    st.builds(
        Limits,
        rpm=st.none() | st.integers(1, 1_000),
        ipm=st.none() | st.integers(1, 1_000),
        tpm=st.none() | st.integers(2, 100_000),
    ),
    st.integers(0, 300),
    st.integers(0, 2_000),
)
def test_a_reserve_never_leaves_others_nothing(limits: Limits, starts: int, tokens: int) -> None:
    """A limit that is zero would close the model."""
    left = limits_minus(limits, after_starts(starts, minutes_ago=1, tokens=tokens).reserve(limits, NOW))
    for limit, rest in ((limits.rpm, left.rpm), (limits.ipm, left.ipm), (limits.tpm, left.tpm)):
        assert (rest is None) == (limit is None)
        assert rest is None or limit is None or limit // 2 <= rest <= limit
        assert rest is None or rest > 0


# -- paces ------------------------------------------------------------------------------------------------------------


def test_an_even_pace_takes_a_window_for_the_whole_limit_by_the_tightest_dimension() -> None:
    assert interval(Limits(rpm=121), Weight()) == timedelta(seconds=0.5)
    assert interval(Limits(rpm=121, ipm=11), Weight()) == timedelta(seconds=5.5)
    assert interval(Limits(rpm=121, tpm=1_000), Weight(tokens=500)) == WINDOW / 2
    assert interval(Limits(tpm=1_000), Weight(tokens=50_000)) == WINDOW
    assert interval(Limits(), Weight()) == timedelta(0)


def test_a_pace_that_fell_behind_is_made_good_for_a_second_and_a_half_and_no_more() -> None:
    item = timedelta(seconds=0.5)
    turns = PriorityState(next_at={"bulk": (NOW - timedelta(minutes=5)).timestamp()})
    caught_up = 0
    while turns.next_at["bulk"] <= NOW.timestamp():
        turns = turns.paced("bulk", item, NOW)
        caught_up += 1
    assert caught_up == CATCH_UP / item + 1


def test_paces_do_not_know_of_each_other() -> None:
    turns = PriorityState().paced("bulk", timedelta(seconds=5), NOW)
    assert set(turns.next_at) == {"bulk"}
    assert turns.paced("all", timedelta(seconds=1), NOW).next_at["bulk"] == turns.next_at["bulk"]


# -- the store --------------------------------------------------------------------------------------------------------


def test_what_is_older_than_ten_minutes_is_forgotten() -> None:
    turns = after_starts(5, minutes_ago=3)
    assert turns.forget(NOW) == turns
    assert turns.forget(NOW + SEEN_FOR).interactive == {}


def test_turns_are_written_with_text_keys_only() -> None:
    turns = (
        after_starts(5, minutes_ago=1).paced("bulk", timedelta(seconds=1), NOW).granted("normal", ALL, Weight(), NOW)
    )
    written = turns.to_json()
    assert PriorityState.from_json(written) == turns
    assert all(isinstance(key, str) for part in written.values() for key in part)
