"""The tables and the JSON of `conduct`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.bench.conduct.flag_scene import EFFECT_WITHIN, FlagChange, FlagFigures
from scripts.drills.recording import DrillRecording
from scripts.drills.scenes import BY_NAME, CALM

COLUMNS = ("images", "primary calls (failed)", "wasted $", "added s")
WIDTH = 150


def print_scenes(worker: Mapping[str, DrillRecording], script: Mapping[str, DrillRecording]) -> None:
    """Renderlane on the left, plain google-genai on the right."""
    table = Table(title="left: Renderlane; right: google-genai with its default retries", title_justify="left")
    table.add_column("scene")
    table.add_column("what fails")
    table.add_column("held")
    for column in (*COLUMNS, *COLUMNS):
        table.add_column(column, justify="right")
    for name in _in_order(worker):
        ours, plain = worker[name], script[name]
        mark = "NO" if ours.problems() else "yes"
        table.add_row(name, ours.scene.about, mark, *_cells(ours, worker[CALM]), *_cells(plain, script[CALM]))
    console = Console(width=WIDTH)
    console.print(table)
    for name in _in_order(worker):
        for problem in worker[name].problems():
            console.print(f"{name}: {problem}", markup=False)
    console.print(
        "images: requests that got one, of all; primary calls: to the model that fails, while it fails, and those "
        "without an image;\n"
        "wasted: charged without an image delivered for it; added: mean time to an image, above the calm scene"
    )


def _in_order(played: Mapping[str, DrillRecording]) -> list[str]:
    return [CALM, *(name for name in BY_NAME if name in played and name != CALM)]


def _cells(played: DrillRecording, calm: DrillRecording) -> list[str]:
    added = _added(played, calm)
    waiting = played.statuses()["queued"]
    images = f"{len(played.delivered)}/{len(played.requests)}" + (f" +{waiting} wait" if waiting else "")
    return [
        images,
        f"{len(played.failing())} ({len(played.failed())})",
        f"{played.wasted_micros / 1e6:.4f}" if played.wasted_micros else "0",
        "-" if added is None else f"{added:+.1f}",
    ]


def _added(played: DrillRecording, calm: DrillRecording) -> float | None:
    """Seconds that an image took longer than in the calm scene, on average; of no meaning for another latency."""
    took, usual = played.mean_seconds(), calm.mean_seconds()
    if took is None or usual is None or played.scene.latency != calm.scene.latency or played is calm:
        return None
    return took - usual


def print_flag(flag_figures: FlagFigures) -> None:
    rows = [
        ("queued when the flag was tripped", f"{flag_figures.queued:,}", ""),
        ("rendered meanwhile, of them by the flag's model", f"{flag_figures.rendered:,}, {flag_figures.bent:,}", ""),
        ("receipts wrong", f"{len(flag_figures.receipts_wrong)}", _mark(not flag_figures.receipts_wrong)),
        ("queued throughout", f"{flag_figures.untouched:,}", ""),
        ("... and rewritten", f"{flag_figures.rewritten:,}", _mark(not flag_figures.rewritten)),
        ("trip: first call of the new route, last of the old", *_change(flag_figures.trip)),
        ("reset: first call of the old route, last of the flag's", *_change(flag_figures.reset)),
        ("booked, charged", f"{flag_figures.booked_micros / 1e6:.6f}, {flag_figures.charged_micros / 1e6:.6f} $",
         _mark(flag_figures.booked_micros == flag_figures.charged_micros)),
    ]  # fmt: skip
    table = Table("", "found", "held", title="a flag tripped and reset over a backlog", title_justify="left")
    for row in rows:
        table.add_row(*row)
    console = Console(width=WIDTH)
    console.print(table)
    for problem in flag_figures.problems():
        console.print(problem, markup=False)


def _change(change: FlagChange) -> tuple[str, str]:
    first = "never" if change.first_new is None else f"{change.first_new:.1f} s"
    return f"{first}, {change.last_old:.1f} s after", _mark(change.last_old <= EFFECT_WITHIN)


def _mark(passed: bool) -> str:
    return "yes" if passed else "NO"


def to_json(worker: Mapping[str, DrillRecording], script: Mapping[str, DrillRecording]) -> dict[str, Any]:
    return {
        name: {
            "about": worker[name].scene.about,
            "held": not worker[name].problems(),
            "problems": worker[name].problems(),
            "renderlane": _figures(worker[name], worker[CALM]),
            "google_genai": _figures(script[name], script[CALM]),
        }
        for name in _in_order(worker)
    }


def _figures(played: DrillRecording, calm: DrillRecording) -> dict[str, Any]:
    added, back = _added(played, calm), played.back_after()
    return {
        "requests": len(played.requests),
        "statuses": dict(played.statuses()),
        "images_delivered": len(played.delivered),
        "images_paid": played.paid_images,
        "calls": len(played.all_calls),
        "primary_calls_in_the_failure": len(played.failing()),
        "primary_calls_that_failed": len(played.failed()),
        "wasted_micros": played.wasted_micros,
        "mean_seconds": _rounded(played.mean_seconds()),
        "worst_seconds": _rounded(played.worst_seconds()),
        "added_seconds": _rounded(added),
        "breaker_trips": len(played.breaker("trip")),
        "primary_back_after_seconds": _rounded(back) if played.scene.mends else None,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
