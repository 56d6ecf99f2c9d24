"""`renderlane up`."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from scripts.cli.data import streams, worker_home
from shared.core.values.money import usd

if TYPE_CHECKING:
    from scripts.local.home import Home, Simulated
    from shared.config import Settings

IGNORED_KEY = (
    "GOOGLE_API_KEY is set but ignored, because it may belong to another product. To use it, set GEMINI_API_KEY."
)
LIVE = "LIVE: requests are rendered by Google and charged to the account of the key or project"
MINUTE = 60.0
SHAPES_THE_SIMULATOR = ("limits", "latency", "seed")


@click.command("up")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, help="Port; 0 picks a free one."
)
@click.option("--limits", default="", metavar="TEXT", help="Simulator quota, in RENDERLANE_QUOTA syntax.")
@click.option(
    "--latency", default="lognormal:1.5,0.4", show_default=True,
    help="Simulator latency: lognormal:MEDIAN,SIGMA, fixed:S or uniform:A,B.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed of the simulator.")
@click.option("--yes", is_flag=True, help="Start with a real key without asking (as RENDERLANE_CONFIRM=live).")
@click.pass_context
def command(ctx: click.Context, port: int, limits: str, latency: str, seed: int, yes: bool) -> None:
    """Run the worker on this machine until SIGINT or SIGTERM.

    Prints a line each minute in which something happened. With a key or Vertex AI, calls are charged: it asks first.
    """
    from scripts.local.home import Simulated

    if os.environ.pop("GOOGLE_API_KEY", "").strip():  # taken out: Google's SDK would look at it too
        click.echo(IGNORED_KEY, err=True)
    settings = worker_home.read_settings()
    _refuse_idle_options(ctx, settings)
    _confirm_live(settings, yes=yes)
    asyncio.run(_up(settings, port, Simulated(limits, latency, seed)))


def _refuse_idle_options(ctx: click.Context, settings: Settings) -> None:
    from scripts.local.home import simulates

    given = [name for name in SHAPES_THE_SIMULATOR if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given and not simulates(settings):
        named = "GOOGLE_GEMINI_BASE_URL" if settings.base_url else "RENDERLANE_VERTEX_ROUTE"
        variable = "GEMINI_API_KEY" if settings.api_key else named
        raise click.UsageError(
            f"--{given[0]} configures the built-in simulator, which is off because {variable} is set. "
            f"Remove --{given[0]} or unset {variable}."
        )


def _confirm_live(settings: Settings, *, yes: bool) -> None:
    """Nothing is paid for because of a forgotten environment variable."""
    if not settings.is_live:
        return
    budget = settings.default_budget_micros
    limit = f"${usd(budget)} a day for each tenant" if budget is not None else "no default budget"
    click.secho(f"{LIVE} ({limit})", fg="yellow", bold=True, err=True)
    if yes or settings.confirmed_live:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("calls would be charged. To start: --yes, or RENDERLANE_CONFIRM=live")
    click.confirm("Start?", abort=True, err=True)


async def _up(settings: Settings, port: int, simulated: Simulated) -> None:
    from scripts.cli.main import Misconfigured
    from scripts.local.home import CannotListen, running, until_signalled
    from scripts.local.lock import AlreadyRunning, LockUnusable
    from scripts.simulator.provider.latency import InvalidLatency
    from shared.core.limits.quota import InvalidQuota

    try:
        with worker_home.events(settings) as events:
            async with running(settings, port, simulated, events) as home:
                worker_home.note_start(settings, url=home.url, simulated=home.simulator_url is not None)
                told_to_stop = asyncio.create_task(until_signalled(lambda: None))
                await asyncio.sleep(0)  # it listens before anybody knows that there is something to stop
                click.echo(_ready(home, events.name))
                for note in home.notes:
                    click.echo(note, err=True)
                minutes = asyncio.create_task(_tell_minutes(home))
                await told_to_stop
                minutes.cancel()
                await _say_what_is_left(home)
    except (AlreadyRunning, LockUnusable) as error:
        raise Misconfigured(str(error)) from error
    except InvalidQuota as error:
        raise Misconfigured(f"--limits: {error}") from error
    except InvalidLatency as error:
        raise Misconfigured(f"--latency: {error}") from error
    except CannotListen as error:
        raise Misconfigured(f"port {port} is not available ({error.strerror}). Try --port 0.") from error
    streams.tell("stopped")


async def _tell_minutes(home: Home) -> None:
    while home.minutes is not None:
        await asyncio.sleep(MINUTE)
        line = home.minutes.line(datetime.now().astimezone())
        if line is not None:
            streams.write([line])


def _ready(home: Home, events_path: str) -> str:
    parts = [f"renderlane ready at {home.url}"]
    if home.simulator_url is not None:
        parts.append(worker_home.SIMULATOR)
        parts.append(f"simulator at {home.simulator_url}")
    parts.append(f"console at {home.console_url}")
    if home.recovered:
        parts.append(f"recovered {_attempts(home.recovered)} of an earlier run")
    parts.append(f"events in {events_path}")
    return " | ".join(parts)


async def _say_what_is_left(home: Home) -> None:
    from scripts.local.home import FINISH_WITHIN
    from shared.core.lifecycle import queries
    from shared.core.records.versioned import request_in
    from shared.ports.store import StoreUnavailable

    ports = home.worker.ports
    awaiting = 0
    try:
        rendering = await ports.store.query(queries.rendering(1000))
        records = [request_in(request).record for request in rendering if request.is_readable]
        own = sum(record.lease_holder == ports.boot for record in records)
        awaiting = sum(record.is_awaiting for record in records)
    except StoreUnavailable:
        own = home.courier.deliveries
    patience = (
        f"waiting up to {FINISH_WITHIN.total_seconds():.0f} s (Ctrl-C again to stop now)"
        if own
        else "nothing to wait for"
    )
    streams.tell(f"stopping: {_attempts(own)} in flight, {patience}")  # the terminal may be gone
    if awaiting:
        streams.tell(_left_behind(awaiting, simulated=home.simulator_url is not None))


def _left_behind(awaiting: int, *, simulated: bool) -> str:
    """Background calls need no worker: a stop does not wait for them."""
    waits, they = ("request awaits", "it is") if awaiting == 1 else ("requests await", "they are")
    line = f"{awaiting} {waits} the provider; {they} collected at the next start"
    return f"{line} (the built-in simulator forgets: {they} made again)" if simulated else line


def _attempts(count: int) -> str:
    return f"{count} attempt{'' if count == 1 else 's'}"
