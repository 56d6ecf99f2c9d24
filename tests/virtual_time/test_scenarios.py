"""The scenarios and their goals."""

from __future__ import annotations

from random import Random

from scripts.virtual_time.scenarios import LOST, MEASURES, MODEL, SCENARIOS


def test_every_measure_is_taken_somewhere() -> None:
    assert {goal.measure for scenario in SCENARIOS for goal in scenario.goals} == set(MEASURES)


def test_every_scenario_asks_that_nothing_is_lost() -> None:
    assert all(any(goal.measure == LOST and goal.bound == 0 for goal in scenario.goals) for scenario in SCENARIOS)


def test_no_two_scenarios_have_name_and_window_in_common() -> None:
    assert len({(scenario.name, scenario.window) for scenario in SCENARIOS}) == len(SCENARIOS)


def test_arrivals_are_sorted_repeatable_and_have_ids_of_their_own() -> None:
    for scenario in SCENARIOS:
        first, second = (scenario.setting.arrivals(Random(5)) for _ in range(2))
        assert list(first) == list(second)
        assert list(first) == sorted(first, key=lambda arrival: arrival.at)
        assert len({arrival.request_id for arrival in first}) == len(first) > 0
        assert {arrival.model for arrival in first} == {MODEL}


def test_a_figure_on_the_bound_meets_its_goal() -> None:
    for scenario in SCENARIOS:
        for goal in scenario.goals:
            worse = 1 if goal.measure.better == "lower" else -1
            assert goal.met(goal.bound)
            assert not goal.met(goal.bound + worse)
