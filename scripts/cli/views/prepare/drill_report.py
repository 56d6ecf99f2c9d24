"""A drill as shown: the timeline's lines, and the verdict with its figures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from rich.console import RenderableType
from rich.table import Table

from scripts.cli.views.see.request_view import dollars
from scripts.drills.recording import DrillRecording
from scripts.drills.scene import DrillScene
from scripts.drills.timeline import TimelineRow
from scripts.drills.verdict import check_promises, figures

COLOURS: Mapping[str, str] = {"drill": "cyan", "breaker": "yellow", "escalation": "red", "on-call": "magenta"}


def length(scene: DrillScene) -> int:
    """Seconds from the start to the verdict, where all goes well."""
    return round(5 + scene.traffic.seconds)


def line(entry: TimelineRow, began: datetime) -> str:
    return f"{(entry.at - began).total_seconds():6.1f} s  {entry.who:<10}  {entry.what}"


def verdict(played: DrillRecording) -> list[RenderableType]:
    checked_promises = check_promises(played)
    word = "passed" if all(checked_promise.problem is None for checked_promise in checked_promises) else "FAILED"
    return ["", f"Result of the drill `{played.scene.name}`: {word}", _promises(played), "", _figures(played)]


def _promises(played: DrillRecording) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for checked_promise in check_promises(played):
        grid.add_row(
            "yes" if checked_promise.problem is None else "NO", checked_promise.promise, checked_promise.problem or ""
        )
    return grid


def _figures(played: DrillRecording) -> RenderableType:
    values = figures(played)
    models = ", ".join(f"{count} by {model}" for model, count in values["images_by_model"].items())
    rows = [
        ("requests", f"{values['requests']}"),
        ("images", f"{values['images']}" + (f" ({models})" if models else "")),
        ("refused, waiting, failed", f"{values['refused']}, {values['waiting']}, {values['failed']}"),
        ("primary calls in the failure", f"{values['primary_calls_in_the_failure']}, of which "
                                         f"{values['primary_calls_that_failed']} failed"),
        ("charged, of it wasted", f"{dollars(values['charged_micros'])}, "
                                  f"{dollars(values['wasted_micros'])} (simulated)"),
        ("breaker tripped after", _time(values["breaker_tripped_after_seconds"])),
        ("breaker reset after recovery", _time(values["breaker_reset_after_mending_seconds"])),
        ("primary back after recovery", _time(values["primary_back_after_mending_seconds"])),
        ("time to an image, mean and worst", f"{_time(values['mean_seconds_to_an_image'])}, "
                                             f"{_time(values['worst_seconds_to_an_image'])}"),
    ]  # fmt: skip
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    return grid


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
