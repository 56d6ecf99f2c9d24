"""A race as JSON, and the tables made of that JSON: for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from scripts.bench.race.checker import Figures
from scripts.bench.race.entrants import Kind
from scripts.bench.race.scene import Scene

BEGIN, END = "<!-- race: begin, written by ./scripts/bench/run race -->", "<!-- race: end -->"


class Column(Struct, frozen=True):
    """A figure as the tables show it."""

    title: str
    text: Callable[[Mapping[str, Any]], str]


def _seconds(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: "-" if row[name] is None else f"{row[name]:.1f} s"


def _count(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: f"{row[name]:,}"


def _makespan(row: Mapping[str, Any]) -> str:
    if row["makespan"] is None:
        return "not finished"
    return f"{row['makespan']:.1f} s ({row['makespan'] / row['ideal']:.2f}x)"


def _cost_error(row: Mapping[str, Any]) -> str:
    if row["booked_micros"] is None:
        return "no books"
    error = row["booked_micros"] - row["billed_micros"]
    return "0" if error == 0 else f"{'+' if error > 0 else '-'}${abs(error) / 1e6:.4f}"


def _interactive_p99(row: Mapping[str, Any]) -> str:
    return "never" if row["interactive_p99"] is None else f"{row['interactive_p99']:.1f} s"


def _interactive_p50(row: Mapping[str, Any]) -> str:
    return "never" if row["interactive_p50"] is None else f"{row['interactive_p50']:.1f} s"


COLUMNS: Mapping[str, Column] = {
    "makespan": Column("all images after (of the ideal)", _makespan),
    "ideal": Column("ideal", _seconds("ideal")),
    "goodput": Column("of the limit", lambda row: f"{100 * row['goodput']:.1f} %"),
    "lost": Column("lost", _count("lost")),
    "rejected": Column("429", _count("rejected")),
    "sick_calls": Column("sick calls", _count("sick_calls")),
    "p50": Column("wait p50", _seconds("wait_p50")),
    "worst": Column("worst", _seconds("wait_worst")),
    "primary": Column("primary model", _count("primary")),
    "interactive_p50": Column("interactive p50", _interactive_p50),
    "interactive_p99": Column("interactive p99", _interactive_p99),
    "interactive_missing": Column("without an image", _count("interactive_missing")),
    "poison_calls": Column("calls for poison", _count("poison_calls")),
    "paid_twice": Column("paid twice", _count("paid_twice")),
    "wasted": Column("wasted", lambda row: f"${row['wasted_micros'] / 1e6:.2f}"),
    "cost_error": Column("books less bill", _cost_error),
    "cpu": Column("CPU ms a render", lambda row: f"{row['cpu_ms']:.0f}"),
    "memory": Column("peak MB", _count("peak_mb")),
    "cold_start": Column("cold start", _seconds("cold_start")),
}


def scene_json(scene: Scene) -> dict[str, Any]:
    return {"title": scene.title, "figures": list(scene.figures), "entrants": {}}


def figures_json(figures: Figures) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(figures)
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}


def kinds_json(kinds: Sequence[Kind]) -> dict[str, Any]:
    return {kind.name: {"label": kind.label, "settings": kind.settings, "lines": kind.lines()} for kind in kinds}


def table(race: Mapping[str, Any], scene: str) -> tuple[list[str], list[list[str]]]:
    """Column titles and rows. An entrant that could not run says so in its first column."""
    played = race["scenes"][scene]
    columns = [COLUMNS[name] for name in played["figures"]]
    rows = []
    for name, kind in race["entrants"].items():
        row = played["entrants"].get(name)
        if row is None:
            continue
        if "missing" in row:
            rows.append([f"{kind['label']}: {row['missing']}", *([""] * len(columns))])
        else:
            rows.append([kind["label"], *(column.text(row) for column in columns)])
    return [column.title for column in columns], rows


def markdown(race: Mapping[str, Any]) -> str:
    """The section of docs/benchmarks.md, all of it from the JSON."""
    lines = [BEGIN, ""]
    lines += [f"Measured on {race['measured_on']} with {race['machine']}.", ""]
    lines += ["| entrant | what a team writes, lines | settings |", "|---|---|---|"]
    lines += [f"| {kind['label']} | {kind['lines']} | {kind['settings']} |" for kind in race["entrants"].values()]
    for scene, played in race["scenes"].items():
        titles, rows = table(race, scene)
        lines += ["", f"**{played['title']}** (`--scene {scene}`)", ""]
        lines += [f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", END])


def put_into(page: str, race: Mapping[str, Any]) -> str:
    """The page with its section of the race replaced."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}")
    return before + markdown(race) + after
