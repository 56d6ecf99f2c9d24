"""`renderlane gateway`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scripts.cli.data import worker_home
from scripts.cli.data.json_output import to_json as to_line
from shared.config import Settings, SqliteSettings
from shared.core.catalogue.gateway_proof import ITEMS, TEST, ProofRefused

if TYPE_CHECKING:
    from shared.core.catalogue.catalogue import Catalogue
    from shared.ports.store import Store

RECORDED = tuple(item for item in ITEMS if item != TEST)
F = TypeVar("F", bound=Callable[..., Any])


def _as_json(verb: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="JSON Lines, one object per gateway.")(verb)


@click.group("gateway", invoke_without_command=True)
@_as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """List third-party gateways, or verify one.

    A gateway gets no requests until its verification is complete: five items that you record and one small logged test.
    """
    if ctx.invoked_subcommand is None:
        asyncio.run(_list(None, as_json=as_json))


@command.command("list")
@_as_json
def list_all(*, as_json: bool) -> None:
    """List the gateways in the catalogue and whether each is enabled."""
    asyncio.run(_list(None, as_json=as_json))


@command.command("show")
@click.argument("name", metavar="NAME")
@_as_json
def show(name: str, *, as_json: bool) -> None:
    """Show one gateway: prices, evidence and what is missing."""
    asyncio.run(_list(name, as_json=as_json))


@command.command("record")
@click.argument("name", metavar="NAME")
@click.argument("item", metavar="ITEM", type=click.Choice(RECORDED))
@click.option("--evidence", required=True, help="What was observed, and where: enough for others to check it.")
@click.option("--by", required=True, metavar="WHO", help="Who confirms it.")
def record(name: str, item: str, evidence: str, by: str) -> None:
    """Record the evidence for one item, replacing any earlier entry.

    ITEM is endpoint, price, failed-calls, status-route or data-boundary.
    """
    asyncio.run(_record(name, item, evidence, by))


@command.command("prove")
@click.argument("name", metavar="NAME")
@click.option("--model", help="Model id or alias. Default: the gateway's first model.")
@click.option("--by", required=True, metavar="WHO", help="Who is responsible for the call.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation; the call is charged.")
@_as_json
@click.pass_context
def prove(ctx: click.Context, name: str, model: str | None, by: str, *, yes: bool, as_json: bool) -> None:
    """Run the test: one real, paid call whose facts are recorded."""
    ctx.exit(asyncio.run(_prove(name, model, by, yes=yes, as_json=as_json)))


async def _list(name: str | None, *, as_json: bool) -> None:
    from shared.flows.operations.gateway_proofs import read_proofs

    settings, models = _settings_and_models(name)
    names = [name] if name is not None else list(models.gateways)
    proofs = {}
    if not isinstance(settings.store, SqliteSettings) or settings.store.path.exists():  # looking never makes a home
        async with _store(settings) as store:
            proofs = await read_proofs(store, names)
    from scripts.cli.views.steer.gateway_table import sheet, table, to_json
    from shared import wiring
    from shared.adapters.process.system_clock import SystemClock
    from shared.core.catalogue.gateway_proof import GatewayProof

    keys, now = wiring.gateway_keys(settings, models), SystemClock().now()
    rows = [
        to_json(word, models.gateways[word], proofs.get(word, GatewayProof()), now, has_key=word in keys)
        for word in names
    ]
    if as_json:
        for row in rows:
            click.echo(to_line(row))
    elif name is not None:
        click.echo(sheet(rows[0]))
    else:
        click.echo(table(rows))


async def _record(name: str, item: str, text: str, by: str) -> None:
    from shared.flows.operations.gateway_proofs import record as write_down

    settings, models = _settings_and_models(name)
    async with _store(settings) as store:
        try:
            await write_down(store, models, name, item, text, by)
        except ProofRefused as error:
            raise click.UsageError(str(error)) from error
        await _say_rest(store, models, name)


async def _prove(name: str, model: str | None, by: str, *, yes: bool, as_json: bool) -> int:
    """The exit code: 1 if the test did not pass."""
    from scripts.cli.views.steer.gateway_table import plain
    from shared import wiring
    from shared.adapters.process.system_clock import SystemClock
    from shared.core.routing import gateway
    from shared.core.values.money import usd
    from shared.flows.operations.gateway_proofs import prove as test

    settings, models = _settings_and_models(name)
    provider = models.gateways[name]
    tested = _model(model, models, name)
    key = wiring.gateway_keys(settings, models).get(name)
    if key is None:
        variable = f"RENDERLANE_GATEWAY_KEY_{name.upper().replace('-', '_')}"
        raise click.UsageError(f"{variable}: found nothing; allowed: the key that {provider.owner} gave you")
    price = usd(gateway.price(provider, tested, 0))
    if not yes:
        click.confirm(f"One call of {tested} to {provider.base_url}, ${price} by the catalogue. Continue?", abort=True)
    lane = wiring.one_gateway_lane(models, name, key)
    async with _store(settings) as store:
        try:
            evidence = await test(store, models, lane, SystemClock(), name, tested, by)
        finally:
            await lane.close()
        facts = plain(evidence.facts)
        if as_json:
            click.echo(to_line({"gateway": name, "item": TEST, **facts}))
        else:
            click.echo(f"{name}: {evidence.text}")
            for fact, value in facts.items():
                click.echo(f"  {fact:<22}{value}")
            click.echo("Compare this with the provider's own log and console before you rely on it.")
            await _say_rest(store, models, name)
    return 0 if evidence.facts["passed"] else 1


def _settings_and_models(name: str | None) -> tuple[Settings, Catalogue]:
    from shared import wiring

    settings = worker_home.read_settings()
    models = wiring.catalogue(settings)
    if name is not None and name not in models.gateways:
        allowed = ", ".join(models.gateways) or "none: no gateways in the catalogue"
        raise click.BadParameter(f"found {name!r}; allowed: {allowed}", param_hint="NAME")
    return settings, models


def _model(wanted: str | None, models: Catalogue, name: str) -> str:
    from shared.core.catalogue.catalogue import UnknownModel

    offered = models.gateways[name].prices
    if wanted is None:
        return next(iter(offered))
    with contextlib.suppress(UnknownModel):
        text = models.find(wanted).id
        if text in offered:
            return text
    raise click.BadParameter(f"found {wanted!r}; allowed: {', '.join(offered)}", param_hint="--model")


@contextlib.asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Store]:
    """The store, for reading and writing: a proof may be recorded before the first start."""
    from shared import wiring
    from shared.adapters.process.system_clock import SystemClock

    store = wiring.store(settings, SystemClock())
    try:
        yield store
    finally:
        await store.close()


async def _say_rest(store: Store, models: Catalogue, name: str) -> None:
    """What is still missing, or that it is enabled now."""
    from shared.adapters.process.system_clock import SystemClock
    from shared.core.routing import gateway
    from shared.flows.operations.gateway_proofs import read_proofs

    provider = models.gateways[name]
    proof = (await read_proofs(store, [name]))[name]
    lacks = proof.lacks(gateway.fingerprint(provider), SystemClock().now(), provider.fresh_for)
    if lacks:
        click.echo(f"{name} stays disabled: {'; '.join(map(str, lacks))}")
    else:
        click.echo(
            f"{name} is enabled for requests that allow it, until {provider.fresh_for.days} days after the oldest item"
        )
