"""`renderlane list`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from scripts.cli import place
from shared.core.record import FINAL

if TYPE_CHECKING:
    from shared.core.documents import Document
    from shared.ports import Store

LANES_SHOWN = ("standard", "priority", "flex", "batch", "gateway")
STATUSES = ("queued", "released", "rendering", "batched", *FINAL)
PAGE = 200
SHOWN = (
    "status", "tenant", "model", "wake_at", "route", "ask", "receipt", "cost_micros", "cost_unknown_attempts",
    "created_at",
)  # fmt: skip
"""What the table needs: no prompts."""


@click.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only these.")
@click.option("--tenant", help="Only this tenant's.")
@click.option("--lane", type=click.Choice(LANES_SHOWN), help="Only on this lane; `batch`: places and ages.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Status documents, one a line.")
def command(status: str | None, tenant: str | None, lane: str | None, limit: int, as_json: bool) -> None:
    """List requests, newest first.

    With `--lane batch` alone: what is on its way by batch, longest waiting first.
    """
    if lane == "batch" and status is None:
        asyncio.run(_on_the_way(tenant, limit, as_json=as_json))
    else:
        asyncio.run(_list(status, tenant, lane, limit, as_json=as_json))


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


async def _list(status: str | None, tenant: str | None, lane: str | None, limit: int, *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from scripts.cli import held, show
    from scripts.cli.found import Found, to_json, with_attempts
    from shared import wiring

    settings = place.read_settings()
    async with place.reading(settings) as store:
        documents = await _newest(store, status, tenant, lane, limit, () if as_json else SHOWN)
        place.say_if_simulated(settings)
        if as_json:
            for each in await with_attempts(store, documents):
                click.echo(to_json(each.document()))
            return
        found = [Found(document.id, document.data) for document in documents]
        why = await held.read(store, found, wiring.catalogue(settings))
    if not found:
        click.echo("no such requests", err=True)
        return
    show.console().print(show.listed(found, datetime.now(UTC)), *held.lines(found, why), sep="\n")


async def _newest(
    store: Store, status: str | None, tenant: str | None, lane: str | None, limit: int, fields: tuple[str, ...]
) -> list[Document]:
    """No index knows tenants and lanes: pages are read until there are enough of these."""
    from shared.core import queries

    found: list[Document] = []
    query = replace(queries.newest(status, limit if tenant is None and lane is None else PAGE), fields=fields)
    while True:
        page = await store.query(query)
        found += [
            document
            for document in page
            if tenant in (None, document.data["tenant"]) and lane in (None, document.data["route"]["lane"])
        ]
        if len(found) >= limit or len(page) < query.limit:
            return found[:limit]
        query = replace(query, after=(page[-1].data["created_at"],))
