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
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Status documents, one a line.")
def command(status: str | None, tenant: str | None, limit: int, as_json: bool) -> None:
    """List requests, newest first."""
    asyncio.run(_list(status, tenant, limit, as_json=as_json))


async def _list(status: str | None, tenant: str | None, limit: int, *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from scripts.cli import held, show
    from scripts.cli.found import Found, to_json, with_attempts
    from shared import wiring

    settings = place.read_settings()
    async with place.reading(settings) as store:
        documents = await _newest(store, status, tenant, limit, () if as_json else SHOWN)
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
    store: Store, status: str | None, tenant: str | None, limit: int, fields: tuple[str, ...]
) -> list[Document]:
    """No index knows tenants: pages are read until there are enough of this one."""
    from shared.core import queries

    found: list[Document] = []
    query = replace(queries.newest(status, limit if tenant is None else PAGE), fields=fields)
    while True:
        page = await store.query(query)
        found += [document for document in page if tenant is None or document.data["tenant"] == tenant]
        if len(found) >= limit or len(page) < query.limit:
            return found[:limit]
        query = replace(query, after=(page[-1].data["created_at"],))
