"""From rehearsals to rows of figures: a measure of a scenario, for each strategy and seed."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from scripts.virtual_time import measures
from scripts.virtual_time.run import Rehearsal, rehearse
from scripts.virtual_time.scenarios import MEASURES, SCENARIOS, Goal, Scenario, ScenarioMeasure
from scripts.virtual_time.strategies import LINE_UP, OURS


class RehearsalJob(Struct, frozen=True):
    """One rehearsal."""

    scenario: int
    """Its number in SCENARIOS."""
    strategy: str
    seed: int


class ScenarioFigures(Struct, frozen=True):
    """What is kept of one rehearsal."""

    job: RehearsalJob
    figures: tuple[float, ...]
    """One for each goal of the scenario."""
    renders: int
    calls: int
    abandoned: int
    """Requests that were given up, or had not ended when the rehearsal was broken off."""
    paid_twice: int
    virtual_seconds: float
    cpu_seconds: float

    @classmethod
    def of(cls, job: RehearsalJob, scenario: Scenario, rehearsal: Rehearsal, cpu_seconds: float) -> ScenarioFigures:
        return cls(
            job=job,
            figures=tuple(goal.read(rehearsal) for goal in scenario.goals),
            renders=measures.renders(rehearsal),
            calls=len(rehearsal.calls),
            abandoned=measures.lost(rehearsal) + measures.unfinished(rehearsal),
            paid_twice=measures.paid_twice(rehearsal),
            virtual_seconds=rehearsal.ended_at,
            cpu_seconds=cpu_seconds,
        )


def play(job: RehearsalJob) -> ScenarioFigures:
    """One rehearsal, in a process of the pool."""
    scenario, new = SCENARIOS[job.scenario], LINE_UP[job.strategy]
    if new is None:
        raise LookupError(f"{job.strategy} does not take part")
    began = time.process_time()
    rehearsal = rehearse(scenario.setting, new(), job.seed)
    return ScenarioFigures.of(job, scenario, rehearsal, time.process_time() - began)


class GoalRow(Struct, frozen=True):
    """A goal beside what each strategy reached."""

    scenario: Scenario
    goal: Goal
    by_strategy: Mapping[str, Sequence[float]]
    """One figure a seed; a strategy that did not take part is not there."""
    abandons: frozenset[str]
    """Strategies that left requests unrendered, so that their other figures flatter them."""

    def worst(self, strategy: str) -> float | None:
        """Of the seeds; None where the strategy did not take part."""
        figures = self.by_strategy.get(strategy)
        if figures is None:
            return None
        return max(figures) if self.goal.measure.better == "lower" else min(figures)

    @property
    def met(self) -> bool | None:
        """By our own strategy, with every seed; None where it did not take part."""
        worst = self.worst(OURS)
        return None if worst is None else self.goal.met(worst)


def rows(scenarios: Sequence[Scenario], played: Sequence[ScenarioFigures]) -> dict[ScenarioMeasure, list[GoalRow]]:
    """By measure; within one in the order of the scenarios."""
    by_measure: dict[ScenarioMeasure, list[GoalRow]] = {}
    for number, scenario in enumerate(scenarios):
        own = [scenario_figures for scenario_figures in played if scenario_figures.job.scenario == number]
        if not own:
            continue
        takes_part = [
            name for name in LINE_UP if any(scenario_figures.job.strategy == name for scenario_figures in own)
        ]
        of = {name: sorted((e for e in own if e.job.strategy == name), key=lambda e: e.job.seed) for name in takes_part}
        abandons = frozenset(
            name for name in takes_part if any(scenario_figures.abandoned for scenario_figures in of[name])
        )
        for index, goal in enumerate(scenario.goals):
            figures = {name: [scenario_figures.figures[index] for scenario_figures in of[name]] for name in takes_part}
            by_measure.setdefault(goal.measure, []).append(GoalRow(scenario, goal, figures, abandons))
    return {measure: by_measure[measure] for measure in MEASURES if measure in by_measure}


def situation(row: GoalRow) -> str:
    """The scenario's name; with the window where there are others of that name."""
    alike = sum(scenario.name == row.scenario.name for scenario in SCENARIOS)
    return f"{row.scenario.name}, {row.scenario.window}" if alike > 1 else row.scenario.name


def spoken(figure: float | None) -> str:
    """As a table shows it; infinite is never."""
    if figure is None:
        return ""
    if math.isinf(figure):
        return "never"
    if figure >= 99.95:
        return f"{figure:,.0f}"
    return f"{figure:.0f}" if figure == round(figure) else f"{figure:.1f}" if figure >= 9.995 else f"{figure:.2f}"
