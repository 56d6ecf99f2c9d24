"""The series keep a day of minutes and a month of hours in one small document."""

from __future__ import annotations

import json
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.core.observability import series
from shared.core.observability.series import (
    HOUR,
    HOURS_KEPT,
    MINUTE,
    MINUTES_KEPT,
    MOST_CIRCUITS,
    MOST_MARKS,
    Mark,
    Phase,
    Point,
    Series,
    Track,
    number,
)
from tests.builders import NOW

FIRST = number(NOW, MINUTE)


def track(*points: tuple[int, int], keep: int = MINUTES_KEPT) -> Track:
    result = Track()
    for step, images in points:
        result = result.with_point(FIRST + step, Point({"images": images, "wait_95": images}), keep)
    return result


def test_a_minute_of_which_nobody_tells_is_not_a_minute_of_nothing() -> None:
    result = track((0, 5), (3, 0))
    assert result.column("images", FIRST - 1, 6) == [None, 5, None, None, 0, None]


def test_two_points_of_one_minute_add_up_and_of_times_the_longer_stays() -> None:
    result = track((0, 5), (0, 2))
    assert result.column("images", FIRST, 1) == [7]
    assert result.column("wait_95", FIRST, 1) == [5]


def test_a_clock_that_was_set_back_changes_no_past() -> None:
    assert track((10, 5), (3, 9)) == track((10, 5))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=40), st.integers(1, 12))
def test_it_keeps_the_last_steps_and_never_more(points: list[tuple[int, int]], keep: int) -> None:
    result = track(*sorted(points, key=lambda item: item[0]), keep=keep)
    assert result.length <= keep
    if points:
        last = max(step for step, _ in points)
        wanted = sum(images for step, images in points if step == last)
        assert result.column("images", FIRST + last, 1) == [wanted]
        assert result.first + result.length - 1 == FIRST + last


def busiest_day() -> Series:
    """Twelve routes all day, a month of hours, as many marks as are kept."""
    tally = {
        "attempts": 1_234,
        "images": 987,
        "cost_micros": 123_456_789,
        "failed_overload": 247,
        "wait_9": 5,
        "model_8": 9,
    }
    circuits = {f"standard/gemini-{item}-flash-image-preview": tally for item in range(MOST_CIRCUITS + 3)}
    point = series.point(tally, 10_000, 200, circuits)
    point = Point({**point.values, "wait_50": 36_000, "wait_95": 144_000})
    result = Series()
    minutes, hours = Track(), Track()
    for step in range(MINUTES_KEPT + 5):
        minutes = minutes.with_point(FIRST + step, series.within(minutes, point), MINUTES_KEPT)
    hour = Point({**point.values, "attempts standard/another-route-than-those-of-the-minutes": 5})
    for step in range(HOURS_KEPT + 5):
        hours = hours.with_point(number(NOW, HOUR) + step, series.within(hours, hour), HOURS_KEPT)
    marks = tuple(Mark(NOW + timedelta(minutes=item), "flag", "x" * 200) for item in range(MOST_MARKS))
    return Series(NOW, minutes, hours, marks) if result.at is None else result


def test_the_document_of_the_busiest_day_is_far_below_what_a_store_takes() -> None:
    result = busiest_day()
    assert result.minutes.length == MINUTES_KEPT
    assert result.hours.length == HOURS_KEPT
    assert len(result.minutes.circuits()) == len(result.hours.circuits()) == MOST_CIRCUITS
    size = len(json.dumps(result.to_json(), default=str))
    assert size < 450_000, f"{size:,} bytes; Firestore takes 1,048,576"
    assert Series.from_json(result.to_json()) == result


def test_marks_are_kept_once_the_newest_of_them() -> None:
    result = Series()
    for minute in range(MOST_MARKS + 20):
        mark = Mark(NOW + minute * MINUTE, "flag", f"number {minute}")
        result = result.with_minute(NOW + minute * MINUTE, Point({"images": 0}), [mark, mark] if not minute else [mark])
        result = result.with_minute(NOW + minute * MINUTE, Point({"images": 0}), [mark])
    assert len(result.marks) == MOST_MARKS
    assert result.marks[-1].text == f"number {MOST_MARKS + 19}"
    assert len({item.text for item in result.marks}) == MOST_MARKS


def test_limits_that_move_all_the_time_push_no_breaker_out_of_the_marks() -> None:
    result = Series().with_minute(NOW, Point({"images": 0}), [a_mark(0, "begin", kind="breaker")])
    for minute in range(1, MOST_MARKS + 50):
        mark = Mark(NOW + minute * MINUTE, "limit", f"rpm: {minute}")
        result = result.with_minute(NOW + minute * MINUTE, Point({"images": 0}), [mark])
    assert len(result.marks) == MOST_MARKS
    assert result.marks[0].kind == "breaker"
    assert result.marks[1].text == "rpm: 51"


def a_mark(minute: int, phase: Phase, about: str = "b-1", ends: int = 120, kind: str = "flag") -> Mark:
    return Mark(NOW + minute * MINUTE, kind, phase, about, phase, NOW + ends * MINUTE)


def bands(now: int, *marks: Mark) -> list[tuple[int, int, bool]]:
    """In minutes from NOW: begin, end, and whether it goes on."""
    result = Series(NOW, marks=marks).bands(NOW + now * MINUTE)
    return [((band.begin - NOW) // MINUTE, (band.end - NOW) // MINUTE, band.is_open) for band in result]


def test_a_band_goes_from_its_begin_to_its_end_and_two_flags_have_two() -> None:
    marks = (a_mark(0, "begin"), a_mark(3, "begin", "b-2"), a_mark(5, "end"), a_mark(9, "end", "b-2"))
    assert bands(60, *marks) == [(0, 5, False), (3, 9, False)]


def test_one_that_nobody_ended_goes_on_until_its_time_is_over() -> None:
    assert bands(60, a_mark(0, "begin")) == [(0, 60, True)]
    assert bands(300, a_mark(0, "begin")) == [(0, 120, False)]
    assert bands(300, a_mark(0, "begin"), a_mark(9, "longer", ends=240)) == [(0, 240, False)]


def test_a_reset_that_was_undone_is_a_gap_and_an_end_without_a_begin_is_no_band() -> None:
    marks = (a_mark(0, "begin"), a_mark(5, "end"), a_mark(6, "begin"))
    assert bands(60, *marks) == [(0, 5, False), (6, 60, True)]
    assert bands(60, a_mark(5, "end")) == []


def test_marks_of_an_older_release_are_no_bands_and_are_still_read() -> None:
    old = {"at": NOW, "marks": [{"at": NOW, "kind": "flag", "text": "pause on: a test"}]}
    result = Series.from_json(old)
    assert result.marks == (Mark(NOW, "flag", "pause on: a test"),)
    assert result.bands(NOW) == []


def test_an_hours_routes_are_the_sum_of_its_minutes_and_hours_of_an_older_release_have_none() -> None:
    begin = series.moment(number(NOW, HOUR), HOUR)
    result = Series(hours=Track(number(NOW, HOUR) - 1, {"images": "7"}))
    for minute, failed in ((0, 1), (1, 0), (59, 4), (60, 100)):
        point = Point({"images": 1, "attempts standard/pro": 10, "failed standard/pro": failed})
        result = result.with_minute(begin + minute * MINUTE, point)
    result = result.with_hour(begin + 59 * MINUTE, Point({"images": 3}))
    first = number(begin, HOUR) - 1
    assert result.hours.column("attempts standard/pro", first, 2) == [None, 30]
    assert result.hours.column("failed standard/pro", first, 2) == [None, 5]
    assert result.hours.column("images", first, 2) == [7, 3]
