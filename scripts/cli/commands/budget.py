"""`renderlane budget`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import click

from scripts.cli.data import audit, worker_home
from shared.core.accounting.budget import OVERS, PERIODS, Over, PeriodName

if TYPE_CHECKING:
    from shared.core.accounting.budget import Budget
    from shared.ports.store import Store


@click.command("budget")
@click.argument("name", metavar="TENANT")
@click.option("--limit", metavar="USD", help="Most to spend per period, e.g. 12.50; `none` removes the budget.")
@click.option("--period", type=click.Choice(PERIODS), help="Budget period, from midnight UTC. Default: day.")
@click.option(
    "--over",
    type=click.Choice(OVERS),
    help="What happens to a request that does not fit: it waits, takes the cheapest route that fits, or fails.",
)
@click.option("--json", "as_json", is_flag=True, help="Output one JSON object.")
def command(name: str, limit: str | None, period: str | None, over: str | None, as_json: bool) -> None:
    """Show or set a tenant's budget.

    A changed limit takes effect within seconds, also for queued requests.
    """
    asyncio.run(_budget(name, limit, cast("PeriodName | None", period), cast("Over | None", over), as_json=as_json))


async def _budget(name: str, limit: str | None, period: PeriodName | None, over: Over | None, *, as_json: bool) -> None:
    from scripts.cli.commands.tenant import check
    from scripts.cli.data.json_output import to_json

    check(name)
    settings = worker_home.read_settings()
    from shared import wiring

    changes = limit is not None or period is not None or over is not None
    async with worker_home.reading(settings) as store:
        if changes:
            await _set(store, name, limit, period, over)
            given = {"limit": limit, "period": period, "over": over}
            said = ", ".join(f"{key} {value}" for key, value in given.items() if value is not None)
            audit.note(settings, "budget", detail=f"tenant {name}: {said}")
        seen = await _read(store, name, wiring.default_budget(settings))
    if changes:
        await _wake_the_pump()
    if as_json:
        click.echo(to_json(seen))
        return
    for line in _lines(seen):
        click.echo(line)


async def _set(store: Store, name: str, limit: str | None, period: PeriodName | None, over: Over | None) -> None:
    from shared.flows.operations.tenants import NoBudget, lift_budget, set_budget

    if limit == "none":
        await lift_budget(store, name)
        return
    micros = None if limit is None else _micros(limit)
    try:
        await set_budget(store, name, limit_micros=micros, period=period, over=over)
    except NoBudget as error:
        raise click.UsageError(f"{name} has no budget: found no --limit; allowed: --limit USD beside it") from error


def _micros(limit: str) -> int:
    from shared.core.values.money import micros_from_usd

    try:
        micros = micros_from_usd(limit)
    except ValueError:
        micros = -1
    if micros < 0:
        raise click.UsageError(f"--limit: found {limit!r}; allowed: dollars such as 12.50, or none")
    return micros


async def _wake_the_pump() -> None:
    from shared.core.messages.pubsub_messages import Kick
    from shared.core.messages.topics import PUMP_KICKS

    async with worker_home.publishing(worker_home.read_settings()) as topics:
        await topics.publish(PUMP_KICKS, Kick().to_bytes())


async def _read(store: Store, name: str, default: Budget | None) -> dict[str, Any]:
    from shared.core.accounting.budget import OVER_BUDGET
    from shared.core.lifecycle import queries
    from shared.flows.operations.budget_reading import read_budget

    limit = await read_budget(store, name, default)
    waiting = await store.count(queries.waiting_for(name, OVER_BUDGET, 100_000))
    return {"tenant": name, "budget": await _purse(store, name, limit) if limit else None, "waiting": waiting}


async def _purse(store: Store, name: str, limit: Budget) -> dict[str, Any]:
    from datetime import UTC, datetime

    from shared.core.accounting.budget import ends_at
    from shared.flows.operations.budget_reading import read_purse

    purse = await read_purse(store, name, limit, datetime.now(UTC))
    return {
        "limit_micros": limit.limit_micros,
        "period": limit.period,
        "over": limit.over,
        "now": purse.account.period,
        "ends_at": ends_at(purse.account.period),
        "spent_micros": purse.spent_micros,
        "held_micros": purse.held_micros,
        "available_micros": purse.available_micros,
    }


def _lines(seen: dict[str, Any]) -> list[str]:
    from scripts.cli.views.request_view import dollars, moment

    found = seen["budget"]
    if found is None:
        return [f"{seen['tenant']}: no budget", *_waiting(seen)]
    over = {"queue": "more waits", "step-down": "more takes cheaper routes", "refuse": "more fails"}[found["over"]]
    return [
        f"{seen['tenant']}: {dollars(found['limit_micros'])} a {found['period']}, {over}",
        f"  {dollars(found['spent_micros']):>12}  spent in {found['now']}, which ends at {moment(found['ends_at'])}",
        f"  {dollars(found['held_micros']):>12}  held for attempts that are running or may have been billed",
        f"  {dollars(max(found['available_micros'], 0)):>12}  left",
        *_waiting(seen),
    ]


def _waiting(seen: dict[str, Any]) -> list[str]:
    return [f"  {seen['waiting']:>12,}  requests wait for budget"] if seen["waiting"] else []
