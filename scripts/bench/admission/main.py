"""Admission rehearsed in virtual time: what the design promises, beside what the usual strategies reach.

Same arrivals, provider, fleet and seeds for each. A table a measure; each figure is the worst of the seeds.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from scripts.bench.admission.figures import GoalRow, RehearsalJob, ScenarioFigures, play, rows, situation, spoken
from scripts.bench.harness import rig
from scripts.virtual_time.scenarios import SCENARIOS, ScenarioMeasure
from scripts.virtual_time.strategies import LINE_UP, OURS

PROCESSES = 2
ABANDONS = "†"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--quick", action="store_true", help="one seed, sliding windows, no large fleet: under a minute"
    )
    options.add_argument("--only", metavar="SCENARIO", action="append", help="part of a scenario's name; repeatable")
    options.add_argument("--strategy", choices=list(LINE_UP), action="append", help="repeatable; default: all")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--json", metavar="FILE")
    options.add_argument("--chart", metavar="FILE", help="ends in .svg or .png")
    arguments = options.parse_args()
    if arguments.seeds < 1:
        options.error(f"--seeds: found {arguments.seeds}; allowed: 1 or more")
    if arguments.chart and not arguments.chart.endswith((".svg", ".png")):
        options.error(f"--chart: found {arguments.chart!r}; allowed: a name that ends in .svg or .png")
    jobs = list(_jobs(arguments.quick, arguments.only, arguments.strategy, 1 if arguments.quick else arguments.seeds))
    if not jobs:
        options.error(
            f"--only: nothing is called like that; there are: {', '.join(sorted({s.name for s in SCENARIOS}))}"
        )
    began = time.monotonic()
    played = _play(jobs)
    rows_by_measure = rows(SCENARIOS, played)
    _print(rows_by_measure)
    print(f"{len(jobs)} rehearsals in {time.monotonic() - began:.0f} s; each figure is the worst of the seeds.")
    print(f"{ABANDONS} left requests unrendered: its other figures flatter it.")
    rig.write_json(arguments.json, _as_json(rows_by_measure, played))
    if arguments.chart:
        from scripts.bench.admission import chart

        chart.draw(rows_by_measure, arguments.chart)
    return 1 if any(row.met is False for items in rows_by_measure.values() for row in items) else 0


def _jobs(
    quick: bool, only: Sequence[str] | None, strategies: Sequence[str] | None, seeds: int
) -> Iterator[RehearsalJob]:
    for number, scenario in enumerate(SCENARIOS):
        if quick and not scenario.quick:
            continue
        if only and not any(part.lower() in scenario.name.lower() for part in only):
            continue
        for strategy, new in LINE_UP.items():
            if new is not None and (strategies is None or strategy in strategies):
                yield from (RehearsalJob(number, strategy, seed) for seed in range(1, seeds + 1))


def _play(jobs: Sequence[RehearsalJob]) -> list[ScenarioFigures]:
    """All rehearsals, with a bar on a terminal and a line for each scenario elsewhere."""
    columns = (BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    played: list[ScenarioFigures] = []
    pool = ProcessPoolExecutor(PROCESSES, get_context("spawn"))
    with pool, Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(jobs))
        for done in as_completed([pool.submit(play, job) for job in jobs]):
            played.append(done.result())
            job = played[-1].job
            name = SCENARIOS[job.scenario].name
            bar.update(task, advance=1, description=f"{name}, {job.strategy}")
            if not console.is_terminal and not _left(jobs, played, job.scenario):
                print(
                    f"{len(played)}/{len(jobs)}  {name}, {SCENARIOS[job.scenario].window}", file=sys.stderr, flush=True
                )
    return played


def _left(jobs: Iterable[RehearsalJob], played: Iterable[ScenarioFigures], scenario: int) -> int:
    return sum(job.scenario == scenario for job in jobs) - sum(figures.job.scenario == scenario for figures in played)


def _print(rows: Mapping[ScenarioMeasure, Sequence[GoalRow]]) -> None:
    console = Console(width=120)
    for measure, item in rows.items():
        table = Table(title=f"{measure.name} ({measure.unit})", title_justify="left", box=SIMPLE_HEAD)
        table.add_column("", no_wrap=True, width=39)
        for name in LINE_UP:
            table.add_column(
                name.replace(" ", "\n").replace("-", "-\n"),
                style="bold" if name == OURS else None,
                justify="right",
                min_width=7,
                no_wrap=True,
            )
        table.add_column("goal", justify="right", min_width=6)
        table.add_column("met", justify="right")
        for row in item:
            table.add_row(*_cells(row))
        console.print(table)


def _cells(row: GoalRow) -> list[str]:
    figures = [spoken(row.worst(name)) + (ABANDONS if name in row.abandons else "") for name in LINE_UP]
    sign = "≤" if row.goal.measure.better == "lower" else "≥"
    met = {None: "", True: "yes", False: "NO"}[row.met]
    return [situation(row), *figures, f"{sign} {row.goal.bound:g}", met]


def _as_json(rows: Mapping[ScenarioMeasure, Sequence[GoalRow]], played: Sequence[ScenarioFigures]) -> dict[str, Any]:
    """`null` for a figure is never."""
    return {
        "measures": [
            {
                "measure": measure.name,
                "unit": measure.unit,
                "scenario": row.scenario.name,
                "about": row.scenario.about,
                "window": row.scenario.window,
                "goal": {"at_most" if measure.better == "lower" else "at_least": row.goal.bound},
                "met": row.met,
                "worst": {name: _finite(row.worst(name)) for name in row.by_strategy},
                "by_seed": {name: [_finite(value) for value in of] for name, of in row.by_strategy.items()},
            }
            for measure, item in rows.items()
            for row in item
        ],
        "rehearsals": [
            {
                "scenario": SCENARIOS[figures.job.scenario].name,
                "window": SCENARIOS[figures.job.scenario].window,
                "strategy": figures.job.strategy,
                "seed": figures.job.seed,
                "renders": figures.renders,
                "calls": figures.calls,
                "abandoned_requests": figures.abandoned,
                "paid_twice_requests": figures.paid_twice,
                "virtual_seconds": round(figures.virtual_seconds, 1),
                "cpu_seconds": round(figures.cpu_seconds, 2),
            }
            for figures in sorted(
                played, key=lambda figures: (figures.job.scenario, figures.job.strategy, figures.job.seed)
            )
        ],
        "ours": OURS,
    }


def _finite(figure: float | None) -> float | None:
    return None if figure is None or math.isinf(figure) else round(figure, 4)


if __name__ == "__main__":
    sys.exit(main())
