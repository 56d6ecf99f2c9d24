"""`renderlane drill`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from scripts.cli.data.json_output import to_json

if TYPE_CHECKING:
    from scripts.drills.recording import DrillRecording
    from scripts.drills.timeline import TimelineRow

NAMES = ("outage", "quota", "slow", "refusal", "credential", "gone", "lost-answer")


@click.command("drill")
@click.argument("name", metavar="|".join(NAMES), type=click.Choice(NAMES))
@click.option(
    "--seconds",
    type=click.FloatRange(2, 600),
    help="Duration of the failure. Traffic also runs before it, and after it until the worker must have recovered.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object; the timeline goes to standard error.")
@click.pass_context
def command(ctx: click.Context, name: str, seconds: float | None, as_json: bool) -> None:
    """Run a failure drill: timeline and cost.

    Sends the traffic of several teams to a temporary home with its own simulator, then makes the simulator fail. Your
    home, key and quota are not touched; nothing is charged. Exit code 1 if a check fails.
    """
    from scripts.drills import verdict

    played, lines = _play(name, seconds, as_json=as_json)
    if as_json:
        click.echo(to_json(verdict.to_json(played, lines)))
    else:
        from scripts.cli.views.prepare import drill_report
        from scripts.cli.views.see import request_view

        request_view.console().print(*drill_report.verdict(played), sep="\n")
    ctx.exit(1 if played.problems() else 0)


def _play(name: str, seconds: float | None, *, as_json: bool) -> tuple[DrillRecording, list[TimelineRow]]:
    """The timeline is the progress: it is printed line by line."""
    from scripts.cli.views.prepare import drill_report
    from scripts.drills import run_worker
    from scripts.drills.drill_catalogue import scene_of
    from scripts.drills.timeline import Story

    scene = scene_of(name, seconds)

    def tell(line: TimelineRow) -> None:
        began = story.lines[0].at
        click.secho(drill_report.line(line, began), fg=drill_report.COLOURS.get(line.who), err=as_json)

    story = Story(tell)
    click.secho(f"DRILL on a simulator: {scene.about}. About {drill_report.length(scene)} s.", bold=True, err=as_json)
    played = asyncio.run(run_worker.play(scene, heard=story.heard, mark=story.mark))
    story.flush()
    return played, story.lines
