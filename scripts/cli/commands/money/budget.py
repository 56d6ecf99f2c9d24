"""`renderlane budget`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import click
from msgspec import Struct

from scripts.cli.data import worker_home
from scripts.cli.data.steer import audit
from shared.core.accounting.budget import OVERS, PERIODS, Over, PeriodName

if TYPE_CHECKING:
    from shared.core.accounting.budget import Budget
    from shared.ports.store import Store

MOST_SHOWN = 3
"""Changes shown; --json has all of them."""


@click.command("budget")
@click.argument("name", metavar="TENANT")
@click.option("--limit", metavar="USD", help="Most to spend per period, e.g. 12.50; `none` removes the budget.")
@click.option("--period", type=click.Choice(PERIODS), help="Budget period, from midnight UTC. Default: day.")
@click.option(
    "--over",
    type=click.Choice(OVERS),
    help="What happens to a request that does not fit: it waits, takes the cheapest route that fits, or fails.",
)
@click.option("--reason", metavar="TEXT", default="", help="Why it is changed: kept in the budget's history.")
@click.option("--json", "as_json", is_flag=True, help="Output one JSON object.")
def command(name: str, limit: str | None, period: str | None, over: str | None, reason: str, as_json: bool) -> None:
    """Show or set a tenant's budget.

    A changed limit takes effect within seconds, also for queued requests.
    """
    new = _New(limit, cast("PeriodName | None", period), cast("Over | None", over), " ".join(reason.split())[:300])
    asyncio.run(_budget(name, new, as_json=as_json))


class _New(Struct, frozen=True):
    """The given options; None leaves a part unchanged."""

    limit: str | None
    period: PeriodName | None
    over: Over | None
    reason: str

    @property
    def changes(self) -> bool:
        return self.limit is not None or self.period is not None or self.over is not None

    def __str__(self) -> str:
        given = {"limit": self.limit, "period": self.period, "over": self.over, "reason": self.reason or None}
        return ", ".join(f"{key} {value}" for key, value in given.items() if value is not None)


async def _budget(name: str, new: _New, *, as_json: bool) -> None:
    from scripts.cli.commands.steer.tenant import check
    from scripts.cli.data.json_output import to_json

    check(name)
    settings = worker_home.read_settings()
    from shared import wiring

    if new.reason and not new.changes:
        raise click.UsageError("--reason: found no change; allowed: beside --limit, --period or --over")
    async with worker_home.reading(settings) as store:
        if new.changes:
            await _set(store, name, new)
            audit.note(settings, "budget", detail=f"tenant {name}: {new}")
        status = await _read(store, name, wiring.default_budget(settings))
    if new.changes:
        await _wake_the_pump()
    if as_json:
        click.echo(to_json(status))
        return
    for line in _lines(status):
        click.echo(line)


async def _set(store: Store, name: str, new: _New) -> None:
    from shared.flows.operations.tenants import By, NoBudget, lift_budget, set_budget

    by = By(audit.account(), new.reason)
    if new.limit == "none":
        await lift_budget(store, name, by)
        return
    micros = None if new.limit is None else _micros(new.limit)
    try:
        await set_budget(store, name, limit_micros=micros, period=new.period, over=new.over, by=by)
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
    from shared.core.records.tenant import TenantRecord, tenant_path
    from shared.flows.operations.budget_reading import read_budget

    limit = await read_budget(store, name, default)
    waiting = await store.count(queries.waiting_for(name, OVER_BUDGET, 100_000))
    changes = TenantRecord.of(await store.get(tenant_path(name))).budget_changes
    return {
        "tenant": name,
        "budget": await _balance(store, name, limit) if limit else None,
        "waiting": waiting,
        "history": [change.to_json() for change in changes],
    }


async def _balance(store: Store, name: str, limit: Budget) -> dict[str, Any]:
    from datetime import UTC, datetime

    from shared.core.accounting.budget import ends_at
    from shared.flows.operations.budget_reading import read_balance

    balance = await read_balance(store, name, limit, datetime.now(UTC))
    return {
        "limit_micros": limit.limit_micros,
        "period": limit.period,
        "over": limit.over,
        "now": balance.account.period,
        "ends_at": ends_at(balance.account.period),
        "spent_micros": balance.spent_micros,
        "held_micros": balance.held_micros,
        "available_micros": balance.available_micros,
    }


def _lines(status: dict[str, Any]) -> list[str]:
    from scripts.cli.views.see.request_view import dollars, moment

    budget = status["budget"]
    if budget is None:
        return [f"{status['tenant']}: no budget", *_waiting(status), *_history(status)]
    over = {"queue": "more waits", "step-down": "more takes cheaper routes", "refuse": "more fails"}[budget["over"]]
    return [
        f"{status['tenant']}: {dollars(budget['limit_micros'])} a {budget['period']}, {over}",
        f"  {dollars(budget['spent_micros']):>12}  spent in {budget['now']}, which ends at {moment(budget['ends_at'])}",
        f"  {dollars(budget['held_micros']):>12}  held for attempts that are running or may have been billed",
        f"  {dollars(max(budget['available_micros'], 0)):>12}  left",
        *_waiting(status),
        *_history(status),
    ]


def _history(status: dict[str, Any]) -> list[str]:
    from scripts.cli.views.see.request_view import moment

    lines = []
    for change in status["history"][:MOST_SHOWN]:
        what = f"{_limit(change['before'])} -> {_limit(change['after'])}, by {change['actor'] or '-'}"
        why = f": {change['reason']}" if change["reason"] else ""
        lines.append(f"  {moment(change['at'])}  {what}{why}")
    return lines


def _limit(budget: dict[str, Any] | None) -> str:
    from scripts.cli.views.see.request_view import dollars

    return dollars(budget["limit_micros"]) if budget else "none"


def _waiting(status: dict[str, Any]) -> list[str]:
    return [f"  {status['waiting']:>12,}  requests wait for budget"] if status["waiting"] else []
