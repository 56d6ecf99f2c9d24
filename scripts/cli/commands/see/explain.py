"""`renderlane explain`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.cli.data import worker_home

if TYPE_CHECKING:
    from scripts.cli.data.run.outgoing import OutgoingMessage
    from scripts.cli.data.see.explanation import Explained
    from shared.config import Settings
    from shared.core.catalogue.catalogue import Catalogue
    from shared.flows.operations.routing_snapshot import RoutingSnapshot


@click.command("explain")
@click.argument("what", metavar="FILE|ID|-")
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, one object per request.")
@click.pass_context
def command(ctx: click.Context, what: str, as_json: bool) -> None:
    """Show which routes were considered, rejected or chosen, and why.

    FILE holds one request as JSON, or JSON Lines (- is standard input); ID names a submitted request. Flags, breakers
    and closed models are read from the store as they are now. Makes no call and changes nothing.
    """
    ctx.exit(asyncio.run(_explain(what, as_json=as_json)))


async def _explain(what: str, *, as_json: bool) -> int:
    """The exit code: 1 if a request is unknown or would be rejected."""
    from scripts.cli.data.json_output import to_json
    from scripts.cli.views.see import ladder_table, request_view
    from shared import wiring

    settings = worker_home.read_settings()
    catalogue = wiring.catalogue(settings)
    if what == "-" or what.endswith((".json", ".jsonl")) or Path(what).is_file():
        snapshot, explanations = await _of_lines(_lines(what), settings, catalogue)
    else:
        snapshot, explanations = await _of_id(what, settings, catalogue)
    if as_json:
        for explanation in explanations:
            click.echo(to_json(ladder_table.document(explanation)))
    else:
        console = request_view.console()
        for number, explanation in enumerate(explanations):
            console.print(*([""] if number else []), *ladder_table.sheet(explanation), sep="\n")
        if snapshot is None:
            click.echo("note: no worker has ever run here, so no flags are known", err=True)
    return 1 if any(explanation.problems for explanation in explanations) else 0


def _lines(what: str) -> list[OutgoingMessage]:
    """One message that fills the whole file, else one per line."""
    from scripts.cli.data.run.outgoing import OutgoingMessage, read_lines

    try:
        content = sys.stdin.buffer.read() if what == "-" else Path(what).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{what} cannot be read ({error.strerror})") from error
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        lines = read_lines(content, "")
    else:
        lines = [OutgoingMessage.of(content)]
    if not lines:
        raise click.UsageError(f"{'standard input' if what == '-' else what} has no lines")
    return lines


async def _of_lines(
    lines: Sequence[OutgoingMessage], settings: Settings, catalogue: Catalogue
) -> tuple[RoutingSnapshot | None, list[Explained]]:
    """What is known, or None if there is no store yet."""
    from datetime import UTC, datetime

    from scripts.cli.data.see import explanation, routing
    from shared import wiring
    from shared.config import SqliteSettings
    from shared.flows.operations import routing_snapshot as in_store

    references = wiring.references(settings)
    if isinstance(settings.store, SqliteSettings) and not settings.store.path.exists():
        nothing = in_store.RoutingSnapshot(datetime.now(UTC))
        return None, [explanation.of_line(line, nothing, catalogue, references) for line in lines]
    async with worker_home.reading(settings) as store:
        snapshot = await routing.read(store, settings, catalogue)
        above = await explanation.failed_models(store, lines)
    return snapshot, [explanation.of_line(line, snapshot, catalogue, references, above) for line in lines]


async def _of_id(request_id: str, settings: Settings, catalogue: Catalogue) -> tuple[RoutingSnapshot, list[Explained]]:
    from scripts.cli.data.see import explanation, routing
    from scripts.cli.data.see.requests import resolve
    from shared.core.messages.request_key import KEY_WORDS, is_key
    from shared.core.records.versioned import request_in
    from shared.core.values.documents import Document

    if not is_key(request_id):
        raise click.UsageError(f"{request_id!r} is neither a file here nor a request id; allowed as an id: {KEY_WORDS}")
    async with worker_home.reading(settings) as store:
        document = await resolve(store, request_id)
        if not isinstance(document, Document):
            hint = "See `renderlane list`; or give a file of requests, whose name ends in .json or .jsonl."
            raise click.ClickException(f"{request_id}: no such request, and no such file. {hint}")
        snapshot = await routing.read(store, settings, catalogue)
    return snapshot, [explanation.of_document(document.id, request_in(document).record, snapshot, catalogue)]
