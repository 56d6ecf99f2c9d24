"""`renderlane cancel`."""

from __future__ import annotations

import asyncio

import click

from scripts.cli import place


@click.command("cancel")
@click.argument("request_id", metavar="ID")
def command(request_id: str) -> None:
    """End a request that has not begun. One that has begun ends as it ends."""
    asyncio.run(_cancel(request_id))


async def _cancel(request_id: str) -> None:
    import json

    from scripts.cli.messages import Line, complaints, send

    line = Line.of(json.dumps({"cancel": request_id}).encode())
    wrong = complaints([line])
    if wrong:
        raise click.BadParameter("\n".join(wrong))
    settings = place.read_settings()
    async with place.publishing(settings) as topics:
        await send(topics, [line])
    place.warn_unless_running(settings)
    click.echo(f"asked to cancel {request_id}; see `renderlane status {request_id}`")
