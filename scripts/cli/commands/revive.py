"""`renderlane revive`."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from scripts.cli.data import filters, flag_options, worker_home
from shared.core.lifecycle.revival import BY_FILTER, REVIVABLE

if TYPE_CHECKING:
    from scripts.cli.data.filters import Choice


@click.command("revive")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--status", type=click.Choice(REVIVABLE), multiple=True, help="Only these; repeatable.")
@filters.options("outcome", "tenant", "model", "priority", "group", "since", "until")
@click.option("--deadline", type=filters.Moment(from_now=True), help="A new one: a moment, or 30m, 2h, 1d.")
@click.option("--actor", metavar="NAME", help="Who; default the login name.")
@click.option("--yes", is_flag=True, help="Revive what the filter chooses, not only show it.")
@click.option("--json", "as_json", is_flag=True, help="One object a line: old and new id; of a preview one object.")
@click.pass_context
def command(
    ctx: click.Context, /, ids: tuple[str, ...], status: tuple[str, ...], deadline: datetime | None, actor: str | None,
    yes: bool, as_json: bool, **filters: Any,
) -> None:  # fmt: skip
    """Send requests that ended without an image round again.

    Each becomes a new request (ID-r2) with the same content, the model that was asked for and a cap of its own. By ids,
    at once; or by filter: first a look at what it chooses and costs, then the same with --yes. A deadline that has
    passed is left out unless --deadline gives another. Refusals are revived by their ids only. Exit code 1 when one
    could not be.
    """
    from scripts.cli.data.filters import Choice

    filtered = bool(status) or any(value is not None for value in filters.values())
    if ids and filtered:
        raise click.UsageError("ids or a filter, not both")
    if not ids and not filtered:
        raise click.UsageError("name ids, or choose by a filter: --outcome, --status, --tenant, --model, ...")
    if "refused" in status or filters["outcome"] == "refused":
        allowed = ", ".join(BY_FILTER)
        raise click.UsageError(
            f"a refusal is an answer: look at each, and revive it by its id; allowed by filter: {allowed}"
        )
    by, settings = flag_options.actor(actor), worker_home.read_settings()
    if ids:
        ctx.exit(asyncio.run(_by_ids(settings, ids, by, deadline, as_json=as_json)))
    choice: Choice = Choice(statuses=status or BY_FILTER, **filters)
    ctx.exit(asyncio.run(_by_filter(settings, choice, by, deadline, yes=yes, as_json=as_json)))


async def _by_ids(settings: Any, ids: tuple[str, ...], actor: str, deadline: datetime | None, *, as_json: bool) -> int:
    from scripts.cli.commands import revival
    from shared.core.messages.render_request import ID_WORDS, named_id

    for each in ids:
        if named_id({"request_id": each}) is None:
            raise click.UsageError(f"{each!r} is no request id; allowed: 1 to 128 {ID_WORDS}")
    return await revival.send(settings, ids, actor, deadline, as_json=as_json, report=None)


async def _by_filter(
    settings: Any, choice: Choice, actor: str, deadline: datetime | None, *, yes: bool, as_json: bool
) -> int:
    from scripts.cli.commands import revival
    from scripts.cli.views import progress, request_view
    from shared import wiring

    catalogue = wiring.catalogue(settings)
    async with worker_home.reading(settings) as store:
        preview = await revival.look(store, choice.with_models(catalogue), catalogue)
    if not preview.found:
        click.echo(f"nothing to revive{preview.before_words}", err=True)
        return 0
    if not as_json:
        request_view.console().print(*preview.lines(deadline), sep="\n")
    elif not yes:
        click.echo(preview.to_json())
    if not yes:
        if not as_json:
            click.echo("a preview: nothing is revived. The same with --yes revives them.")
        return 0
    ids = [each.id for each in preview.found]
    with progress.counted(len(ids), "revived") as report:
        return await revival.send(settings, ids, actor, deadline, as_json=as_json, report=report)
