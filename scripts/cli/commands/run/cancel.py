"""`renderlane cancel`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from scripts.cli.data import worker_home
from scripts.cli.data.json_output import to_json
from scripts.cli.data.see import filters
from scripts.cli.data.steer import audit
from shared.core.messages.request_key import id_of, tenant_of
from shared.core.values.documents import Document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scripts.cli.commands.run.cancellation import Target
    from scripts.cli.data.run.outgoing import OutgoingMessage
    from scripts.cli.data.see.filters import ListFilter
    from shared.config import Settings
    from shared.core.records.versioned import Row

STATUSES = ("queued", "released", "batched")
"""Statuses of requests that have not started; others are not affected."""


@click.command("cancel")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option(
    "--status", type=click.Choice(STATUSES), multiple=True, help="Only requests with this status; repeatable."
)
@filters.options("tenant", "model", "priority", "group", "flag", "since", "until")
@click.option("--yes", is_flag=True, help="Cancel the matching requests instead of previewing.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="With ids: how long to wait for the effect.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, one object per id; with a filter one object.")
@click.pass_context
def command(
    ctx: click.Context, /, ids: tuple[str, ...], status: tuple[str, ...], yes: bool, timeout: float, as_json: bool,
    **filters: Any,
) -> None:  # fmt: skip
    """Cancel requests that have not started.

    Ids are cancelled at once, and the effect on each is shown. A filter first shows what it matches; repeat with
    --yes to cancel. Requests that have started are not affected. Exit code 1 if one had ended already, 3 if one has not
    ended yet.
    """
    from scripts.cli.data.see.filters import ListFilter

    filtered = bool(status) or any(value is not None for value in filters.values())
    if ids and filtered:
        raise click.UsageError("use either ids or a filter, not both")
    if not ids and not filtered:
        raise click.UsageError("give ids or a filter: --status, --tenant, --model, --priority, ...")
    if ids:
        from scripts.cli.data.see.requests import check_name

        for name in ids:
            check_name(name)
        ctx.exit(asyncio.run(_cancel(ids, timeout, as_json=as_json)))
    else:
        choice = ListFilter(statuses=status or STATUSES, **filters)
        asyncio.run(_cancel_chosen(choice, yes=yes, as_json=as_json))


async def _cancel(ids: tuple[str, ...], patience: float, *, as_json: bool) -> int:
    """The exit code: 1 if a request has ended already, 3 if one has not ended yet."""
    from scripts.cli.commands.run import cancellation
    from scripts.cli.data.run.outgoing import send

    settings = worker_home.read_settings()
    targets = await _targets(settings, ids)
    async with worker_home.publishing(settings) as topics:
        await send(topics, _lines((target.tenant, target.request_id) for target in targets))
    for name in ids:
        audit.note(settings, "cancel", request_id=name)
    worker_home.warn_unless_running(settings)
    fates = [cancellation.Fate(target, target.status) for target in targets]
    if any(target.status is not None for target in targets):
        async with worker_home.reading(settings) as store:
            fates = await cancellation.follow(store, targets, patience if worker_home.may_run(settings) else 0)
    for fate in fates:
        if as_json:
            click.echo(to_json(fate.to_json()))
        else:
            click.echo(fate.line, err=fate.effect in ("kept", "ended before"))
    return cancellation.exit_code(fates)


async def _cancel_chosen(choice: ListFilter, *, yes: bool, as_json: bool) -> None:
    from scripts.cli.data.run.outgoing import send
    from scripts.cli.views.see import progress
    from shared import wiring

    settings = worker_home.read_settings()
    choice = choice.with_models(wiring.catalogue(settings))
    async with worker_home.reading(settings) as store:
        requests = await filters.read(store, choice)
    if not as_json:
        _preview(requests)
    if yes and requests:
        async with worker_home.publishing(settings) as topics:
            with progress.counted(len(requests), "asked to cancel") as report:
                await send(
                    topics, _lines([(versioned.record.tenant, id_of(versioned.id)) for versioned in requests]), report
                )
        for versioned in requests:
            audit.note(settings, "cancel", request_id=versioned.id, trace_id=versioned.record.trace_id)
    if as_json:
        click.echo(
            to_json(
                {"chosen": len(requests), "asked": yes, "request_ids": [id_of(versioned.id) for versioned in requests]}
            )
        )
        return
    if not requests:
        return
    if yes:
        worker_home.warn_unless_running(settings)
        click.echo(f"cancellation of {len(requests):,} sent; see `renderlane list --status cancelled`")
    else:
        click.echo("preview only, nothing was cancelled. Repeat with --yes to cancel.")


def _preview(rows: list[Row]) -> None:
    from scripts.cli.views.see import request_view

    if not rows:
        click.echo("no such requests", err=True)
        return
    request_view.console().print(*request_view.first_ten(rows, "would be cancelled, unpaid"), sep="\n")


async def _targets(settings: Settings, names: Sequence[str]) -> list[Target]:
    """A request that does not exist yet belongs to the tenant that its name says, else to `default`."""
    from scripts.cli.commands.run.cancellation import Target
    from scripts.cli.data.see.requests import resolve
    from shared.core.messages.render_request import DEFAULT_TENANT
    from shared.core.records.versioned import request_in

    if not worker_home.has_store(settings):
        return [Target(name, tenant_of(name) or DEFAULT_TENANT, None) for name in names]
    targets: list[Target] = []
    async with worker_home.reading(settings) as store:
        for name in names:
            request = await resolve(store, name)
            if isinstance(request, Document):
                record = request_in(request).record
                targets.append(Target(name, record.tenant, str(record.status)))
            else:
                targets.append(Target(name, tenant_of(name) or DEFAULT_TENANT, None))
    return targets


def _lines(owners: Iterable[tuple[str, str]]) -> list[OutgoingMessage]:
    from scripts.cli.data.run.outgoing import OutgoingMessage
    from shared.core.messages.pubsub_messages import cancellation

    return [OutgoingMessage.of(cancellation(*owner), number) for number, owner in enumerate(owners, start=1)]
