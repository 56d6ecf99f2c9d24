"""`renderlane tenant NAME webhook`: where a tenant's results are sent, and the state of their deliveries."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from scripts.cli.data import worker_home
from scripts.cli.data.json_output import to_json
from scripts.cli.data.steer import audit
from shared.core.lifecycle.request_view import ENDED
from shared.core.validation.addresses import without_secrets

if TYPE_CHECKING:
    from shared.core.webhooks.delivery import WebhookDelivery
    from shared.core.webhooks.endpoint import Endpoint
    from shared.ports.store import Store

JSON = click.option("--json", "as_json", is_flag=True, help="Output JSON: one object for one thing, a line for each.")
SECRET_NOTE = "Store the secret now: it is not shown again."


@click.group("webhook")
def command() -> None:
    """Send this tenant's results to its own endpoints, signed (Standard Webhooks)."""


@command.command("add")
@click.argument("url", metavar="URL")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(ENDED),
    help="Send results of this status only; repeat it for more. Default: all.",
)  # fmt: skip
@JSON
@click.pass_obj
def add_command(tenant: str, url: str, statuses: tuple[str, ...], as_json: bool) -> None:
    """Add an endpoint and show its signing secret, once.

    URL is https:// with a public address. On one machine, http://127.0.0.1 is allowed too.
    """
    asyncio.run(_add(tenant, url, statuses, as_json=as_json))


async def _add(tenant: str, url: str, statuses: tuple[str, ...], *, as_json: bool) -> None:
    from shared import wiring
    from shared.core.webhooks.signature import SECRET_BYTES, secret_of
    from shared.flows.webhooks import endpoints
    from shared.ports.webhooks import AddressRefused

    settings = worker_home.read_settings()
    endpoint_id, secret = f"we_{secrets.token_hex(8)}", secret_of(secrets.token_bytes(SECRET_BYTES))
    async with worker_home.reading(settings) as store:
        try:
            endpoint = await endpoints.add(
                store, wiring.webhooks(settings), tenant, url, statuses, fresh_id=endpoint_id, secret=secret
            )
        except AddressRefused as error:
            raise click.BadParameter(str(error), param_hint="URL") from error
        except endpoints.TooManyEndpoints as error:
            raise click.ClickException(str(error)) from error
    audit.note(settings, "webhook-add", detail=f"tenant {tenant}: endpoint {endpoint_id}")
    _show_secret(endpoint_id, endpoint, secret, as_json=as_json)


@command.command("list")
@JSON
@click.pass_obj
def list_command(tenant: str, as_json: bool) -> None:
    """List the tenant's endpoints, without their secrets."""
    asyncio.run(_list(tenant, as_json=as_json))


async def _list(tenant: str, *, as_json: bool) -> None:
    from shared.flows.webhooks import endpoints

    async with worker_home.reading(worker_home.read_settings()) as store:
        rows = await endpoints.of_tenant(store, tenant)
    for endpoint_id, endpoint in rows.items():
        shown = _endpoint(endpoint_id, endpoint)
        if as_json:
            click.echo(to_json(shown))
        else:
            click.echo(f"{endpoint_id}  {shown['url']}  {', '.join(shown['statuses'])}  {shown['state']}")
    if not rows and not as_json:
        click.echo(f"{tenant} has no webhook endpoints; add one with `renderlane tenant {tenant} webhook add URL`")


@command.command("remove")
@click.argument("endpoint_id", metavar="ENDPOINT")
@click.pass_obj
def remove_command(tenant: str, endpoint_id: str) -> None:
    """Remove an endpoint; deliveries that are still due to it end."""
    asyncio.run(_remove(tenant, endpoint_id))


async def _remove(tenant: str, endpoint_id: str) -> None:
    from shared.flows.webhooks import endpoints

    async with _changing(tenant, endpoint_id, "webhook-remove") as store:
        await endpoints.remove(store, tenant, endpoint_id)
    click.echo(f"{endpoint_id} is removed")


@command.command("rotate")
@click.argument("endpoint_id", metavar="ENDPOINT")
@JSON
@click.pass_obj
def rotate_command(tenant: str, endpoint_id: str, as_json: bool) -> None:
    """Make a new signing secret and show it, once.

    For 24 hours every delivery has two signatures: one of the new secret, one of the old.
    """
    asyncio.run(_rotate(tenant, endpoint_id, as_json=as_json))


async def _rotate(tenant: str, endpoint_id: str, *, as_json: bool) -> None:
    from shared.core.webhooks.signature import SECRET_BYTES, secret_of
    from shared.flows.webhooks import endpoints

    secret = secret_of(secrets.token_bytes(SECRET_BYTES))
    async with _changing(tenant, endpoint_id, "webhook-rotate") as store:
        endpoint = await endpoints.rotate(store, tenant, endpoint_id, secret)
    _show_secret(endpoint_id, endpoint, secret, as_json=as_json)


@command.command("enable")
@click.argument("endpoint_id", metavar="ENDPOINT")
@click.pass_obj
def enable_command(tenant: str, endpoint_id: str) -> None:
    """Send to an endpoint again that answered 410, or that is paused after failures."""
    asyncio.run(_enable(tenant, endpoint_id))


async def _enable(tenant: str, endpoint_id: str) -> None:
    from shared.flows.webhooks import endpoints

    async with _changing(tenant, endpoint_id, "webhook-enable") as store:
        await endpoints.enable(store, tenant, endpoint_id)
    click.echo(f"{endpoint_id} is enabled; `webhook replay --dead` sends what was given up")


@command.command("deliveries")
@click.option("--state", type=click.Choice(("pending", "delivered", "dead")), help="Only deliveries in this state.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="At most this many.")
@JSON
@click.pass_obj
def deliveries_command(tenant: str, state: str | None, limit: int, as_json: bool) -> None:
    """List deliveries, newest first, with the reason of the last failure."""
    asyncio.run(_deliveries(tenant, state, limit, as_json=as_json))


async def _deliveries(tenant: str, state: str | None, limit: int, *, as_json: bool) -> None:
    from shared.core.lifecycle import queries
    from shared.core.webhooks.delivery import WebhookDelivery

    async with worker_home.reading(worker_home.read_settings()) as store:
        documents = await store.query(queries.webhook_deliveries(tenant, state, limit))
    for document in documents:
        delivery = WebhookDelivery.from_json(document.data)
        if as_json:
            click.echo(to_json(_delivery(document.id, delivery)))
            continue
        last = delivery.last.reason if delivery.last and delivery.last.reason else ""
        click.echo(
            f"{delivery.request_id}  {delivery.status}  {delivery.endpoint}  {delivery.state}  "
            f"{delivery.attempt_count} attempts  {last}".rstrip()
        )
    if not documents and not as_json:
        click.echo("no deliveries")


@command.command("replay")
@click.argument("request_ids", metavar="[ID]...", nargs=-1)
@click.option("--dead", is_flag=True, help="Everything that was given up, at most the newest 1,000.")
@click.option("--endpoint", "endpoint_id", metavar="ENDPOINT", help="With --dead: of this endpoint only.")
@JSON
@click.pass_obj
def replay_command(
    tenant: str, request_ids: tuple[str, ...], dead: bool, endpoint_id: str | None, as_json: bool
) -> None:
    """Send the results of finished requests again, under the same webhook-id.

    With request ids, to every endpoint of the tenant, also to those added since.
    """
    if bool(request_ids) == dead:
        raise click.UsageError("Name request ids, or say --dead.")
    if endpoint_id is not None and not dead:
        raise click.UsageError("--endpoint goes with --dead.")
    from scripts.cli.data.see.requests import check_name

    for name in request_ids:
        check_name(name)
    asyncio.run(_replay(tenant, request_ids, endpoint_id, as_json=as_json))


async def _replay(tenant: str, request_ids: tuple[str, ...], endpoint_id: str | None, *, as_json: bool) -> None:
    from shared.flows.webhooks import replay

    settings = worker_home.read_settings()
    missing: list[str] = []
    due: list[str] = []
    async with worker_home.reading(settings) as store, worker_home.publishing(settings) as topics:
        for request_id in request_ids:
            try:
                due += await replay.replay_request(store, topics, tenant, request_id)
            except replay.NothingToReplay as error:
                missing.append(str(error))
        if not request_ids:
            due += await replay.replay_dead(store, topics, tenant, endpoint_id)
    audit.note(settings, "webhook-replay", detail=f"tenant {tenant}: {len(due)} deliveries")
    if as_json:
        click.echo(to_json({"deliveries": due, "errors": missing}))
    else:
        click.echo(f"{len(due)} {'delivery is' if len(due) == 1 else 'deliveries are'} due again")
        for line in missing:
            click.echo(line, err=True)
        worker_home.warn_unless_running(settings)
    if missing:
        raise click.exceptions.Exit(1)


@asynccontextmanager
async def _changing(tenant: str, endpoint_id: str, action: str) -> AsyncIterator[Store]:
    """The store, for one change that is audited; an endpoint of another tenant is a usage error."""
    from shared.flows.webhooks.endpoints import NoEndpoint

    settings = worker_home.read_settings()
    try:
        async with worker_home.reading(settings) as store:
            yield store
    except NoEndpoint as error:
        raise click.BadParameter(str(error), param_hint="ENDPOINT") from error
    audit.note(settings, action, detail=f"tenant {tenant}: endpoint {endpoint_id}")


def _show_secret(endpoint_id: str, endpoint: Endpoint, secret: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(to_json({**_endpoint(endpoint_id, endpoint), "secret": secret}))
        return
    click.echo(f"{endpoint_id}  {without_secrets(endpoint.url)}")
    click.echo(f"secret: {secret}")
    click.echo(SECRET_NOTE)


def _endpoint(endpoint_id: str, endpoint: Endpoint) -> dict[str, Any]:
    paused = f"paused until {_moment(endpoint.paused_until)}" if endpoint.paused_until and endpoint.failures else None
    disabled = f"disabled: {endpoint.disabled_reason}" if endpoint.disabled_at else None
    return {
        "endpoint": endpoint_id,
        "tenant": endpoint.tenant,
        "url": without_secrets(endpoint.url),
        "statuses": list(endpoint.statuses or ENDED),
        "state": disabled or paused or "enabled",
        "failures": endpoint.failures,
        "created_at": _moment(endpoint.created_at),
    }


def _delivery(delivery_id: str, delivery: WebhookDelivery) -> dict[str, Any]:
    return {
        "delivery": delivery_id,
        "endpoint": delivery.endpoint,
        "request_id": delivery.request_id,
        "webhook_id": delivery.message_id,
        "type": f"render.{delivery.status}",
        "state": delivery.state,
        "attempts": delivery.attempt_count,
        "due_at": _moment(delivery.due_at),
        "last_at": _moment(delivery.last.at) if delivery.last else None,
        "http_status": delivery.last.http_status if delivery.last else None,
        "reason": delivery.last.reason if delivery.last else None,
        "created_at": _moment(delivery.created_at),
    }


def _moment(at: Any) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at is not None else None
