"""`renderlane tenant`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from scripts.cli.commands.steer import webhook
from scripts.cli.data import worker_home
from scripts.cli.data.json_output import to_json
from scripts.cli.data.steer import audit
from shared.core.admission.fair_queueing import DEFAULT_WEIGHT, LEAST_WEIGHT, MOST_WEIGHT

if TYPE_CHECKING:
    from shared.core.catalogue.catalogue import Catalogue
    from shared.ports.store import Store


class _OptionsAfterName(click.Group):
    """`tenant NAME --json` and `tenant NAME webhook list`: a plain group takes options before NAME only."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-"):
            own = next((index for index, word in enumerate(args) if index and word in self.commands), len(args))
            args = [*args[1:own], args[0], *args[own:]]
        return super().parse_args(ctx, args)


@click.group("tenant", cls=_OptionsAfterName, invoke_without_command=True)
@click.argument("name", metavar="NAME")
@click.option(
    "--weight",
    type=click.FloatRange(LEAST_WEIGHT, MOST_WEIGHT),
    help="Share of a queue: weight 2 gets twice as much as weight 1 while both have queued requests.",
)
@click.option("--json", "as_json", is_flag=True, help="Output one JSON object.")
@click.pass_context
def command(ctx: click.Context, name: str, weight: float | None, as_json: bool) -> None:
    """Show a tenant's queue, set its weight, manage its webhooks."""
    if ctx.invoked_subcommand is not None:
        check(name)
        ctx.obj = name
        return
    asyncio.run(_tenant(name, weight, as_json=as_json))


command.add_command(webhook.command)


async def _tenant(name: str, weight: float | None, *, as_json: bool) -> None:
    from shared import wiring
    from shared.flows.operations.tenants import set_weight

    check(name)
    settings = worker_home.read_settings()
    async with worker_home.reading(settings) as store:
        if weight is not None:
            await set_weight(store, name, weight)
            audit.note(settings, "tenant-weight", detail=f"tenant {name}: weight {weight:g}")
        status = await _read(store, name, wiring.catalogue(settings))
    if as_json:
        click.echo(to_json(status))
        return
    click.echo(f"{name}: weight {status['weight']:g}" + ("" if status["set"] else " (the default)"))
    for queue, count in status["waiting"].items():
        click.echo(f"  {count:>6}  waiting in {queue}")
    if not status["waiting"]:
        click.echo("  nothing is queued")


def check(name: str) -> None:
    from shared.core.messages.render_request import InvalidRequest, RenderRequest

    try:
        RenderRequest.parse({"request_id": "x", "prompt": "x", "tenant": name})
    except InvalidRequest as error:
        raise click.BadParameter(str(error.problems[0]), param_hint="NAME") from error


async def _read(store: Store, name: str, catalogue: Catalogue) -> dict[str, Any]:
    from shared.core.admission.fair_queueing import queue_name
    from shared.core.lifecycle import queries
    from shared.core.messages.render_request import PRIORITIES
    from shared.core.records.tenant import TenantRecord, tenant_path

    weight = TenantRecord.of(await store.get(tenant_path(name))).weight
    queues = [(model, priority) for model in catalogue.models for priority in PRIORITIES]
    counts = await asyncio.gather(*(store.count(queries.waiting_of(name, *queue)) for queue in queues))
    waiting = {queue_name(*queue): count for queue, count in zip(queues, counts, strict=True) if count}
    return {
        "tenant": name,
        "weight": DEFAULT_WEIGHT if weight is None else weight,
        "set": weight is not None,
        "waiting": waiting,
    }
