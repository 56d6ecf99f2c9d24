"""`renderlane plan`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from scripts.cli.data import stale_prices, worker_home
from shared.core.times.moments import read_moment

if TYPE_CHECKING:
    from scripts.planner.account import AccountState
    from scripts.planner.alternatives import Alternative
    from scripts.planner.forecast import Forecast, ForecastBasis, Tell
    from scripts.planner.load import PlannedLoad
    from shared.config import Settings
    from shared.core.accounting.account_cap import MonthSpend
    from shared.core.catalogue.catalogue import Catalogue
    from shared.core.limits.effective import EffectiveLimit

TOLD_EVERY = 2.0
"""Seconds between lines of progress, if there is no terminal."""


class PlanOptions(Struct, frozen=True):
    """The options that make up a load."""

    file: str | None
    backlog: int | None
    arrivals: str | None
    lasts: str | None
    even: bool
    curve: str | None
    mix: str
    of: str
    tokens: int


@click.command("plan")
@click.argument("file", required=False)
@click.option("--backlog", type=click.IntRange(1), help="Number of requests at once, instead of FILE.")
@click.option("--arrivals", metavar="RATE", help="Arrival rate: 450/m, 7.5/s or 900/h.")
@click.option("--for", "lasts", metavar="TIME", help="Duration of arrivals: 90s, 15m, 2h, 1d.")
@click.option("--even", is_flag=True, help="Evenly spaced arrivals instead of random.")
@click.option("--curve", metavar="CSV", help="CSV file with one line `minute,requests` per minute.")
@click.option(
    "--mix", default="normal", show_default=True, help="Share of each priority: interactive=30,normal=50,bulk=20."
)
@click.option(
    "--of", default="default:1K", show_default=True, help="Share of each kind of request: final:2K=20,draft:1K=80."
)
@click.option(
    "--tokens", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Prompt length in tokens."
)
@click.option("--limits", metavar="QUOTA", help="Overrides the current limits, e.g. '*=rpm:60,rpd:1000'.")
@click.option("--latency", metavar="L", help="lognormal:MEDIAN,SIGMA, fixed:S, uniform:A,B; or MODEL=L;MODEL=L.")
@click.option("--capacity", type=click.IntRange(1, 1_000_000), help="Attempts at once. Default: RENDERLANE_CAPACITY.")
@click.option(
    "--at", metavar="MOMENT", help="Start time, e.g. 2026-12-01T09:00:00Z; decides when quota days end. Default: now."
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--chart", metavar="FILE", help="Also write a chart (.svg or .png).")
@click.option("--json", "as_json", is_flag=True, help="Output one JSON object.")
def command(
    file: str | None,
    backlog: int | None,
    arrivals: str | None,
    lasts: str | None,
    even: bool,
    curve: str | None,
    mix: str,
    of: str,
    tokens: int,
    limits: str | None,
    latency: str | None,
    capacity: int | None,
    at: str | None,
    seed: int,
    chart: str | None,
    as_json: bool,
) -> None:
    """Forecast duration, waiting time and cost of a load.

    FILE holds requests as for `submit`, one per line. The worker's own scheduler runs them in virtual time under the
    current limits; nothing is sent. Also shown: one size lower, the flex lane and the batch lane.

    Each part of --of is a purpose or model, a size and a lane, joined by colons: final:4K:flex, nano-banana-pro:2K.
    """
    from scripts.planner import latency as latencies
    from scripts.planner import limits as quota
    from scripts.planner.account import AccountState
    from scripts.planner.errors import InvalidLoad, wrong
    from scripts.planner.forecast import ForecastBasis
    from shared import wiring
    from shared.core.accounting import account_cap

    try:
        if chart is not None and not chart.endswith((".svg", ".png")):
            raise wrong("--chart", chart, "a name that ends in .svg or .png")
        settings = worker_home.read_settings()
        models = wiring.catalogue(settings)
        stale_prices.warn(models, datetime.now(UTC).date())
        start = datetime.now(UTC) if at is None else _moment(at)
        load = _load(PlanOptions(file, backlog, arrivals, lasts, even, curve, mix, of, tokens), models, start, seed)
        configured = quota.given(limits, models)
        in_force, running_capacity = asyncio.run(_state(settings, models, load.models))
        merged = quota.merged(load.models, configured, in_force)
        quota.refuse_zero(merged)
        if any(limit.source in ("live", "learned") for item in merged.values() for limit in item.values()):
            worker_home.say_if_simulated(settings)
        assumed = latencies.ASSUMED if latency is None else latencies.parse(latency, models)
        stage = ForecastBasis(start, merged, capacity or running_capacity, assumed, seed)
        spend = asyncio.run(_spend(settings))
        account = account_cap.of_worker(wiring.account(settings, models), spend, models.account)
        _plan(load, stage, models, chart, AccountState(account, spend), as_json=as_json)
    except InvalidLoad as error:
        raise click.UsageError(str(error)) from error


def _moment(text: str) -> datetime:
    from scripts.planner.errors import wrong

    moment = read_moment(text)
    if moment is None or not 2000 <= moment.year <= 2999:
        allowed = "a time with a time zone, of the years 2000 to 2999, for example 2026-12-01T09:00:00Z"
        raise wrong("--at", text, allowed)
    return moment


def _load(options: PlanOptions, models: Catalogue, start: datetime, seed: int) -> PlannedLoad:
    from scripts.cli.data.run.outgoing import read_lines
    from scripts.planner import load
    from scripts.planner.errors import InvalidLoad

    made_up = options.backlog is not None or options.arrivals is not None or options.curve is not None
    if (options.file is None) != made_up:
        raise (
            InvalidLoad("give either FILE or a synthetic load, not both")
            if made_up
            else InvalidLoad("give a load: FILE, --backlog, --arrivals with --for, or --curve")
        )
    if options.file is None:
        return _made_up(options, models, Random(f"{seed}:load"))
    return load.of_lines(read_lines(_read(options.file), ""), options.file, models, start)


def _made_up(options: PlanOptions, models: Catalogue, chance: Random) -> PlannedLoad:
    from scripts.planner import option_parsers, synthetic_load
    from scripts.planner.errors import InvalidLoad

    times: list[float] = [0.0] * (options.backlog or 0)
    about = [f"{options.backlog:,} at once"] if options.backlog else []
    if (options.arrivals is None) != (options.lasts is None):
        raise InvalidLoad("--arrivals and --for must be used together, for example --arrivals 450/m --for 15m")
    if options.arrivals is not None and options.lasts is not None:
        rate, lasts = (
            option_parsers.per_minute("--arrivals", options.arrivals),
            option_parsers.seconds("--for", options.lasts),
        )
        if rate * lasts / 60 > synthetic_load.MOST:
            raise InvalidLoad(
                f"--arrivals: found {rate * lasts / 60:,.0f} requests; allowed: {synthetic_load.MOST:,} in all"
            )
        times += synthetic_load.even(rate, lasts) if options.even else synthetic_load.poisson(rate, lasts, chance)
        about.append(f"{options.arrivals} for {options.lasts}, {'evenly' if options.even else 'at random'}")
    if options.curve is not None:
        rows = synthetic_load.curve(options.curve, _read(options.curve).decode("utf-8", "replace"))
        times += synthetic_load.instants(rows, chance)
        about.append(f"the curve {options.curve}")
    priorities = option_parsers.shares("--mix", options.mix, synthetic_load.priority_of)
    kinds = option_parsers.shares("--of", options.of, lambda field, text: synthetic_load.kind(field, text, models))
    text = f"{' and '.join(about)}: {len(times):,} requests, {options.mix}, {options.of}"
    return synthetic_load.load(text, times, priorities, kinds, models, chance, tokens=options.tokens)


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read ({error.strerror})") from error


async def _state(
    settings: Settings, models: Catalogue, called: Sequence[str]
) -> tuple[Mapping[str, Mapping[str, EffectiveLimit]], int]:
    """The limits in force and the capacity, as stored; as configured if nothing was ever started."""
    from scripts.cli.data import worker_settings
    from scripts.cli.data.see.quota_state import read
    from scripts.planner.limits import configured
    from shared import wiring
    from shared.config import SqliteSettings

    if isinstance(settings.store, SqliteSettings) and not settings.store.path.exists():
        return configured(called, wiring.quota(settings, models)), settings.capacity
    async with worker_home.reading(settings) as store:
        running = await worker_settings.read(store, settings, models)
        reading = await read(store, running.limits, called)
    return {model.model: model.limits for model in reading.models}, running.capacity


async def _spend(settings: Settings) -> MonthSpend | None:
    """What this month has cost on the billing account, as far as a worker has read it."""
    from shared.config import SqliteSettings
    from shared.core.accounting import account_cap
    from shared.core.values.documents import Document

    if isinstance(settings.store, SqliteSettings) and not settings.store.path.exists():
        return None
    async with worker_home.reading(settings) as store:
        document = await store.get(account_cap.PATH)
    return account_cap.MonthSpend.from_json(document.data) if isinstance(document, Document) else None


def _plan(
    load: PlannedLoad,
    stage: ForecastBasis,
    models: Catalogue,
    chart: str | None,
    billing: AccountState,
    *,
    as_json: bool,
) -> None:
    from scripts.cli.data.json_output import to_json
    from scripts.cli.views.prepare import plan_report
    from scripts.cli.views.see import request_view
    from scripts.planner import account
    from scripts.planner.alternatives import alternatives
    from scripts.planner.results import figures

    for line in plan_report.rejected(load):
        click.echo(f"will be rejected: {line}", err=True)
    ways = alternatives(load.wanted, models)
    played = {alternative.name: _played(alternative, stage) for alternative in ways}
    outcomes = [figures(alternative, played[alternative.name], stage, models) for alternative in ways]
    if chart is not None:
        _draw({name: forecast for name, forecast in played.items() if forecast is not None}, stage, chart, load)
    if as_json:
        of_account = {"account": account.document(outcomes, billing, stage.start)}
        click.echo(to_json(plan_report.document(load, stage, outcomes) | of_account))
        return
    console = request_view.console()
    console.print(plan_report.reckoning(load, stage), plan_report.table(outcomes), sep="\n")
    if outcomes[0].course is not None:
        console.print(plan_report.models(outcomes[0]))
    console.print(plan_report.notes(outcomes, load, stage))
    console.print(*account.lines(outcomes, billing, stage.start), sep="\n")


def _played(way: Alternative, stage: ForecastBasis) -> Forecast | None:
    """None if nothing is known about how it would go: in the flex lane, or all by batch."""
    from scripts.planner.forecast import play

    queue = way.through_the_queue
    if way.name == "flex lane" or not queue:
        return None
    with _progress(way.name, len(queue)) as tell:
        return play(queue, stage, tell)


def _draw(played: Mapping[str, Forecast], stage: ForecastBasis, path: str, load: PlannedLoad) -> None:
    from scripts.planner import chart

    panels = [chart.PlanPanel(name, forecast) for name, forecast in played.items() if name != "batch lane"]
    try:
        chart.draw(panels, stage, path, load.about)
    except OSError as error:
        raise click.UsageError(f"--chart: {path} cannot be written ({error.strerror})") from error
    click.echo(f"wrote {path}", err=True)


@contextlib.contextmanager
def _progress(name: str, total: int) -> Iterator[Tell]:
    """On standard error: a bar on a terminal, elsewhere a line from time to time."""
    if not sys.stderr.isatty():
        yield _lines(name, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=total)
        yield lambda ended: bar.update(task, completed=ended)


def _lines(name: str, total: int) -> Callable[[int], None]:
    told_at = time.monotonic()

    def tell(ended: int) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= TOLD_EVERY:
            told_at = time.monotonic()
            click.echo(f"{name}: {ended:,} of {total:,}", err=True)

    return tell
