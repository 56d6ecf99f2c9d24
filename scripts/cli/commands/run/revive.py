"""`renderlane revive`."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from scripts.cli.data import worker_home
from scripts.cli.data.see import filters
from scripts.cli.data.steer import flag_options
from shared.core.lifecycle.revival import BY_FILTER, REVIVABLE

if TYPE_CHECKING:
    from scripts.cli.data.see.filters import ListFilter


@click.command("revive")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option(
    "--status", type=click.Choice(REVIVABLE), multiple=True, help="Only requests with this status; repeatable."
)
@filters.options("outcome", "tenant", "model", "priority", "group", "since", "until")
@click.option(
    "--deadline", type=filters.TimeOption(from_now=True), help="New deadline: a time, or 30m, 2h, 1d from now."
)
@click.option("--actor", metavar="NAME", help="Who makes the change. Default: your login name.")
@click.option("--yes", is_flag=True, help="Revive the matching requests instead of previewing.")
@click.option("--json", "as_json", is_flag=True, help="Old and new ids as JSON Lines; a preview is one object.")
@click.pass_context
def command(
    ctx: click.Context, /, ids: tuple[str, ...], status: tuple[str, ...], deadline: datetime | None, actor: str | None,
    yes: bool, as_json: bool, **filters: Any,
) -> None:  # fmt: skip
    """Retry requests that ended without an image.

    Each becomes a new request (ID-r2) with the same content, the requested model and its own cost cap. Ids are revived
    at once. A filter first shows what it matches and what that costs; repeat with --yes to revive. An expired deadline
    is dropped unless --deadline sets a new one. Refused requests can only be revived by id. Exit code 1 if any
    request could not be revived.
    """
    from scripts.cli.data.see.filters import ListFilter

    filtered = bool(status) or any(value is not None for value in filters.values())
    if ids and filtered:
        raise click.UsageError("use either ids or a filter, not both")
    if not ids and not filtered:
        raise click.UsageError("give ids or a filter: --outcome, --status, --tenant, --model, ...")
    if "refused" in status or filters["outcome"] == "refused":
        allowed = ", ".join(BY_FILTER)
        raise click.UsageError(f"refused requests can only be revived one by one, by id; allowed by filter: {allowed}")
    by, settings = flag_options.actor(actor), worker_home.read_settings()
    if ids:
        ctx.exit(asyncio.run(_by_ids(settings, ids, by, deadline, as_json=as_json)))
    choice: ListFilter = ListFilter(statuses=status or BY_FILTER, **filters)
    ctx.exit(asyncio.run(_by_filter(settings, choice, by, deadline, yes=yes, as_json=as_json)))


async def _by_ids(settings: Any, ids: tuple[str, ...], actor: str, deadline: datetime | None, *, as_json: bool) -> int:
    from scripts.cli.commands.run import revival
    from scripts.cli.data.see.requests import check_name, resolve

    for name in ids:
        check_name(name)
    async with worker_home.reading(settings) as store:
        keys = [(await resolve(store, name)).path.partition("/")[2] for name in ids]
    return await revival.send(settings, keys, actor, deadline, as_json=as_json, report=None)


async def _by_filter(
    settings: Any, choice: ListFilter, actor: str, deadline: datetime | None, *, yes: bool, as_json: bool
) -> int:
    from scripts.cli.commands.run import revival
    from scripts.cli.views.see import progress, request_view
    from shared import wiring

    catalogue = wiring.catalogue(settings)
    async with worker_home.reading(settings) as store:
        preview = await revival.look(store, choice.with_models(catalogue), catalogue)
    if not preview.requests and as_json and not yes:
        click.echo(preview.to_json())
        return 0
    if not preview.requests:
        click.echo(f"nothing to revive{preview.before_words}", err=True)
        return 0
    if not as_json:
        request_view.console().print(*preview.lines(deadline), sep="\n")
    elif not yes:
        click.echo(preview.to_json())
    if not yes:
        if not as_json:
            click.echo("preview only, nothing was revived. Repeat with --yes to revive.")
        return 0
    ids = [versioned.id for versioned in preview.requests]
    with progress.counted(len(ids), "revived") as report:
        return await revival.send(settings, ids, actor, deadline, as_json=as_json, report=report)
