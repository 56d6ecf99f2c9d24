"""A race as JSON, and the tables made of that JSON: for the terminal and for docs/benchmarks.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from scripts.bench.race.checker import EntrantFigures
from scripts.bench.race.entrants import OURS, EntrantKind
from scripts.bench.race.reasons import NO_REASON, REASONS
from scripts.bench.race.scene import RaceScene

Row = Mapping[str, Any]
"""The figures of an entrant in a scene, as in the JSON."""
LATE = 5.0
"""Seconds."""
BEGIN, END = "<!-- race: begin, written by ./scripts/bench/run race -->", "<!-- race: end -->"


class FigureColumn(Struct, frozen=True):
    """A figure as the tables show it."""

    title: str
    text: Callable[[Row], str]
    rank: Callable[[Row], float | None] | None = None
    """The less the better; None where it cannot be compared."""
    tolerance: float = 0.0
    """Differences of so much say nothing."""


def _seconds(name: str) -> Callable[[Row], str]:
    return lambda row: "-" if row[name] is None else f"{row[name]:.1f} s"


def _count(name: str) -> Callable[[Row], str]:
    return lambda row: f"{row[name]:,}"


def _least(name: str) -> Callable[[Row], float | None]:
    """None, where there should be a figure, is worse than any."""
    return lambda row: math.inf if row[name] is None else float(row[name])


def _most(name: str) -> Callable[[Row], float | None]:
    return lambda row: math.inf if row[name] is None else -float(row[name])


def _makespan(row: Row) -> str:
    if row["makespan"] is None:
        return "never"
    return f"{row['makespan']:.1f} s ({row['makespan'] / row['ideal']:.2f}x)"


def _cost_error(row: Row) -> str:
    if row["booked_micros"] is None:
        return "no books"
    error = row["booked_micros"] - row["billed_micros"]
    return "$0" if error == 0 else f"{'+' if error > 0 else '-'}${abs(error) / 1e6:.4f}"


def _cost_rank(row: Row) -> float | None:
    return math.inf if row["booked_micros"] is None else float(abs(row["booked_micros"] - row["billed_micros"]))


def _or_never(name: str) -> Callable[[Row], str]:
    return lambda row: "never" if row[name] is None else f"{row[name]:.1f} s"


COLUMNS: Mapping[str, FigureColumn] = {
    "makespan": FigureColumn("all images (of the ideal time)", _makespan, _least("makespan"), 0.5),
    "goodput": FigureColumn("of the limit", lambda row: f"{100 * row['goodput']:.1f} %", _most("goodput"), 0.005),
    "lost": FigureColumn("lost", _count("lost"), _least("lost")),
    "rejected": FigureColumn("429", _count("rejected"), _least("rejected")),
    "sick_calls": FigureColumn("sick calls", _count("sick_calls"), _least("sick_calls")),
    "p50": FigureColumn("wait p50", _seconds("wait_p50"), _least("wait_p50"), 0.05),
    "worst": FigureColumn("worst wait", _seconds("wait_worst"), _least("wait_worst"), 0.1),
    "primary": FigureColumn("by the primary model", _count("primary"), _most("primary")),
    "interactive_p50": FigureColumn("wait p50", _or_never("interactive_p50"), _least("interactive_p50"), 0.05),
    "interactive_p99": FigureColumn("wait p99", _or_never("interactive_p99"), _least("interactive_p99"), 0.1),
    "interactive_missing": FigureColumn("no image", _count("interactive_missing"), _least("interactive_missing")),
    "poison_calls": FigureColumn("poison calls", _count("poison_calls"), _least("poison_calls")),
    "paid_twice": FigureColumn("paid twice", _count("paid_twice"), _least("paid_twice")),
    "wasted": FigureColumn("wasted", lambda row: f"${row['wasted_micros'] / 1e6:.2f}", _least("wasted_micros")),
    "cost_error": FigureColumn("books less bill", _cost_error, _cost_rank),
    "cpu": FigureColumn("CPU ms a render", lambda row: f"{row['cpu_ms']:.0f}", _least("cpu_ms"), 1.0),
    "memory": FigureColumn("peak MB", _count("peak_mb"), _least("peak_mb"), 5.0),
    "cold_start": FigureColumn("cold start", _seconds("cold_start"), _least("cold_start"), 0.1),
}


def scene_json(scene: RaceScene) -> dict[str, Any]:
    return {"title": scene.title, "figures": list(scene.figures), "entrants": {}}


def figures_json(figures: EntrantFigures) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(figures)
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}


def undisturbed(row: dict[str, Any]) -> dict[str, Any]:
    """The row, or that it says nothing: requests that come much too late make another scene."""
    late = row.get("published_late", 0.0)
    return row if late <= LATE else {"missing": f"not measured, the bench published requests {late:.0f} s too late"}


def kinds_json(kinds: Sequence[EntrantKind]) -> dict[str, Any]:
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


class Loss(Struct, frozen=True):
    """A figure of a scene in which peers are ahead of Renderlane."""

    scene: str
    figure: str
    peers: tuple[str, ...]


def losses(race: Mapping[str, Any], scene: str) -> list[Loss]:
    played = race["scenes"][scene]
    rows = {name: row for name, row in played["entrants"].items() if "missing" not in row}
    ours = rows.get(OURS)
    if ours is None:
        return []
    result = []
    for figure in played["figures"]:
        column = COLUMNS[figure]
        if column.rank is None or (own := column.rank(ours)) is None:
            continue
        ahead = [name for name, row in rows.items() if _is_ahead(column.rank(row), own, column.tolerance)]
        if ahead:
            result.append(Loss(scene, figure, tuple(ahead)))
    return result


def _is_ahead(other: float | None, own: float, tolerance: float) -> bool:
    return other is not None and other < own - tolerance


def losses_text(race: Mapping[str, Any], scene: str) -> list[str]:
    behind = losses(race, scene)
    if "missing" in race["scenes"][scene]["entrants"].get(OURS, {"missing": ""}):
        return []
    if not behind:
        return ["", "Renderlane is behind in no figure."]
    lines = ["", "Where Renderlane is behind:", ""]
    for loss in behind:
        peers = " and ".join(race["entrants"][name]["label"] for name in loss.peers)
        lines.append(f"- {COLUMNS[loss.figure].title}, behind {peers}: {reason(loss)}")
    return lines


def reason(loss: Loss) -> str:
    """The reason of this scene, or the one of all scenes."""
    return REASONS.get((loss.scene, loss.figure)) or REASONS.get(("", loss.figure)) or NO_REASON


def markdown(race: Mapping[str, Any]) -> str:
    """The section of docs/benchmarks.md, all of it from the JSON."""
    lines = [BEGIN, ""]
    note = f" {race['note']}" if race.get("note") else ""
    lines += [f"Measured on {race['measured_on']} with {race['machine']}.{note}", ""]
    lines += ["| entrant | what a team writes, lines | settings |", "|---|---|---|"]
    lines += [f"| {kind['label']} | {kind['lines']} | {kind['settings']} |" for kind in race["entrants"].values()]
    for scene, played in race["scenes"].items():
        titles, rows = table(race, scene)
        lines += ["", f"**{played['title']}** (`--scene {scene}`)", ""]
        lines += [f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines += losses_text(race, scene)
    return "\n".join([*lines, "", END])


def put_into(page: str, race: Mapping[str, Any]) -> str:
    """The page with its section of the race replaced."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}")
    return before + markdown(race) + after
