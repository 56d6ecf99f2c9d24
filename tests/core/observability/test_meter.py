"""The meter compares readings of a ledger that only counts up, and says how each route fares now."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.core.accounting.ledger import LedgerRow
from shared.core.observability.meter import RECENT, Meter
from shared.core.observability.status_summary import Summary
from tests.builders import NOW, a_ledger_row

TODAY, YESTERDAY = "2026-11-22", "2026-11-21"


def row(attempts: int, images: int = 0, model: str = "pro", **more: int) -> LedgerRow:
    return a_ledger_row(model=model, attempts=attempts, images=images, **more)


def after(*readings: tuple[float, LedgerRow], meter: Meter | None = None) -> Meter:
    """Seconds from NOW, and what the ledger says then."""
    result = meter or Meter().read({TODAY: []}, NOW)
    for seconds, one in readings:
        result = result.read({TODAY: [one]}, at(seconds))
    return result


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_the_first_reading_only_says_where_to_begin() -> None:
    meter = Meter().read({TODAY: [row(100, 90, failed_overload=10)]}, NOW)
    assert meter.routes(NOW) == []
    assert meter.minute == {}


def test_a_route_whose_attempts_fail_is_failing_with_its_kind_its_share_and_since_when() -> None:
    meter = after((5, row(2, 2)), (30, row(6, 2, failed_overload=3, failed_timeout=1)))
    (route,) = meter.routes(at(30))
    assert (route.attempts, route.failed, route.percent, route.kind) == (6, 4, 67, "overload")
    assert route.is_failing
    assert route.since == at(30)
    later = after((200, row(12, 2, failed_overload=9, failed_timeout=1)), meter=meter)
    (route,) = later.routes(at(200))
    assert route.since == at(30)
    assert route.failed_at == at(200)


def test_a_route_of_which_nothing_goes_through_is_dead_and_one_misfortune_is_none() -> None:
    (route,) = after((10, row(7, 0, failed_connection=7))).routes(at(10))
    assert (route.images, route.is_failing) == (0, True)
    (route,) = after((10, row(2, 0, failed_connection=2))).routes(at(10))
    assert not route.is_failing


def test_a_refusal_is_an_answer_and_fails_no_route() -> None:
    (route,) = after((10, row(9, 0, failed_refused=9))).routes(at(10))
    assert (route.failed, route.is_failing) == (0, False)


def test_what_is_longer_ago_is_forgotten_and_a_new_failure_begins_anew() -> None:
    meter = after((0.1, row(5, 0, failed_overload=5)))
    assert meter.routes(at(RECENT.total_seconds() + 1)) == []
    again = after((400, row(6, 1, failed_overload=5)), (800, row(16, 1, failed_overload=15)), meter=meter)
    (route,) = again.routes(at(800))
    assert route.since == at(800)


def test_midnight_loses_nothing_and_counts_nothing_twice() -> None:
    meter = Meter().read({YESTERDAY: [row(90, 80)]}, NOW - timedelta(days=1))
    meter = meter.read({YESTERDAY: [row(97, 86)], TODAY: [row(3, 2)]}, NOW)
    assert meter.minute == {"standard/pro": {"attempts": 10, "images": 8}}
    assert after((5, row(3, 2)), meter=meter).minute == meter.minute


def test_it_stays_as_it_is_through_the_summarys_document() -> None:
    meter = after((5, row(4, 1, failed_overload=3, wait_4=2)))
    assert Summary.from_json(Summary(NOW, meter=meter).to_json()).meter == meter


def test_a_summary_of_an_earlier_release_has_a_meter_that_begins() -> None:
    data = Summary(NOW).to_json()
    del data["panels"]["meter"]
    assert Summary.from_json(data).meter == Meter()
