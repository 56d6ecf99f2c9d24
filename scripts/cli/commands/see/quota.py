"""`renderlane quota`."""

from __future__ import annotations

import asyncio

import click

from scripts.cli.data import worker_home


@click.command("quota")
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, one object per model.")
def command(as_json: bool) -> None:
    """Show current limits and usage.

    For each model: the source and age of each limit, what this worker used in the last minute and today, what the
    project used (if known), and until when the model is closed. Configured limits are those of the last worker,
    not this shell's RENDERLANE_QUOTA. Does not need a running worker.
    """
    asyncio.run(_quota(as_json=as_json))


async def _quota(*, as_json: bool) -> None:
    from scripts.cli.data import worker_settings
    from scripts.cli.data.json_output import to_json
    from scripts.cli.data.see.quota_state import read
    from scripts.cli.views.see import quota_table, request_view
    from shared import wiring
    from shared.core.accounting import account_cap
    from shared.core.values.lanes import VERTEX
    from shared.core.values.route import pool

    settings = worker_home.read_settings()
    models = wiring.catalogue(settings)
    async with worker_home.reading(settings) as store:
        called = [model for model in models.models.values() if model.status != "retired"]
        apart = [pool(VERTEX, model.id) for model in called if VERTEX in model.lanes]
        configured = (await worker_settings.read(store, settings, models)).limits
        reading = await read(store, configured, [*(model.id for model in called), *apart])
    account = account_cap.of_worker(wiring.account(settings, models), reading.spend, models.account)
    worker_home.say_if_simulated(settings)
    if as_json:
        for model in reading.models:
            click.echo(to_json(quota_table.document(model, reading, account)))
        return
    reads_live = worker_home.reads_live_quota(settings)
    request_view.console().print(
        *quota_table.lines(reading, reads_live=reads_live),
        *quota_table.of_account(account, reading),
        quota_table.table(reading),
        *quota_table.closed(reading),
        *quota_table.background(reading),
        sep="\n",
    )
