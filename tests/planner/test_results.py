"""Figures of loads whose course is known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from scripts.planner import lower_bound
from scripts.planner.alternatives import Alternative, alternatives
from scripts.planner.forecast import ForecastBasis, play
from scripts.planner.load import PlannedLoad
from scripts.planner.results import PlanFigures, QueueForecast, course, figures
from scripts.planner.synthetic_load import RequestKind
from shared.core.limits.quota import Limits
from tests.builders import a_catalogue
from tests.planner.worlds import BANANA, LITE, PRO, START, a_file, a_load, a_stage


def foreseen(load: PlannedLoad, stage: ForecastBasis) -> QueueForecast:
    return course(play(load.wanted, stage), stage)


def by_name(ways: Sequence[Alternative]) -> dict[str, Alternative]:
    return {alternative.name: alternative for alternative in ways}


def test_a_backlog_takes_the_minutes_that_its_limit_needs() -> None:
    forecast = foreseen(a_load(60), a_stage("*=rpm:20"))
    assert forecast.ideal == 120
    assert 120 <= forecast.begun <= 127
    assert forecast.finished == pytest.approx(forecast.begun + 10, abs=1)
    assert forecast.waits["normal"]["p50"] == pytest.approx(62, abs=4)
    model = forecast.models[BANANA]
    assert (model.binds, model.idle_share) == ("rpm", 0.0)
    assert model.bound_share > 0.9


def test_the_same_seed_foresees_the_same() -> None:
    assert foreseen(a_load(), a_stage(seed=3)) == foreseen(a_load(), a_stage(seed=3))


def test_each_model_has_its_own_quota() -> None:
    load = a_file(*[{"purpose": "draft"}] * 20, *[{"purpose": "final"}] * 40)
    forecast = foreseen(load, a_stage("*=rpm:20"))
    assert forecast.models[LITE].begun < 10
    assert 60 <= forecast.models[PRO].begun < 70


def test_tokens_bind_where_they_are_what_is_short() -> None:
    forecast = foreseen(a_load(30, tokens=1000), a_stage("*=rpm:100,tpm:10000"))
    assert forecast.models[BANANA].binds == "tpm"
    assert forecast.ideal == 120
    assert 120 <= forecast.begun <= 127


def test_the_project_spend_binds_over_ten_minutes() -> None:
    forecast = foreseen(a_load(6, RequestKind("final", None, "4K")), a_stage("*=rpm:100,spend10m_usd:1"))
    assert forecast.models[PRO].binds == "spend10m_usd"
    assert forecast.begun > 600


def test_what_does_not_fit_into_the_day_waits_for_pacific_midnight() -> None:
    forecast = foreseen(a_load(30), a_stage("*=rpm:20,rpd:25"))
    midnight = 23 * 3600
    assert forecast.ideal == midnight
    assert midnight <= forecast.begun < midnight + 15
    assert forecast.models[BANANA].by_day == {"2026-12-01": 25, "2026-12-02": 5}
    assert forecast.models[BANANA].binds == "rpd"


def test_a_small_fleet_is_named_as_what_holds_and_told_how_large_is_enough() -> None:
    forecast = foreseen(a_load(60), a_stage("*=rpm:600", capacity=10))
    assert forecast.models[BANANA].binds == "capacity"
    assert forecast.most_at_once == 8
    assert forecast.capacity_enough == 75


def test_unknown_limits_leave_idle_quota_unknown() -> None:
    forecast = foreseen(a_load(60), a_stage(""))
    assert forecast.models[BANANA].idle_share is None
    assert forecast.ideal == 0


def test_requests_past_their_deadline_are_not_rendered() -> None:
    soon = {"deadline": "2026-12-01T09:00:30Z"}
    forecast = foreseen(a_file(*[soon] * 30), a_stage("*=rpm:20"))
    assert forecast.unrendered == 10
    assert forecast.waits["normal"]["p99"] == float("inf")


def test_interactive_requests_overtake() -> None:
    load = a_file(*[{"priority": "bulk"}] * 40, *[{"priority": "interactive"}] * 10)
    waits = foreseen(load, a_stage("*=rpm:20")).waits
    assert waits["interactive"]["p99"] < waits["bulk"]["p50"]


def test_alternatives_stand_only_where_they_change_something() -> None:
    assert list(by_name(alternatives(a_load(2, RequestKind("draft")).wanted, a_catalogue()))) == [
        "as asked",
        "batch lane",
    ]
    ways = by_name(alternatives(a_load(2, RequestKind("final", None, "4K")).wanted, a_catalogue()))
    assert list(ways) == ["as asked", "one size lower", "flex lane", "batch lane"]
    assert {wanted.route.image_size for wanted in ways["one size lower"].wanted} == {"2K"}


def test_no_size_goes_below_its_floor() -> None:
    load = a_file({"image_size": "4K", "floor": "exact"}, {"image_size": "4K", "floor": {"image_size": "4K"}}, {})
    assert "one size lower" not in by_name(alternatives(load.wanted, a_catalogue()))


def test_interactive_requests_stay_out_of_the_batch_lane() -> None:
    load = a_file({"priority": "interactive"}, {"priority": "bulk"})
    batch = by_name(alternatives(load.wanted, a_catalogue()))["batch lane"]
    assert [wanted.route.lane for wanted in batch.wanted] == ["standard", "batch"]
    assert len(batch.through_the_queue) == 1


def test_cost_is_the_catalogues_and_batch_is_half_of_it() -> None:
    stage, catalogue = a_stage(), a_catalogue()
    results: dict[str, PlanFigures] = {
        alternative.name: figures(alternative, None, stage, catalogue)
        for alternative in alternatives(a_load(10, RequestKind("final", None, "2K")).wanted, catalogue)
    }
    cost, batch = results["as asked"].cost, results["batch lane"].cost
    assert cost.listed == 10 * 134_000
    assert cost.listed < cost.estimate < cost.most == 3 * cost.estimate
    assert batch.estimate * 2 == cost.estimate


def test_no_request_costs_more_than_its_cap() -> None:
    (alternative, *_) = alternatives(a_file({"max_cost_usd": "0.05"}).wanted, a_catalogue())
    assert figures(alternative, None, a_stage(), a_catalogue()).cost.most == 50_000


@pytest.mark.parametrize(
    ("limits", "last"),
    [
        (Limits(), 0.0),
        (Limits(rpm=10), 120.0),
        (Limits(rpm=100, ipm=10), 120.0),
        (Limits(tpm=1000), 300.0),
        (Limits(rpm=10, rpd=20), 23 * 3600.0),
    ],
)
def test_the_ideal_is_what_the_limits_allow_and_no_more(limits: Limits, last: float) -> None:
    assert lower_bound.last_start([(0.0, 200)] * 30, limits, START) == last


def test_the_ideal_is_found_where_instants_are_no_round_numbers() -> None:
    arrivals = [(number * 0.1 + 1 / 3, 1) for number in range(500)]
    assert lower_bound.last_start(arrivals, Limits(rpm=7), START) == pytest.approx(500 // 7 * 60, abs=5)


def test_the_ideal_waits_for_what_is_not_yet_published() -> None:
    assert lower_bound.last_start([(0.0, 1), (500.0, 1)], Limits(rpm=1), START) == 500.0
