"""`renderlane list`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from scripts.cli import chosen, place
from shared.core.record import FINAL

if TYPE_CHECKING:
    from scripts.cli.chosen import Choice

LANES_SHOWN = ("standard", "priority", "flex", "batch", "gateway")
STATUSES = ("queued", "released", "rendering", "batched", *FINAL)


@click.command("list")
@click.option("--status", type=click.Choice(STATUSES), multiple=True, help="Only these; repeatable.")
@chosen.options("tenant", "model")
@click.option("--lane", type=click.Choice(LANES_SHOWN), help="Only on this lane; `batch` alone: places and ages.")
@chosen.options("priority", "outcome", "group", "flag", "since", "until")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Status documents, one a line.")
def command(status: tuple[str, ...], lane: str | None, limit: int, as_json: bool, **filters: Any) -> None:
    """List requests, newest first.

    With `--lane batch` and no other filter but a tenant: what is on its way by batch, longest waiting first.
    """
    from scripts.cli.chosen import Choice

    others = {name for name, value in filters.items() if value is not None} - {"tenant"}
    if lane == "batch" and not status and not others:
        asyncio.run(_on_the_way(filters["tenant"], limit, as_json=as_json))
    else:
        asyncio.run(_list(Choice(statuses=status, lane=lane, **filters), limit, as_json=as_json))


async def _on_the_way(tenant: str | None, limit: int, *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from scripts.cli import batched, show
    from scripts.cli.found import to_json, with_attempts
    from shared import wiring
    from shared.core.documents import Document
    from shared.core.record import path

    settings = place.read_settings()
    async with place.reading(settings) as store:
        found = await batched.read(store)
        places = [each for each in found.places if tenant is None or each.request.data["tenant"] == tenant]
        place.say_if_simulated(settings)
        if as_json:
            by_id = {each.request.id: each for each in places[:limit]}
            documents = await store.get_all([path(each) for each in by_id])
            for each in await with_attempts(store, [one for one in documents if isinstance(one, Document)]):
                click.echo(to_json(each.document() | {"in_batch": by_id[each.request_id].to_json()}))
            return
    now = datetime.now(UTC)
    if not places:
        click.echo("nothing is on its way by batch", err=True)
        return
    said = batched.lines(found, wiring.catalogue(settings).batch, now)
    shown = show.console()
    shown.print(batched.table(places[:limit], now), *said, sep="\n")


async def _list(choice: Choice, limit: int, *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from scripts.cli import held, show
    from scripts.cli.found import Found, to_json, with_attempts
    from shared import wiring
    from shared.core.documents import Document

    settings = place.read_settings()
    catalogue = wiring.catalogue(settings)
    choice = choice.with_models(catalogue)
    async with place.reading(settings) as store:
        unreadable: list[Document] = []
        fields = None if as_json else (*show.LISTED, "wake_at", "ask")
        documents = await chosen.read(store, choice, fields, limit, unreadable)
        place.say_if_simulated(settings)
        if as_json:
            for each in await with_attempts(store, documents):
                click.echo(to_json(each.document()))
            for document in unreadable:
                click.echo(to_json({"request_id": document.id, "status": "unreadable"}))
            return
        found = [Found(document.id, document.data) for document in documents]
        why = await held.read(store, found, catalogue)
    chosen.say_unreadable(unreadable)
    if not found:
        click.echo("no such requests", err=True)
        return
    show.console().print(show.listed(found, datetime.now(UTC)), *held.lines(found, why), sep="\n")
