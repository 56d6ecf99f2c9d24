"""`renderlane doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from scripts.cli.data import worker_home
from scripts.cli.data.json_output import to_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from scripts.doctor.finding import CheckResult
    from scripts.doctor.owners import Owners
    from shared.core.catalogue.catalogue import Catalogue

OWNERS = "shared/owners.toml"
MARKS = {"pass": "ok", "fail": "FAIL", "unknown": "?"}
STYLES = {"pass": "green", "fail": "bold red", "unknown": "yellow"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: verdict, counts, every check.")
@click.option(
    "--load", "loads", multiple=True, metavar="RPM|MODEL=RPM", help="Planned requests per minute; repeatable."
)
@click.option(
    "--fleet",
    metavar="CPUSxGIB@REGION",
    help="Check Cloud Run's quota for a fleet of this size; see `terraform output fleet`.",
)
@click.option("--strict", is_flag=True, help="Treat unknown as failed.")
@click.option(
    "--owners", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=f"Owners file. Default: {OWNERS}."
)
@click.option("--live", is_flag=True, help="Compare the catalogue with the API's own answers; paid, needs --yes.")
@click.option("--yes", is_flag=True, help="With --live: confirm the estimate.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="With --live: folder of the report."
)
@click.option("--budget", default="1.00", show_default=True, metavar="USD", help="With --live: most it may cost.")
@click.pass_context
def command(
    ctx: click.Context,
    as_json: bool,
    loads: tuple[str, ...],
    fleet: str | None,
    strict: bool,
    owners: Path | None,
    live: bool,
    yes: bool,
    out: Path,
    budget: str,
) -> None:
    """Run the launch checklist.

    Checks are grouped by owner; each passes, fails or is unknown, with a remedy. Exit code 1 if any check fails, or
    with --strict if any is unknown. Makes no paid calls.

    With --live it asks the API instead: which models answer, sizes, ratios, thinking levels, lanes, background calls,
    tokens. It prints the estimate, writes a dated report and proposes corrections of the catalogue; exit code 1 if
    anything differs.
    """
    if live:
        from scripts.cli.data import live_check

        ctx.exit(asyncio.run(live_check.check(out, budget, confirmed=yes, as_json=as_json)))
    if yes:
        raise click.UsageError("--yes needs --live")
    ctx.exit(asyncio.run(_doctor(loads, fleet, owners, as_json=as_json, strict=strict)))


async def _doctor(loads: Sequence[str], fleet: str | None, file: Path | None, *, as_json: bool, strict: bool) -> int:
    from scripts.cli.views.see import request_view
    from scripts.doctor import checks, owners
    from scripts.doctor.facts import gather
    from shared import wiring

    settings = worker_home.read_settings()
    load = _load(loads, wiring.catalogue(settings))
    named = _owners(file)
    facts = await gather(settings)
    findings = [
        *owners.examine(named, facts.now.date(), str(file or OWNERS)),
        *checks.examine(facts, load),
        *(await _platform(fleet, settings.project) if fleet else ()),
    ]
    worst = {finding.verdict for finding in findings}
    bad = "fail" in worst or (strict and "unknown" in worst)
    worker_home.say_if_simulated(settings)
    if as_json:
        counts = {word: sum(finding.verdict == word for finding in findings) for word in MARKS}
        document = {"ready": worst == {"pass"}, **counts, "checks": [asdict(finding) for finding in findings]}
        click.echo(to_json(document))
    else:
        request_view.console().print(_sheet(findings, named))
    return int(bad)


async def _platform(text: str, project: str) -> list[CheckResult]:
    from scripts.doctor import platform
    from shared.adapters.google_cloud.platform_quotas import platform_limits
    from shared.ports.quota import QuotaUnreadable

    try:
        fleet = platform.InstanceTotals.parse(text)
    except ValueError as error:
        raise click.UsageError(f"--fleet: {error}") from error
    try:
        return platform.examine(fleet, await platform_limits(project, fleet.region))
    except QuotaUnreadable as error:
        return platform.examine(fleet, str(error))


def _owners(file: Path | None) -> Owners:
    from scripts.doctor.owners import read_owners
    from shared.config import InvalidSetting
    from shared.core.catalogue.toml_errors import BrokenCatalogue

    source = file or resources.files("shared").joinpath("owners.toml")
    try:
        return read_owners(source.read_text("utf-8"))
    except (BrokenCatalogue, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{file or OWNERS}: {error}") from error


def _load(loads: Sequence[str], catalogue: Catalogue) -> dict[str, int]:
    """By model id; a bare number is of the default model."""
    from shared.core.catalogue.catalogue import UnknownModel
    from shared.core.validation.numbers import whole_number

    numbers = {}
    for text in loads:
        name, _, rpm = text.rpartition("=")
        number = whole_number(rpm)
        if number is None or not 1 <= number <= 1_000_000:
            raise click.UsageError(f"--load: found {text[:80]!r}; allowed: RPM or MODEL=RPM, such as 450")
        try:
            numbers[catalogue.live(name or catalogue.purposes["default"]).id] = number
        except UnknownModel as error:
            raise click.UsageError(
                f"--load: found the model {name!r}; allowed: {', '.join(catalogue.names)}"
            ) from error
    return numbers


def _sheet(findings: Sequence[CheckResult], named: Owners) -> RenderableType:
    """By owner, the worst of each first."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    rank = {"fail": 0, "unknown": 1, "pass": 2}
    for role, owner in named.items():
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True, width=4)
        grid.add_column(no_wrap=True, style="dim", width=18)
        grid.add_column(overflow="fold")
        for finding in sorted(
            (finding for finding in findings if finding.owner == role), key=lambda item: rank[item.verdict]
        ):
            text = Text(finding.found)
            if finding.remedy:
                text.append(f"\n{finding.remedy}", "italic")
            grid.add_row(Text(MARKS[finding.verdict], STYLES[finding.verdict]), finding.check, text)
        parts += [Text.assemble((f"{role} owner", "bold"), f"  {owner.name or 'no name set'}"), grid, Text()]
    counts = ", ".join(
        f"{sum(finding.verdict == word for finding in findings)} {word}" for word in ("pass", "fail", "unknown")
    )
    return Group(*parts, Text(counts, "bold"))
