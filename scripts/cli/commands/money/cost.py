"""`renderlane cost`."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from scripts.cli.data import stale_prices, worker_home
from shared.core.accounting.ledger import DIMENSIONS

if TYPE_CHECKING:
    from shared.core.accounting.cost_report import Bills
    from shared.core.accounting.ledger import LedgerRow
    from shared.core.catalogue.catalogue import Catalogue

DAYS_SHOWN = timedelta(days=29)
"""Before today."""


class DayRange(Struct, frozen=True):
    """Days, both included."""

    since: date
    until: date

    def __str__(self) -> str:
        return f"{self.since.isoformat()} to {self.until.isoformat()} (UTC)"


class Into(Struct, frozen=True):
    """Where else the figures are written."""

    csv: str | None
    chart: str | None


@click.command("cost")
@click.option("--by", type=click.Choice(DIMENSIONS), default="model", show_default=True, help="Group by.")
@click.option("--explain", is_flag=True, help="Also show what was paid for, unknown costs and savings.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DAY",
    help="First day (UTC). Default: 29 days before the last.",
)
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="Last day (UTC). Default: today.")
@click.option("--json", "as_json", is_flag=True, help="Output one JSON object.")
@click.option("--csv", "into_csv", metavar="FILE", help="Also write all figures as CSV.")
@click.option("--chart", metavar="FILE", help="Also write a chart (.svg or .png).")
@click.option("--reconcile", metavar="FILE", help="Compare with a Cloud Billing export (CSV), by day and SKU.")
def command(
    by: str,
    explain: bool,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
    into_csv: str | None,
    chart: str | None,
    reconcile: str | None,
) -> None:
    """Show what was spent and why.

    Google and third-party gateways are listed separately because they bill separately. Attempts of unknown cost are
    counted, with the range of what they may have cost, but are not part of any amount.
    """
    if chart is not None and not chart.endswith((".svg", ".png")):
        raise click.UsageError(f"--chart: found {chart!r}; allowed: a name that ends in .svg or .png")
    last = until.date() if until else datetime.now(UTC).date()
    span = DayRange(since.date() if since else last - DAYS_SHOWN, last)
    if span.since > span.until:
        raise click.UsageError(f"--since: found {span.since}, which is after --until {span.until}")
    settings = worker_home.read_settings()
    from shared import wiring

    models = wiring.catalogue(settings)
    if reconcile is not None:
        asyncio.run(_reconcile(reconcile, models, as_json=as_json))
        return
    asyncio.run(_cost(by, span, Into(into_csv, chart), models, explain=explain, as_json=as_json))


async def _cost(by: str, span: DayRange, into: Into, models: Catalogue, *, explain: bool, as_json: bool) -> None:
    from scripts.cli.data.json_output import to_json
    from scripts.cli.views.money import cost_table
    from scripts.cli.views.see import request_view
    from shared.core.accounting.cost_report import bills

    bill = bills(await _rows(span.since, span.until), by)
    today = datetime.now(UTC).date()
    worker_home.say_if_simulated(worker_home.read_settings())
    stale_prices.warn(models, today)
    if into.csv is not None:
        _write(into.csv, cost_table.csv_text(bill, by))
    if into.chart is not None:
        _draw(bill, by, span, into.chart)
    if as_json:
        click.echo(to_json(cost_table.document(bill, by, span.since, span.until, models, today)))
        return
    request_view.console().print(*cost_table.lines(bill, by, str(span), explain=explain), sep="\n")


async def _rows(since: date, until: date) -> list[LedgerRow]:
    """The ledger's rows of these days, both included."""
    from shared.flows.operations.ledger_reading import read_rows

    async with worker_home.reading(worker_home.read_settings()) as store:
        return await read_rows(store, since, until)


async def _reconcile(path: str, models: Catalogue, *, as_json: bool) -> None:
    """Exit code 1 if the bills differ."""
    from scripts.cli.data.json_output import to_json
    from scripts.cli.views.money import reconciliation_table
    from scripts.cli.views.see import request_view
    from shared.core.accounting.reconciliation import UnreadableExport, read_export, reconcile

    try:
        lines = read_export(Path(path).read_text("utf-8-sig"))
    except (UnreadableExport, UnicodeDecodeError) as error:
        raise click.UsageError(f"--reconcile {path}: {error}") from error
    except OSError as error:
        raise click.UsageError(f"--reconcile: {path} cannot be read ({error.strerror})") from error
    days = sorted({line.day for line in lines})
    rows = await _rows(date.fromisoformat(days[0]), date.fromisoformat(days[-1]))
    reconciliation = reconcile(lines, rows, models.billing)
    if as_json:
        click.echo(to_json(reconciliation_table.document(reconciliation)))
    else:
        request_view.console().print(*reconciliation_table.lines(reconciliation), sep="\n")
    if reconciliation.differences:
        raise click.exceptions.Exit(1)


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, "utf-8")
    except OSError as error:
        raise click.UsageError(f"--csv: {path} cannot be written ({error.strerror})") from error
    click.echo(f"wrote {path}", err=True)


def _draw(bills: Bills, by: str, span: DayRange, path: str) -> None:
    from scripts.cli.views.money import cost_chart

    try:
        cost_chart.draw(bills, by, path, f"Cost by {by}, {span}")
    except OSError as error:
        raise click.UsageError(f"--chart: {path} cannot be written ({error.strerror})") from error
    click.echo(f"wrote {path}", err=True)
