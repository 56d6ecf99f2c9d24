"""`renderlane status` without an id: the worker's state, in the words of the console's first line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from scripts.cli.data import worker_home

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shared.core.observability.verdict import Finding
    from shared.flows.status.scene_reading import Situation

SIGNS = {"green": "●", "amber": "▲", "red": "■"}
STYLES = {"green": "green", "amber": "yellow", "red": "bold red"}


async def show(*, as_json: bool) -> int:
    """The exit code: 1 if someone has to act at once."""
    from scripts.cli.data.json_output import to_json
    from scripts.cli.data.see import routing
    from scripts.cli.views.see import request_view
    from shared import wiring
    from shared.flows.status import scene_reading

    settings = worker_home.read_settings()
    catalogue = wiring.catalogue(settings)
    async with worker_home.reading(settings) as store:
        worker_home.say_if_simulated(settings)
        is_stopped = not worker_home.may_run(settings)
        now = await scene_reading.read(store, routing.read(store, settings, catalogue), is_stopped=is_stopped)
    if as_json:
        click.echo(to_json(document(now)))
    else:
        request_view.console().print(*lines(now), sep="\n")
    if not is_stopped:  # else the first line says so
        worker_home.warn_unless_running(settings)
    return int(now.verdict.level == "red")


def document(now: Situation) -> dict[str, Any]:
    """One object: the verdict, its figures, and the other findings."""
    scene, summary = now.scene, now.summary
    spent = summary.spent if summary is not None else None
    wait = scene.wait_95
    return {
        "level": now.verdict.level,
        **_finding(now.verdict.first),
        "also": [_finding(finding) | {"level": finding.level} for finding in now.verdict.others],
        "counted_at": summary.at if summary is not None else None,
        "waiting": scene.waiting,
        "in_flight": summary.running_count if summary is not None else 0,
        "awaiting_provider": summary.awaiting_count if summary is not None else 0,
        "awaiting_since": summary.awaiting_since if summary is not None else None,
        "images_per_minute": scene.images_per_minute,
        "failing_percent": scene.failing_percent,
        "wait_p95_seconds": None if wait is None else wait.total_seconds(),
        "cost_today_micros": None if spent is None else spent.google_micros,
        "cost_read_at": None if spent is None else spent.at,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "state": finding.state, "title": finding.title, "detail": finding.detail, "next_step": finding.next_step,
        "runbook": finding.heading,
    }  # fmt: skip


def lines(now: Situation) -> Iterator[RenderableType]:
    """The verdict and the other findings, each with its step; then the figures."""
    from rich.padding import Padding
    from rich.text import Text

    below = (0, 0, 0, 2)
    first = now.verdict.first
    yield Text(f"{SIGNS[now.verdict.level]} {first.title}", STYLES[now.verdict.level])
    yield Padding(Text(first.detail), below, expand=False)
    yield Padding(Text(f"Next: {first.next_step}{_runbook(first)}"), below, expand=False)
    for finding in now.verdict.others:
        yield Text(f"{SIGNS[finding.level]} {finding.title}", STYLES[finding.level])
        yield Padding(Text(f"{finding.detail} {finding.next_step}{_runbook(finding)}"), below, expand=False)
    yield Padding(Text(_figures(now)), below, expand=False)


def _runbook(finding: Finding) -> str:
    return f" (RUNBOOK.md: {finding.heading})" if finding.heading else ""


def _figures(now: Situation) -> str:
    from shared.core.observability import display

    scene = now.scene
    spent = now.summary.spent if now.summary is not None else None
    figures = [
        f"{scene.waiting:,} waiting",
        *_awaiting(now),
        f"{scene.images_per_minute:.0f} images/min",
        f"{scene.failing_percent} % of calls fail",
        f"wait p95 {display.left(scene.wait_95) if scene.wait_95 else '-'}",
        *(
            [f"{display.money(spent.google_micros)} today, as read {display.age(spent.at, scene.now)} ago"]
            if spent is not None
            else []
        ),
    ]
    return " · ".join(figures)


def _awaiting(now: Situation) -> Iterator[str]:
    """What runs at the provider without a worker."""
    from shared.core.observability import display

    summary = now.summary
    if summary is None or not summary.awaiting_count:
        return
    longest = (
        f", the longest for {display.age(summary.awaiting_since, now.scene.now)}" if summary.awaiting_since else ""
    )
    yield f"{summary.awaiting_count:,} awaiting the provider{longest}"
