"""Figures, on traces made by hand."""

from __future__ import annotations

import math

import pytest

from scripts.virtual_time import measures
from scripts.virtual_time.models.provider_reply import IMAGE, OVERLOADED, UNEXPLAINED, Answer, DayFull, MinuteFull
from tests.virtual_time.worlds import a_rehearsal, a_request

FULL = MinuteFull("GenerateRequestsPerMinutePerProjectPerModel", 60, 10.0)
DAY = DayFull("GenerateRequestsPerDayPerProjectPerModel", 100, 0.856)


def every_second(begins: int, ends: int) -> list[tuple[float, Answer]]:
    return [(float(at), IMAGE) for at in range(begins, ends)]


def test_goodput_is_the_share_of_the_limit_that_was_accepted_in_the_span() -> None:
    rehearsal = a_rehearsal(calls=[*every_second(0, 90), (90, FULL), (91, FULL)])
    assert measures.goodput(rehearsal, per_minute=60, begins=0, ends=60) == 100
    assert measures.goodput(rehearsal, per_minute=60, begins=60, ends=120) == 50


def test_rejections_are_counted_for_a_thousand_renders() -> None:
    requests = [a_request(f"r-{number}", ended_at=1.0) for number in range(10)]
    calls: list[tuple[float, Answer]] = [(1, FULL), (2, DAY), (3, UNEXPLAINED), (4, OVERLOADED), *every_second(5, 15)]
    rehearsal = a_rehearsal(requests, calls)
    assert measures.quota_rejections(rehearsal) == 300
    assert measures.overloads(rehearsal) == 100


def test_rejections_without_a_render_are_without_bound() -> None:
    assert measures.quota_rejections(a_rehearsal([a_request(status="lost")], [(1, FULL)])) == math.inf


def test_a_lost_request_waits_for_ever() -> None:
    begun = [a_request(f"r-{number}", at=10, began_at=10 + number, priority="interactive") for number in range(1, 10)]
    lost = a_request("lost", status="lost", priority="interactive")
    bulk = a_request("bulk", began_at=500, priority="bulk")
    rehearsal = a_rehearsal([*begun, lost, bulk])
    assert measures.wait(rehearsal, 0.5, "interactive") == 5
    assert measures.wait(rehearsal, 0.9, "interactive") == 9
    assert measures.wait(rehearsal, 0.99, "interactive") == math.inf
    assert measures.wait(rehearsal, 0.99, "interactive", published_from=1) == 9


def test_a_quantile_is_a_value_that_was_seen() -> None:
    assert [measures.quantile([4, 1, 3, 2], share) for share in (0, 0.5, 0.51, 1)] == [1, 2, 3, 4]
    with pytest.raises(ValueError):
        measures.quantile([], 0.5)


def test_the_last_start_counts_from_the_first_publication_of_the_tenant() -> None:
    requests = [
        a_request("a", at=0, tenant="first", began_at=90),
        a_request("b", at=20, tenant="late", began_at=30),
        a_request("c", at=20, tenant="late", began_at=70),
    ]
    assert measures.last_start(a_rehearsal(requests)) == 90
    assert measures.last_start(a_rehearsal(requests), "late") == 50
    requests.append(a_request("d", at=20, tenant="late", status="lost"))
    assert measures.last_start(a_rehearsal(requests), "late") == math.inf


def test_a_rate_is_back_when_ten_seconds_hold_nine_tenths_of_it() -> None:
    after = [(100 + number, IMAGE) for number in range(0, 20, 4)]
    back = [(120 + number, IMAGE) for number in range(20)]
    assert measures.back_after(a_rehearsal(calls=[*after, *back]), ends=100, per_minute=60) == 20
    assert measures.back_after(a_rehearsal(calls=back), ends=121, per_minute=60) == 0
    assert measures.back_after(a_rehearsal(calls=after), ends=100, per_minute=60) == math.inf


def test_the_hottest_document_is_judged_by_its_mean_and_by_its_worst_ten_seconds() -> None:
    writes = {"pump/pump": [float(at) for at in range(100)], "calendars/a": [50 + number / 4 for number in range(40)]}
    rehearsal = a_rehearsal(writes=writes, ended_at=100)
    assert measures.hottest_mean(rehearsal) == 1
    assert measures.hottest_worst(rehearsal) == 4
    assert measures.hottest_mean(a_rehearsal()) == measures.hottest_worst(a_rehearsal()) == 0


def test_writes_are_counted_for_each_render() -> None:
    requests = [a_request("a", ended_at=1), a_request("b", ended_at=1), a_request("c", status="lost")]
    rehearsal = a_rehearsal(requests, writes={"requests/a": [1.0], "requests/b": [1.0], "pump/pump": [1.0]})
    assert measures.writes_per_render(rehearsal) == 1.5


def test_every_request_is_rendered_lost_or_unfinished() -> None:
    requests = [
        a_request("a", ended_at=1, accepted=2),
        a_request("b", status="lost", ended_at=1),
        a_request("c", status="queued"),
    ]
    rehearsal = a_rehearsal(requests)
    assert measures.renders(rehearsal) == measures.lost(rehearsal) == measures.unfinished(rehearsal) == 1
    assert measures.paid_twice(rehearsal) == 1
