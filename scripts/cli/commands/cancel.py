"""`renderlane cancel`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

from scripts.cli.data import audit, filters, worker_home
from shared.core.messages.request_key import id_of, tenant_of
from shared.core.values.documents import Document
from shared.core.values.status import FINAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scripts.cli.data.filters import Choice
    from scripts.cli.data.outgoing import Line
    from shared.config import Settings
    from shared.core.records.versioned import Row

STATUSES = ("queued", "released", "batched")
"""Not begun: what has begun ends as it ends."""


@click.command("cancel")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option(
    "--status", type=click.Choice(STATUSES), multiple=True, help="Only requests with this status; repeatable."
)
@filters.options("tenant", "model", "priority", "group", "flag", "since", "until")
@click.option("--yes", is_flag=True, help="Cancel the matching requests instead of previewing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: what matched and whether it was sent.")
@click.pass_context
def command(
    ctx: click.Context, /, ids: tuple[str, ...], status: tuple[str, ...], yes: bool, as_json: bool, **filters: Any
) -> None:
    """Cancel requests that have not started.

    Ids are cancelled at once. A filter first shows what it matches; repeat with --yes to cancel. Requests that have
    started are not affected. Exit code 1 if one has ended already.
    """
    from scripts.cli.data.filters import Choice

    filtered = bool(status) or any(value is not None for value in filters.values())
    if ids and filtered:
        raise click.UsageError("use either ids or a filter, not both")
    if not ids and not filtered:
        raise click.UsageError("give ids or a filter: --status, --tenant, --model, --priority, ...")
    if ids:
        from scripts.cli.data.requests import check_name

        for name in ids:
            check_name(name)
        ctx.exit(asyncio.run(_cancel(ids)))
    else:
        choice = Choice(statuses=status or STATUSES, **filters)
        asyncio.run(_cancel_chosen(choice, yes=yes, as_json=as_json))


async def _cancel(ids: tuple[str, ...]) -> int:
    """The exit code: 1 where a request has ended already, so that there is nothing left to cancel."""
    from scripts.cli.data.outgoing import send

    settings = worker_home.read_settings()
    owners, ends = await _owners(settings, ids)
    lines = _lines(owners)
    async with worker_home.publishing(settings) as topics:
        await send(topics, lines)
    for each in ids:
        audit.note(settings, "cancel", request_id=each)
    worker_home.warn_unless_running(settings)
    for each in ids:
        match ends[each]:
            case None:
                click.echo(
                    f"{each}: no such request yet; the cancellation is kept for 30 days, should it come", err=True
                )
            case status if status in FINAL:
                click.echo(f"{each}: already {status}; nothing was cancelled", err=True)
            case _:
                click.echo(f"cancellation of {each} sent; see `renderlane status {each}`")
    return 1 if any(status in FINAL for status in ends.values()) else 0


async def _cancel_chosen(choice: Choice, *, yes: bool, as_json: bool) -> None:
    from scripts.cli.data.outgoing import send
    from scripts.cli.views import progress
    from shared import wiring

    settings = worker_home.read_settings()
    choice = choice.with_models(wiring.catalogue(settings))
    async with worker_home.reading(settings) as store:
        found = await filters.read(store, choice)
    if not as_json:
        _preview(found)
    if yes and found:
        async with worker_home.publishing(settings) as topics:
            with progress.counted(len(found), "asked to cancel") as report:
                await send(topics, _lines([(each.record.tenant, id_of(each.id)) for each in found]), report)
        for each in found:
            audit.note(settings, "cancel", request_id=each.id, trace_id=each.record.trace_id)
    if as_json:
        click.echo(json.dumps({"chosen": len(found), "asked": yes, "request_ids": [id_of(each.id) for each in found]}))
        return
    if not found:
        return
    if yes:
        worker_home.warn_unless_running(settings)
        click.echo(f"cancellation of {len(found):,} sent; see `renderlane list --status cancelled`")
    else:
        click.echo("preview only, nothing was cancelled. Repeat with --yes to cancel.")


def _preview(found: list[Row]) -> None:
    from scripts.cli.views import request_view

    if not found:
        click.echo("no such requests", err=True)
        return
    request_view.console().print(*request_view.first_ten(found, "would be cancelled, unpaid"), sep="\n")


async def _owners(settings: Settings, names: Sequence[str]) -> tuple[list[tuple[str, str]], dict[str, str | None]]:
    """Tenant and id of each, and the status by name; None where there is no such request yet: it is of the tenant that
    is named, else of `default`.
    """
    from scripts.cli.data.requests import resolve
    from shared.core.messages.render_request import DEFAULT_TENANT
    from shared.core.records.versioned import request_in

    owners: list[tuple[str, str]] = []
    statuses: dict[str, str | None] = {}
    if not worker_home.has_store(settings):
        return [(tenant_of(name) or DEFAULT_TENANT, id_of(name)) for name in names], dict.fromkeys(names)
    async with worker_home.reading(settings) as store:
        for name in names:
            request = await resolve(store, name)
            record = request_in(request).record if isinstance(request, Document) else None
            owners.append((record.tenant if record else tenant_of(name) or DEFAULT_TENANT, id_of(name)))
            statuses[name] = record.status if record else None
    return owners, statuses


def _lines(owners: Iterable[tuple[str, str]]) -> list[Line]:
    from scripts.cli.data.outgoing import Line
    from shared.core.messages.pubsub_messages import cancellation

    return [Line.of(cancellation(*owner), number) for number, owner in enumerate(owners, start=1)]
