"""`renderlane status`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import click

from scripts.cli.data import worker_home
from scripts.cli.data.steer import audit
from shared.core.validation.visible import visible
from shared.core.values.status import FINAL

if TYPE_CHECKING:
    from scripts.cli.data.see.requests import StoredRequest
    from shared.core.catalogue.catalogue import Catalogue
    from shared.core.values.documents import Absent
    from shared.flows.status.prospect import Prospect
    from shared.flows.status.scene_reading import Situation
    from shared.ports.store import Store


@click.command("status")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--watch", is_flag=True, help="Follow until all have ended; without a terminal, one line per change.")
@click.option("--json", "as_json", is_flag=True, help="The public view as JSON Lines; with --watch, one per change.")
@click.option("--raw", is_flag=True, help="With --json: the whole status documents with their attempts.")
@click.option("--prompt", "--with-prompt", "with_prompt", is_flag=True, help="Also show the prompt.")
@click.pass_context
def command(ctx: click.Context, ids: tuple[str, ...], watch: bool, as_json: bool, raw: bool, with_prompt: bool) -> None:
    """Show the status of requests, or of the worker.

    Of a request: advice, the requested and delivered route, cost, attempts and image; exit code 1 if one is unknown or
    ended without an image. Without ID: the console's first line with its next step; exit code 1 where that is red.
    """
    as_json = as_json or raw
    if not ids:
        if watch or raw or with_prompt:
            raise click.UsageError("found no ID; allowed: --json alone without one. Name the requests.")
        from scripts.cli.commands.see import situation

        ctx.exit(asyncio.run(situation.show(as_json=as_json)))
    from scripts.cli.data.see.requests import check_name

    for name in ids:
        check_name(name)
    try:
        ctx.exit(asyncio.run(_status(ids, watch=watch, as_json=as_json, raw=raw, with_prompt=with_prompt)))
    except KeyboardInterrupt:
        click.echo("\nstopped watching; nothing was changed", err=True)
        ctx.exit(130)


async def _status(ids: tuple[str, ...], *, watch: bool, as_json: bool, raw: bool, with_prompt: bool) -> int:
    """The exit code: 1 if an id is unknown, or its request ended without an image."""
    from scripts.cli.data.see.requests import StoredRequest, find, rejections_of
    from scripts.cli.views.see import follow
    from shared import wiring

    settings = worker_home.read_settings()
    catalogue = wiring.catalogue(settings)
    unknown = 0
    async with worker_home.reading(settings) as store:
        worker_home.say_if_simulated(settings)
        if watch:
            looked_up = await follow.follow(store, ids, catalogue, as_json=as_json, raw=raw, with_prompt=with_prompt)
        else:
            looked_up = await find(store, ids)
            await _show(store, looked_up, catalogue, as_json=as_json, raw=raw, with_prompt=with_prompt)
        for item in looked_up if with_prompt else ():
            if isinstance(item, StoredRequest):
                audit.note(
                    settings,
                    "show-prompt",
                    request_id=item.key,
                    trace_id=item.record.trace_id,
                    detail="status",
                )
        for request_id, item in zip(ids, looked_up, strict=True):
            if not isinstance(item, StoredRequest):
                unknown += 1
                _say_unknown(request_id, [one.record.reason for one in await rejections_of(store, request_id)])
    if any(isinstance(one, StoredRequest) and one.status not in FINAL for one in looked_up):
        worker_home.warn_unless_running(settings)
    failed = any(
        isinstance(one, StoredRequest) and one.status in FINAL and one.status != "succeeded" for one in looked_up
    )
    return 1 if unknown or failed else 0


async def _show(
    store: Store,
    looked_up: list[StoredRequest | Absent],
    catalogue: Catalogue,
    *,
    as_json: bool,
    raw: bool,
    with_prompt: bool,
) -> None:
    from scripts.cli.data.json_output import JsonForm, to_json
    from scripts.cli.data.see import wait_reasons
    from scripts.cli.data.see.requests import StoredRequest
    from scripts.cli.views.see import request_view

    readable = [item for item in looked_up if isinstance(item, StoredRequest)]
    why = await wait_reasons.read(store, readable, catalogue)
    now = None if as_json else await _situation(store, readable, catalogue)
    console = request_view.console()
    for number, item in enumerate(readable):
        if as_json:
            click.echo(to_json(wait_reasons.in_document(item, why, JsonForm(raw, with_prompt))))
        else:
            next_step = None if now is None else _next_step(item, now, catalogue)
            sheet = request_view.sheet(item, wait_reasons.of(item, why), next_step, with_prompt=with_prompt)
            console.print(*([""] if number else []), sheet)


async def _situation(store: Store, requests: list[StoredRequest], catalogue: Catalogue) -> Situation | None:
    """The state of the worker; None if all requests have ended, because then it does not matter."""
    from scripts.cli.data.see import routing
    from shared.flows.status import scene_reading

    if all(request.status in FINAL for request in requests):
        return None
    return await scene_reading.read(store, routing.read(store, worker_home.read_settings(), catalogue))


def _next_step(request: StoredRequest, now: Situation, catalogue: Catalogue) -> Prospect | None:
    """As the console's page of the request says it; None if it has ended, or this release cannot plan for it."""
    from shared.core.values.lanes import BUILT
    from shared.flows.status.prospect import prospect

    if request.status in FINAL:
        return None
    with contextlib.suppress(ValueError, KeyError, LookupError):
        return prospect(request.key, request.record, request.attempts, now, catalogue, BUILT)
    return None


def _say_unknown(request_id: str, rejections: list[str]) -> None:
    if rejections:
        for reason in rejections:
            click.echo(f"{request_id}: a message with this id was rejected: {visible(reason)}", err=True)
        return
    hint = "See `renderlane list`, and check RENDERLANE_HOME or RENDERLANE_STORE. Ids are kept for 30 days."
    click.echo(f"{request_id}: no such request. {hint}", err=True)
