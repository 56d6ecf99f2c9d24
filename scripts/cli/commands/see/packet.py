"""`renderlane packet`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from scripts.cli.data import worker_home
from scripts.cli.data.steer import audit

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command("packet")
@click.argument("request_id", metavar="ID")
@click.option("--attempt", "number", type=click.IntRange(1), help="Attempt number. Default: the last failed one.")
@click.option("--with-prompt", is_flag=True, help="Include the prompt; check it before you share it.")
@click.option("--json", "as_json", is_flag=True, help="Output one JSON object.")
@click.pass_context
def command(ctx: click.Context, request_id: str, number: int | None, with_prompt: bool, as_json: bool) -> None:
    """Show a minimal reproduction of an attempt for provider support.

    Contains what the provider's support asks for and the curl command that repeats the call. Never contains the key.
    Exit code 3 while there is no attempt yet.
    """
    from scripts.cli.data.see.requests import check_name

    check_name(request_id)
    ctx.exit(asyncio.run(_packet(request_id, number, with_prompt=with_prompt, as_json=as_json)))


async def _packet(request_id: str, number: int | None, *, with_prompt: bool, as_json: bool) -> int:
    """The exit code: 1 if there is no such request or attempt, 3 if it has not been attempted yet."""
    from scripts.cli.data.json_output import to_json
    from scripts.cli.data.see.requests import find_or_say
    from scripts.cli.main import NOT_YET
    from scripts.cli.views.see import request_view
    from shared import wiring
    from shared.core.observability import repro_packet
    from shared.core.values.status import FINAL
    from shared.flows.operations.repro_packet import Repeating, made

    settings = worker_home.read_settings()
    async with worker_home.reading(settings) as store:
        request = await find_or_say(store, request_id)
    if request is None:
        return 1
    attempt = repro_packet.chosen(request.attempts, number)
    if attempt is None:
        which = f"no attempt {number}; it has {len(request.attempts)}" if number else "no attempt yet"
        click.echo(f"{request_id}: {which}. See `renderlane status {request_id}`.", err=True)
        return 1 if number or request.status in FINAL else NOT_YET
    catalogue = wiring.catalogue(settings)
    how = Repeating(settings.project, settings.base_url, wiring.body_of)
    found_out = made(request.key, request.record, attempt, catalogue, how, with_prompt=with_prompt)
    if with_prompt:
        trace_id = request.record.trace_id
        audit.note(settings, "show-prompt", request_id=request.key, trace_id=trace_id, detail="packet")
    worker_home.say_if_simulated(settings)
    if as_json:
        click.echo(to_json(found_out))
    else:
        request_view.console().print(_sheet(found_out))
        click.echo(found_out["curl"] or "\nno curl command: only calls to the Gemini API can be repeated with curl")
    return 0


def _sheet(made: dict[str, Any]) -> RenderableType:
    """One line per item, in the order in which support asks."""
    from rich.table import Table

    from scripts.cli.views.see import request_view

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    outcome, bill = made["outcome"], made["billing"]
    usage = ", ".join(f"{name} {count}" for name, count in (bill["usage"] or {}).items() if count)
    lines = {
        "request": f"{made['request_id']}, attempt {made['attempt']}",
        "model": made["model"] + (f", served by {made['model_served']}" if made["model_served"] else ""),
        "route": f"{made['route']['lane']}, {made['image_size']}, {made['aspect_ratio'] or 'own aspect ratio'}",
        "flags": ", ".join(made["flags"]) or "none",
        "contract": f"{made['contract']}, operated by {made['operating_owner']}",
        "project": made["project"],
        "key": made["key_kind"],
        "prompt": made["prompt"] or f"{made['prompt_characters']} characters (--with-prompt shows them)",
        **({"instruction": _instruction(made)} if made["system_instruction_characters"] else {}),
        **({"parameters": parameters} if (parameters := _parameters(made)) else {}),
        "references": str(made["references"]) + (", left out of the curl line" if made["references"] else ""),
        "status": f"{made['http_status'] or 'no HTTP status'}, "
        + (f"{outcome['code']}: {outcome['message']}" if outcome else "in flight"),
        "provider id": made["provider_request_id"] or "none",
        **({"image at": made["image_address"]} if made["image_address"] else {}),
        "trace": made["trace_id"],
        "times": f"{request_view.moment(made['started_at'])}"
        + (f", {made['latency_ms'] / 1000:.2f} s" if made["latency_ms"] is not None else ""),
        "billing": f"{request_view.dollars(bill['cost_micros'])} ({bill['cost_basis'] or 'unknown so far'}), "
        f"estimated {request_view.dollars(bill['estimate_micros'])}"
        + (f"; {usage}" if usage else "; no usage reported"),
        "price": f"{bill['price_source']}, checked {bill['price_checked']}" if bill["price_source"] else "none known",
    }
    for name, line in lines.items():
        grid.add_row(name, line)
    return grid


def _instruction(made: dict[str, Any]) -> str:
    count = made["system_instruction_characters"]
    return made["system_instruction"] or f"{count} characters (--with-prompt shows them)"


def _parameters(made: dict[str, Any]) -> str:
    """The other requested parameters, if any."""
    given = {name: made[name] for name in ("grounding", "thinking", "output_format") if made[name]}
    given |= {f"safety.{category}": threshold for category, threshold in made["safety"].items()}
    return ", ".join(f"{name} {str(value).lower()}" for name, value in given.items())
