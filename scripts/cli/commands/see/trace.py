"""`renderlane trace`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.cli.data import worker_home

if TYPE_CHECKING:
    from scripts.cli.data.see.requests import StoredRequest
    from shared.config import Settings
    from shared.core.observability.trace_tree import SpanView

CLOUD_TRACE = "https://console.cloud.google.com/traces/explorer;traceId={trace_id}?project={project}"


@click.command("trace")
@click.argument("request_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with every span.")
@click.option(
    "--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Also write the waterfall as an HTML page."
)
@click.pass_context
def command(ctx: click.Context, request_id: str, as_json: bool, page: Path | None) -> None:
    """Show where a request spent its time."""
    from scripts.cli.data.see.requests import check_name

    check_name(request_id)
    ctx.exit(asyncio.run(_trace(request_id, as_json=as_json, page=page)))


async def _trace(request_id: str, *, as_json: bool, page: Path | None) -> int:
    """The exit code: 1 if the id is unknown."""
    from scripts.cli.data.json_output import to_json
    from scripts.cli.data.see.requests import find_or_say
    from scripts.cli.views.see import request_view, trace_view

    settings = worker_home.read_settings()
    async with worker_home.reading(settings) as store:
        request = await find_or_say(store, request_id)
    if request is None:
        return 1
    spans, source = _spans(settings, request)
    trace_id = request.record.trace_id
    if as_json:
        members = {
            "request_id": request.request_id,
            "tenant": request.record.tenant,
            "trace_id": trace_id,
            "source": source,
        }
        click.echo(to_json(members | {"spans": [span.to_json() for span in spans]}))
    else:
        request_view.console().print(trace_view.sheet(request_id, trace_id, spans))
    if page is not None:
        page.write_text(trace_view.page(request_id, trace_id, spans), "utf-8")
        click.echo(f"waterfall in {page}", err=True)
    if source == "store":
        click.echo(_elsewhere(settings, trace_id), err=True)
    return 0


def _spans(settings: Settings, request: StoredRequest) -> tuple[list[SpanView], str]:
    """With their source: the `file` of this home, else what the `store` can reconstruct."""
    from shared.adapters.telemetry import span_file
    from shared.core.observability import trace_tree

    now = datetime.now(UTC)
    read = span_file.read(settings.traces, request.record.trace_id)
    spans = [trace_tree.of_otlp(span) for span in read]
    if spans:
        return trace_tree.with_root(spans, request.record, now), "file"
    return trace_tree.of_documents(request.record, request.attempts, now), "store"


def _elsewhere(settings: Settings, trace_id: str) -> str:
    if settings.one_machine:
        return f"no spans in {settings.traces}; this is what the store has"
    return f"from the store; full trace: {CLOUD_TRACE.format(trace_id=trace_id, project=settings.project)}"
