"""`renderlane list`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from scripts.cli.data import worker_home
from scripts.cli.data.json_output import JsonForm
from scripts.cli.data.see import filters
from scripts.cli.data.steer import audit
from shared.core.values.lanes import BATCH, NAMES
from shared.core.values.status import FINAL

if TYPE_CHECKING:
    from datetime import datetime

    from scripts.cli.data.see.filters import ListFilter
    from scripts.cli.data.see.requests import StoredRequest
    from shared.config import Settings

REJECTED = "rejected"
STATUSES = ("queued", "released", "rendering", "batched", *FINAL, REJECTED)


@click.command("list")
@click.option(
    "--status", type=click.Choice(STATUSES), multiple=True, help="Only requests with this status; repeatable."
)
@filters.options("tenant", "model")
@click.option("--lane", type=click.Choice(NAMES), help=f"Only this lane; `{BATCH}` alone shows places and ages.")
@filters.options("priority", "outcome", "group", "flag", "since", "until")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The public view as JSON Lines.")
@click.option("--raw", is_flag=True, help="With --json: the whole status documents with their attempts.")
@click.option("--with-prompt", is_flag=True, help="With --json: also the prompts.")
def command(
    status: tuple[str, ...], lane: str | None, limit: int, as_json: bool, raw: bool, with_prompt: bool, **filters: Any
) -> None:
    """List requests, newest first.

    With `--lane batch` and at most a tenant filter: open batch requests, longest waiting first. With `--status
    rejected`: messages that could not be taken, also those without an id; only tenant and time filter them.
    """
    from scripts.cli.data.see.filters import ListFilter

    if with_prompt and not (as_json or raw):
        raise click.UsageError("--with-prompt needs --json")
    form = JsonForm(raw, with_prompt) if as_json or raw else None
    others = {name for name, value in filters.items() if value is not None} - {"tenant"}
    if REJECTED in status:
        if len(status) > 1 or lane or others - {"since", "until"}:
            raise click.UsageError("--status rejected goes with --tenant, --since and --until only")
        asyncio.run(_rejected(filters["tenant"], filters["since"], filters["until"], limit, form))
        return
    if lane == BATCH and not status and not others:
        asyncio.run(_on_the_way(filters["tenant"], limit, form))
    else:
        asyncio.run(_list(ListFilter(statuses=status, lane=lane, **filters), limit, form))


async def _on_the_way(tenant: str | None, limit: int, form: JsonForm | None) -> None:
    from datetime import UTC, datetime

    from scripts.cli.data.json_output import to_json
    from scripts.cli.data.see import wait_reasons
    from scripts.cli.data.see.requests import with_attempts
    from scripts.cli.data.see.wait_reasons import WaitReasons
    from scripts.cli.views.see import batch_table, request_view
    from shared import wiring
    from shared.core.lifecycle.request_record import path
    from shared.core.values.documents import Document

    settings = worker_home.read_settings()
    async with worker_home.reading(settings) as store:
        on_the_way = await batch_table.read(store)
        places = [place for place in on_the_way.places if tenant is None or place.row.tenant == tenant]
        worker_home.say_if_simulated(settings)
        if form is not None:
            by_key = {place.key: place for place in places[:limit]}
            documents = await store.get_all([path(name) for name in by_key])
            requests = await with_attempts(store, [one for one in documents if isinstance(one, Document)])
            for request in requests:
                document = wait_reasons.in_document(request, WaitReasons(), form)
                click.echo(to_json(document | {"in_batch": by_key[request.key].to_json()}))
            _note_prompts(settings, requests, form)
            return
    now = datetime.now(UTC)
    if not places:
        click.echo("no open batch requests", err=True)
        return
    notes = batch_table.lines(on_the_way, wiring.catalogue(settings).batch, now)
    shown = request_view.console()
    shown.print(batch_table.table(places[:limit], now), *notes, sep="\n")


async def _rejected(
    tenant: str | None, since: datetime | None, until: datetime | None, limit: int, form: JsonForm | None
) -> None:
    from scripts.cli.data.json_output import to_json
    from scripts.cli.data.see.requests import rejected
    from scripts.cli.views.see import request_view

    settings = worker_home.read_settings()
    async with worker_home.reading(settings) as store:
        messages, count = await rejected(store, tenant, since, until, limit)
    if form is not None:
        for message in messages:
            click.echo(to_json(message.document(raw=form.raw, with_prompt=form.with_prompt)))
            if form.with_prompt:
                audit.note(settings, "show-prompt", request_id=message.request_id, detail="list")
        return
    if not messages:
        click.echo("no rejected messages", err=True)
        return
    request_view.console().print(request_view.rejections(messages))
    more = "" if count == len(messages) else f"; {count - len(messages):,} more, see --limit"
    click.echo(f"{count:,} rejected message{'' if count == 1 else 's'}{more}", err=True)


async def _list(choice: ListFilter, limit: int, form: JsonForm | None) -> None:
    from datetime import UTC, datetime

    from scripts.cli.data.json_output import to_json
    from scripts.cli.data.see import wait_reasons
    from scripts.cli.data.see.requests import ListedRequest, with_attempts
    from scripts.cli.views.see import request_view
    from shared import wiring
    from shared.core.values.documents import Document

    settings = worker_home.read_settings()
    catalogue = wiring.catalogue(settings)
    choice = choice.with_models(catalogue)
    async with worker_home.reading(settings) as store:
        unreadable: list[Document] = []
        read = filters.read_whole if form else filters.read
        documents = await read(store, choice, limit, unreadable)
        worker_home.say_if_simulated(settings)
        if form is not None:
            requests = await with_attempts(store, documents)
            reasons = await wait_reasons.read(store, requests, catalogue)
            for request in requests:
                click.echo(to_json(wait_reasons.in_document(request, reasons, form)))
            _note_prompts(settings, requests, form)
            for document in unreadable:
                click.echo(to_json({"request_id": document.id, "status": "unreadable"}))
            return
        listeds = [ListedRequest(row.id, row.record) for row in documents]
        why = await wait_reasons.read(store, listeds, catalogue)
    filters.say_unreadable(unreadable)
    if not listeds:
        click.echo("no such requests", err=True)
        return
    request_view.console().print(
        request_view.listed(listeds, datetime.now(UTC)), *wait_reasons.lines(listeds, why), sep="\n"
    )
    if any(request.status not in FINAL for request in listeds):
        worker_home.warn_unless_running(settings)


def _note_prompts(settings: Settings, requests: Sequence[StoredRequest], form: JsonForm) -> None:
    for request in requests if form.with_prompt else ():
        audit.note(settings, "show-prompt", request_id=request.key, trace_id=request.record.trace_id, detail="list")
