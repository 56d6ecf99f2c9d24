"""The time lines: what each chart shows of the series, and the bands and marks that all of them carry."""

from __future__ import annotations

from functions.console import charts
from functions.console.charts import Chart, TimeLine
from functions.console.desk import ConsoleContext
from shared.core.observability import series
from shared.core.observability.series import HOUR, MINUTE, Mark, Point, Series
from shared.core.values.documents import Create
from tests.builders import NOW
from tests.console.conftest import Browser
from tests.console.states import a_day

PRO = "standard/gemini-3-pro-image"


def chart(line: TimeLine, name: str) -> Chart:
    return next(one for one in line.charts if one.id == name)


def test_a_breaker_is_a_band_over_its_time_and_one_line_of_the_list() -> None:
    line = charts.time_line(a_day(NOW, "idle"), NOW, "24h")
    (band,) = line.happened.bands
    assert (band.kind, band.end - band.begin) == ("breaker", 18 * MINUTE)
    assert round(band.width) == round(1_000 * 18 / 1440)
    breakers = [event for event in line.happened.events if event.kind == "breaker"]
    assert [(event.text, event.lasted) for event in breakers] == [
        (f"breaker of {PRO} on: overload, 5 of 5 calls", "for 18 min")
    ]
    assert {event.kind for event in line.happened.events} == {"breaker", "deploy", "limit"}


def test_what_began_before_the_chart_is_cut_at_its_edge_and_what_goes_on_says_so() -> None:
    marks = (Mark(NOW - 3 * HOUR, "flag", "pause on: a test", "pause-1", "begin", NOW + HOUR),)
    line = charts.time_line(
        Series(NOW, series.Track(series.number(NOW, MINUTE), {"images": "1"}), marks=marks), NOW, "1h"
    )
    (band,) = line.happened.bands
    assert band.x == 0
    assert band.width > 950
    assert line.happened.events[0].lasted == "still, for 3 h 0 min"
    assert line.happened.marks == ()


def test_a_month_names_the_routes_that_failed_too() -> None:
    result = Series()
    for minute in range(120):
        point = Point({"images": 1, "attempts": 10, "failed": 4, f"attempts {PRO}": 10, f"failed {PRO}": 4})
        result = result.with_minute(NOW + minute * MINUTE, point)
    for hour in range(2):
        result = result.with_hour(NOW + hour * HOUR, Point({"images": 60, "attempts": 600, "failed": 240}))
    line = charts.time_line(result, NOW + 2 * HOUR, "30d")
    (route,) = chart(line, "errors").lines
    assert route.name == PRO
    assert 40.0 in route.values


def test_the_time_to_empty_is_that_of_each_moment_and_unknown_where_no_image_came() -> None:
    first = series.number(NOW, MINUTE) - 3
    columns = {"images": "10,0,0,20", "queued": "40,40,0,10"}
    line = charts.time_line(Series(NOW, series.Track(first, columns)), NOW, "1h")
    (time,) = chart(line, "empty").lines
    assert time.values[-4:] == (240.0, None, 0.0, 30.0)


def test_a_level_line_needs_few_points_and_a_gap_parts_it() -> None:
    paths = charts._paths([5, 5, 5, None, 5, 7], 10)
    assert paths == ["0.0,50.0 500.0,50.0", "666.7,50.0 833.3,50.0 1000.0,30.0"]


def test_the_values_for_the_cross_hair_are_in_words() -> None:
    line = charts.time_line(a_day(NOW, "idle"), NOW, "1h")
    rows = [row.split("|") for row in chart(line, "waits").data.split("\n")]
    assert [row[0] for row in rows] == ["p95", "p50"]
    assert all(len(row) == 61 and row[-1].endswith(" s") for row in rows)


async def test_the_page_draws_a_band_in_each_chart(desk: ConsoleContext, browser: Browser) -> None:
    now = (await desk.ports.store.get(series.PATH)).read_at
    await desk.ports.store.commit(Create(series.PATH, a_day(now, "idle").to_json()))
    text = (await browser.look("/time")).text
    assert text.count('<rect class="band breaker"') == text.count("<figure") == 7
    assert "for 18 min" in text
