"""`renderlane flags`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from scripts.cli.data import worker_home
from scripts.cli.data.steer import flag_options
from shared.core.messages.render_request import PURPOSES
from shared.core.routing.flag import DEFAULT_EXPIRY
from shared.core.routing.flag_kinds import FLAGS, NAMES, TO, WITH_TO, FlagName
from shared.core.values.lanes import ASKABLE

if TYPE_CHECKING:
    from shared.flows.operations.flag_preview import FlagPreview

BY_AND_WHY = (
    click.option(
        "--reason",
        metavar="TEXT",
        help="Reason; prompted for on a terminal. Recorded in receipts and in the flag history.",
    ),
    click.option("--actor", metavar="NAME", help="Who makes the change. Default: your login name."),
)


def _by_and_why(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(BY_AND_WHY):
        command = option(command)
    return command


class InOrder(click.Group):
    """Its commands in the order in which they are usually needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group("flags", cls=InOrder, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Same as `flags list --json`.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List and change routing flags.

    A tripped flag affects queued and new requests within three seconds, within each request's floor, cost cap and
    consent. Calls in flight are not affected. Every flag expires automatically. Without a command: `flags list`.
    """
    if ctx.invoked_subcommand is None:
        asyncio.run(_list(as_json=as_json))


@command.command("list")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object per line; `kind` distinguishes flags from conclusions."
)
def list_command(as_json: bool) -> None:
    """List active flags and conclusions: who, why, effect so far.

    Open breakers are listed as flags of the actor `breaker`.
    """
    asyncio.run(_list(as_json=as_json))


NAMED = ", ".join(f"{name} (with --to)" if kind.to else name for name, kind in FLAGS.items())
TRIP = f"""Trip a flag, after a preview of what it would change.

    NAME is one of {NAMED}.
    """


@command.command("trip", help=TRIP)
@click.argument("name", type=click.Choice(NAMES), metavar="NAME")
@click.option("--to", type=click.Choice(TO), help=f"Largest size that {' or '.join(WITH_TO)} allows.")
@click.option("--tenant", metavar="NAME", help="Only this tenant's requests.")
@click.option("--purpose", type=click.Choice(PURPOSES), help="Only requests for this purpose.")
@click.option("--model", metavar="NAME", help="Only requests that ask for this model: an alias or id.")
@click.option("--lane", type=click.Choice(ASKABLE), help="Only requests that ask for this lane.")
@click.option(
    "--share", type=click.IntRange(1, 100), default=100, show_default=True, help="Percentage of matching requests."
)
@click.option(
    "--for",
    "lasts",
    type=flag_options.Duration(),
    default=DEFAULT_EXPIRY,
    help="Duration: 90s, 30m, 2h, 1d. Default: 2h.",
)
@click.option("--shadow", is_flag=True, help="Dry run: only count affected requests.")
@click.option("--preview", "only_preview", is_flag=True, help="Show what would change without tripping.")
@click.option("--json", "as_json", is_flag=True, help="Output one JSON object.")
@_by_and_why
def trip(name: FlagName, reason: str | None, actor: str | None, only_preview: bool, as_json: bool, **more: Any) -> None:
    values = FLAGS[name].to
    if more["to"] not in (values or (None,)):
        allowed = f"--to {' or '.join(values)}" if values else "no --to"
        raise click.UsageError(f"--to: found {more['to'] or 'nothing'}; allowed with {name}: {allowed}")
    why = flag_options.reason("a preview" if only_preview else reason)
    asyncio.run(_trip(name, flag_options.actor(actor), why, only_preview=only_preview, as_json=as_json, **more))


BACKGROUND = "background:"
"""Before the lane and the model of a proof."""


@command.command("reset")
@click.argument("named", metavar="ID|NAME|CONCLUSION")
@_by_and_why
def reset(named: str, reason: str | None, actor: str | None) -> None:
    """Reset a flag or a conclusion.

    Queued requests use their usual route again. After a reset, a breaker will not trip again for 10 minutes.
    A conclusion (see `flags list` for its id) can only return because of calls that fail after the reset.
    `background:LANE/MODEL` forgets what is believed of background calls (see `quota`): the next call is a canary.
    """
    asyncio.run(_reset(named, flag_options.actor(actor), flag_options.reason(reason)))


@command.command("extend")
@click.argument("named", metavar="ID|NAME")
@click.option("--for", "lasts", type=flag_options.Duration(), required=True, help="Time from now: 90s, 30m, 2h, 1d.")
@_by_and_why
def extend(named: str, lasts: timedelta, reason: str | None, actor: str | None) -> None:
    """Extend a flag.

    An extended breaker stays open until then, even if its probes succeed.
    """
    asyncio.run(_extend(named, lasts, flag_options.actor(actor), flag_options.reason(reason)))


@command.command("history")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="JSON Lines output.")
def history(limit: int, as_json: bool) -> None:
    """Show changes to flags, newest first."""
    asyncio.run(_history(limit, as_json=as_json))


async def _list(*, as_json: bool) -> None:
    from scripts.cli.data.json_output import to_json
    from scripts.cli.data.see import routing
    from scripts.cli.views.see import request_view
    from scripts.cli.views.steer import flag_table
    from shared import wiring

    settings = worker_home.read_settings()
    catalogue = wiring.catalogue(settings)
    async with worker_home.reading(settings) as store:
        snapshot = await routing.read(store, settings, catalogue)
    worker_home.say_if_simulated(settings)
    if as_json:
        for document in flag_table.documents(snapshot):
            click.echo(to_json(document))
        return
    request_view.console().print(
        flag_table.table(snapshot) if snapshot.tripped else "no active flags", *flag_table.lines(snapshot), sep="\n"
    )


async def _trip(
    name: FlagName, actor: str, reason: str, *, to: str | None, lasts: timedelta, shadow: bool, only_preview: bool,
    as_json: bool, tenant: str | None, model: str | None, **scope: Any,
) -> None:  # fmt: skip
    from scripts.cli.data.steer import flag_actions
    from shared import wiring
    from shared.core.routing.flag import Scope
    from shared.core.routing.flag_form import FlagRequest

    settings = worker_home.read_settings()
    live = flag_options.live_model(model, wiring.catalogue(settings))
    wanted = Scope(tenant=flag_options.tenant(tenant), model=live, **scope)
    with _refusals():
        looked = await flag_actions.look(settings, FlagRequest(name, to, wanted, lasts, actor, reason, shadow))
        if not as_json:
            _say_preview(looked)
        if not only_preview:
            await flag_actions.trip(settings, looked.flag)
    _say_tripped(looked, only_preview=only_preview, as_json=as_json)
    if not only_preview:
        worker_home.say_if_simulated(settings)
        worker_home.warn_unless_running(settings)


def _say_preview(looked: FlagPreview) -> None:
    from scripts.cli.views.see import request_view
    from scripts.cli.views.steer import flag_table

    for flag in looked.alike:
        click.echo(f"note: {flag.id} ({flag.scope}) is already active, by {flag.actor}: {flag.reason}", err=True)
    request_view.console().print(*flag_table.preview(looked.flag, looked.by_queue, looked.lanes), sep="\n")


def _say_tripped(looked: FlagPreview, *, only_preview: bool, as_json: bool) -> None:
    from scripts.cli.data.json_output import to_json
    from scripts.cli.views.see.request_view import moment
    from scripts.cli.views.steer import flag_table

    flag = looked.flag
    if as_json:
        tripped = None if only_preview else flag.to_json()
        click.echo(to_json({"flag": tripped, "preview": [item.to_json() for item in looked.by_queue]}))
        return
    does = f"{flag_table.does_what(flag)} for {flag.scope}"
    if only_preview:
        click.echo(f"preview only, nothing was tripped ({does})")
        return
    how = " (dry run: only counts)" if flag.shadow else ""
    click.echo(f"tripped {flag.id}: {does}, by {flag.actor}, until {moment(flag.expires_at)}{how}")
    click.echo(f"to undo: renderlane flags reset {flag.id} --reason TEXT", err=True)


async def _reset(named: str, actor: str, reason: str) -> None:
    from scripts.cli.data.steer import flag_actions
    from scripts.cli.views.see.request_view import moment
    from scripts.cli.views.steer import flag_table
    from shared.core.admission.route_memory import Effect
    from shared.core.conclusions.conclusion import Conclusion
    from shared.core.observability.display import effect_text
    from shared.core.routing.breaker import OVERRULED

    settings = worker_home.read_settings()
    if named.startswith(BACKGROUND):
        before = await flag_actions.prove_again(settings, named.removeprefix(BACKGROUND), actor, reason)
        click.echo(f"reset {named}, which was {before.state}: the next call is a canary")
        return
    with _refusals():
        flag, snapshot = await flag_actions.reset(settings, named, actor, reason)
    if isinstance(flag, Conclusion):
        click.echo(f"reset {flag.id}: it can only return because of calls that fail from now on")
        return
    did = effect_text(snapshot.routing.effects.get(flag.id, Effect()))
    changed = "it would have changed" if flag.shadow else "it changed"
    click.echo(f"reset {flag.id} ({flag_table.does_what(flag)} for {flag.scope}); {changed} {did}")
    if flag.circuit is not None:
        click.echo(f"the breaker of {flag.circuit} will not trip before {moment(snapshot.now + OVERRULED)}")


async def _extend(named: str, lasts: timedelta, actor: str, reason: str) -> None:
    from scripts.cli.data.steer import flag_actions
    from scripts.cli.views.see.request_view import moment

    settings = worker_home.read_settings()
    with _refusals():
        flag, until = await flag_actions.extend(settings, named, lasts, actor, reason)
    note = f"; {flag.circuit} stays open until then, even if probes succeed" if flag.circuit is not None else ""
    click.echo(f"extended {flag.id} until {moment(until)}{note}")


async def _history(limit: int, *, as_json: bool) -> None:
    from scripts.cli.data.json_output import to_json
    from scripts.cli.views.see import request_view
    from scripts.cli.views.steer import flag_table
    from shared.core.lifecycle import queries

    settings = worker_home.read_settings()
    async with worker_home.reading(settings) as store:
        documents = await store.query(queries.flag_history(limit))
    if as_json:
        for document in documents:
            click.echo(to_json({name: value for name, value in document.data.items() if name != "expire_at"}))
        return
    if not documents:
        click.echo("no flag has been tripped yet", err=True)
        return
    request_view.console().print(flag_table.history(documents))


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What cannot be done to a flag is wrong usage."""
    from scripts.cli.main import Misconfigured
    from shared.core.routing.flag_board import FlagRefused

    try:
        yield
    except FlagRefused as error:
        raise Misconfigured(str(error)) from error
