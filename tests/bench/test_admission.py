"""The admission bench: from rehearsals to tables, JSON and chart."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.bench.admission import chart, main
from scripts.bench.admission.figures import RehearsalJob, ScenarioFigures, rows, spoken
from scripts.virtual_time.scenarios import BACK, FINISH, LOST, OVERLOADED, REJECTED, SCENARIOS, WAIT_P99
from scripts.virtual_time.strategies import OURS

OVERLOAD = next(number for number, scenario in enumerate(SCENARIOS) if scenario.name == "overload")
SMALL = next(number for number, scenario in enumerate(SCENARIOS) if scenario.name == "interactive at 10 RPM")


def a_played(
    strategy: str, seed: int, figures: Sequence[float], *, scenario: int = SMALL, abandoned: int = 0
) -> ScenarioFigures:
    job = RehearsalJob(scenario, strategy, seed)
    return ScenarioFigures(job, tuple(figures), 100, 200, abandoned, 0, virtual_seconds=60.0, cpu_seconds=0.1)


def test_a_row_judges_by_the_worst_seed() -> None:
    by_measure = rows(SCENARIOS, [a_played(OURS, 1, [9.0, 0]), a_played(OURS, 2, [11.0, 0])])
    assert [row.worst(OURS) for row in by_measure[WAIT_P99]] == [11.0]
    assert [row.met for row in by_measure[WAIT_P99]] == [False]
    assert [row.met for row in by_measure[LOST]] == [True]


def test_a_strategy_that_did_not_take_part_has_no_figure_and_meets_nothing() -> None:
    by_measure = rows(SCENARIOS, [a_played("full jitter", 1, [math.inf, 3], abandoned=3)])
    row = by_measure[WAIT_P99][0]
    assert (row.worst(OURS), row.met) == (None, None)
    assert row.abandons == {"full jitter"}


def test_measures_stand_in_the_order_of_the_design() -> None:
    figures = [1.0] * len(SCENARIOS[OVERLOAD].goals)
    by_measure = rows(SCENARIOS, [a_played(OURS, 1, figures, scenario=OVERLOAD), a_played(OURS, 1, [1.0, 0])])
    assert list(by_measure) == [OVERLOADED, BACK, WAIT_P99, FINISH, LOST]


@pytest.mark.parametrize(
    ("figure", "text"),
    [(None, ""), (math.inf, "never"), (0.0, "0"), (0.1284, "0.13"), (35.16, "35.2"), (500.0, "500"), (7356.4, "7,356")],
)
def test_figures_are_spoken_shortly(figure: float | None, text: str) -> None:
    assert spoken(figure) == text


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["admission", *words])
    return main.main()


def test_a_run_prints_tables_and_writes_figures_and_a_chart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    figures, chart = tmp_path / "figures.json", tmp_path / "chart.svg"
    words = ["--only", "1 instance", "--seeds", "1", "--strategy", "google-genai", "--strategy", "minute counter"]
    assert run(monkeypatch, *words, "--json", str(figures), "--chart", str(chart)) == 0
    shown = capsys.readouterr().out
    assert "hottest document, mean (writes a second)" in shown
    assert "1 instance, 60 RPM" in shown
    written = json.loads(figures.read_text(), parse_constant=pytest.fail)
    assert {measure["unit"] for measure in written["measures"]} == {"writes a second", "requests"}
    assert {rehearsal["strategy"] for rehearsal in written["rehearsals"]} == {"google-genai", "minute counter"}
    assert chart.read_text().startswith("<?xml")


def test_a_name_that_no_scenario_has_is_refused_with_the_names_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        run(monkeypatch, "--only", "nonsense")
    assert refused.value.code == 2
    assert "late tenant" in capsys.readouterr().err


def test_a_chart_shows_every_measure_even_where_figures_never_come_about(tmp_path: Path) -> None:
    all_of = [
        a_played(name, 1, [math.inf if name == "full jitter" else 0.0] * len(scenario.goals), scenario=number)
        for number, scenario in enumerate(SCENARIOS)
        for name in ("full jitter", "Retry-After")
    ]
    by_measure = rows(SCENARIOS, all_of)
    assert REJECTED in by_measure
    for ending in ("svg", "png"):
        path = tmp_path / f"chart.{ending}"
        chart.draw(by_measure, str(path))
        assert path.stat().st_size > 10_000
