"""When requests are published."""

from __future__ import annotations

from random import Random

import pytest

from scripts.virtual_time.arrivals import Source, backlog, bursts, merged, poisson
from tests.virtual_time.worlds import MODEL


def a_source(name: str = "s", deadline_after: float | None = None) -> Source:
    return Source(name, MODEL, tenant="shop", priority="bulk", deadline_after=deadline_after)


def test_a_backlog_is_published_at_one_instant() -> None:
    arrivals = backlog(a_source(), 3, at=7)
    assert [arrival.at for arrival in arrivals] == [7, 7, 7]
    assert {(arrival.tenant, arrival.priority, arrival.model) for arrival in arrivals} == {("shop", "bulk", MODEL)}
    assert len({arrival.request_id for arrival in arrivals}) == 3


def test_a_deadline_counts_from_the_publication() -> None:
    assert [burst.deadline for burst in bursts(a_source(deadline_after=30), 1, every=10, begins=0, ends=20)] == [30, 40]


def test_a_poisson_stream_has_its_mean_rate_and_stays_in_its_span() -> None:
    arrivals = poisson(a_source(), 600, begins=100, ends=700, chance=Random(1))
    assert len(arrivals) == pytest.approx(6000, rel=0.05)
    assert all(100 <= arrival.at < 700 for arrival in arrivals)


def test_the_same_chance_gives_the_same_arrivals() -> None:
    first, second = (poisson(a_source(), 60, begins=0, ends=600, chance=Random(4)) for _ in range(2))
    assert first == second


def test_bursts_come_at_their_distance() -> None:
    arrivals = bursts(a_source(), 2, every=60, begins=30, ends=180)
    assert [arrival.at for arrival in arrivals] == [30, 30, 90, 90, 150, 150]


def test_streams_merge_by_time() -> None:
    arrivals = merged(backlog(a_source("late"), 1, at=5), backlog(a_source("early"), 1, at=1))
    assert [arrival.request_id for arrival in arrivals] == ["early-0", "late-0"]
