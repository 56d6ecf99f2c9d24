"""`renderlane quota`."""

from __future__ import annotations

import asyncio

import click

from scripts.cli import place


@click.command("quota")
@click.option("--json", "as_json", is_flag=True, help="One object a model, one a line.")
def command(as_json: bool) -> None:
    """Show the limits in force and what is used of them.

    For each model: where each limit comes from, how old it is, what this worker used in the last minute and today, what
    the whole project used where that is read, and until when the model is closed. Needs no running worker.
    """
    asyncio.run(_quota(as_json=as_json))


async def _quota(*, as_json: bool) -> None:
    from scripts.cli import quota_sheet, show
    from scripts.cli.found import to_json
    from scripts.cli.quota_held import read
    from shared import wiring

    settings = place.read_settings()
    models = wiring.catalogue(settings)
    configured = wiring.quota(settings, models)
    async with place.reading(settings) as store:
        seen = await read(
            store, configured, [model.id for model in models.models.values() if model.status != "retired"]
        )
    place.say_if_simulated(settings)
    if as_json:
        for model in seen.models:
            click.echo(to_json(quota_sheet.document(model, seen)))
        return
    asked = place.reads_live_quota(settings)
    show.console().print(
        *quota_sheet.lines(seen, asked=asked), quota_sheet.table(seen), *quota_sheet.closed(seen), sep="\n"
    )
