"""`./scripts/demo`: the one-machine home and two dozen sample requests, from publishing to images."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec import Struct
from msgspec.structs import replace

from scripts.cli.data import worker_home
from scripts.cli.data.run.completion import Submission
from scripts.cli.data.run.outgoing import OutgoingMessage, complaints, read_lines, send
from scripts.cli.data.see.requests import RejectedMessage, StoredRequest
from scripts.cli.main import Misconfigured, explained
from scripts.cli.views.money import cost_estimate
from scripts.cli.views.see import contact_sheet, progress, request_view
from scripts.local.home import Home, Simulated, running, simulates
from scripts.local.lock import AlreadyRunning, LockUnusable
from scripts.simulator.provider.faults import REFUSE_MARK
from shared import wiring
from shared.config import Settings
from shared.core.limits.quota import InvalidQuota

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
PLACEHOLDER = b"file:///SAMPLES"
"""Placeholder for the folder of the samples in their reference URIs."""
QUOTA = "gemini-3-pro-image=rpm:60,concurrency:3;*=rpm:120,concurrency:4"
"""Small enough to see requests wait for it. The simulator enforces the same limits."""
LATENCY = "lognormal:1.5,0.3"
PATIENCE = 120.0
PATIENCE_WITH_KEY = 1_800.0
"""Seconds until everything must have ended."""


class DemoPlan(Struct, frozen=True):
    """One run."""

    settings: Settings
    quota: str
    run: str
    """Prefix of every id, so that each run's requests are new ones."""
    lines: Sequence[OutgoingMessage]
    expected: dict[str, str]
    """The status each request should end with, by its id without the run."""


@click.command("demo")
@click.option("--yes", is_flag=True, help="Confirm that requests sent with GEMINI_API_KEY or to Vertex AI are charged.")
@click.pass_context
def command(ctx: click.Context, yes: bool) -> None:
    """Render the sample requests: progress, table, cost, contact sheet. Exit code 0 if all is as expected."""
    with explained():
        plan = make_plan(datetime.now(UTC))
        if plan.settings.pays:
            request_view.console().print(cost_estimate.table(plan.lines, wiring.catalogue(plan.settings), cut=plan.run))
            if not yes:
                click.echo(
                    "A key or Vertex AI is set, so this would be paid for. Nothing was sent. To go on: --yes", err=True
                )
                ctx.exit(2)
        try:
            ctx.exit(asyncio.run(_run(plan)))
        except (AlreadyRunning, LockUnusable) as error:
            raise Misconfigured(str(error)) from error
        except InvalidQuota as error:
            raise Misconfigured(f"RENDERLANE_QUOTA, for the simulator: {error}") from error


def make_plan(now: datetime) -> DemoPlan:
    """Raises InvalidSetting."""
    quota = os.environ.get("RENDERLANE_QUOTA", QUOTA)
    settings = Settings.read(os.environ | {"RENDERLANE_QUOTA": quota}, Path.cwd())
    settings = replace(settings, references=(*settings.references, f"{SAMPLES.as_uri()}/"))
    content = (SAMPLES / "requests.jsonl").read_bytes().replace(PLACEHOLDER, SAMPLES.as_uri().encode())
    run = f"demo-{now:%m%d-%H%M%S}-"
    lines = read_lines(content, run)
    expected: dict[str, str] = json.loads((SAMPLES / "expected.json").read_text("utf-8"))
    if not simulates(settings):  # only the simulator refuses at a word
        lines = [line for line in lines if REFUSE_MARK.encode() not in line.data]
        expected = {name: status for name, status in expected.items() if status != "refused"}
    return DemoPlan(settings, quota, run, lines, expected)


async def _run(plan: DemoPlan) -> int:
    """The exit code."""
    simulated = Simulated(limits=plan.quota, latency=LATENCY)
    console = request_view.console()
    with worker_home.events(plan.settings) as events:
        async with running(plan.settings, 0, simulated, events) as home:
            worker_home.note_start(plan.settings, url=home.url, simulated=home.simulator_url is not None)
            _say_start(plan, home)
            started = datetime.now(UTC)
            sent = await send(home.worker.ports.topics, plan.lines)
            waiting = Submission(home.worker.ports.store, sent)
            with progress.shown(waiting) as report:
                patience = PATIENCE if home.simulator_url else PATIENCE_WITH_KEY
                await waiting.until_ended(patience, report)
            ended = await waiting.answers()
            took = (datetime.now(UTC) - started).total_seconds()
            summary = f"{request_view.summary(ended)}, in {took:.0f} s"
            picture = await contact_sheet.save(
                ended,
                home.worker.ports.images,
                plan.settings.home / "contact-sheets" / f"{plan.run.rstrip('-')}.jpg",
                title=summary,
                note=worker_home.SIMULATOR if home.simulator_url else "",
                cut=plan.run,
            )
            console.print(request_view.results(ended, cut=plan.run))
            console.print(request_view.remarks(ended, cut=plan.run))
            console.print()
            _say_end(plan, home, summary, picture)
    different = differences(ended, plan.expected, plan.run)
    for name in different:
        click.secho(f"not as expected: {name}", fg="red", err=True)
    return 1 if different else 0


def _say_start(plan: DemoPlan, home: Home) -> None:
    if home.simulator_url:
        click.secho(worker_home.SIMULATOR, fg="yellow", bold=True)
    for complaint in complaints(plan.lines, "scripts/samples/requests.jsonl"):
        click.echo(f"on purpose: {complaint}")
    click.echo(f"{len(plan.lines)} messages to {home.url}, ids begin with {plan.run}, quota {plan.quota}")


def _say_end(plan: DemoPlan, home: Home, summary: str, picture: Path) -> None:
    click.secho(summary + (" (SIMULATOR: nothing was charged)" if home.simulator_url else ""), bold=True)
    click.echo(f"images         {plan.settings.images.removeprefix('file://')}")
    click.echo(f"contact sheet  {picture}")
    click.echo(f"one request    .venv/bin/renderlane status {plan.run}owl-final")


def differences(requests: Sequence[StoredRequest | RejectedMessage], expected: dict[str, str], run: str) -> list[str]:
    """What ended differently than the samples expect; a duplicate must not have been rendered twice."""
    ended = {(item.request_id or "").removeprefix(run): item for item in requests}
    different = []
    for name, status in expected.items():
        item = ended.get(name)
        if item is None or item.status != status:
            different.append(f"{name} should be {status} and is {item.status if item else 'not there'}")
        elif isinstance(item, StoredRequest) and status == "succeeded":
            images = sum(attempt.image_uri is not None for attempt in item.attempts)
            if images != 1:
                different.append(f"{name} has {images} images")
    return different + [f"{name} is not among the samples" for name in ended if name not in expected]


if __name__ == "__main__":
    command(prog_name="./scripts/demo")
