"""What requests would cost at most, before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scripts.cli.data.run.outgoing import OutgoingMessage
from scripts.cli.views.see.request_view import dollars
from shared.core.catalogue.catalogue import Catalogue
from shared.core.messages.render_request import Cancel, InvalidRequest, RenderRequest
from shared.core.messages.request_key import key_of
from shared.core.routing.ladder import Planned, Unroutable, first_plan
from shared.core.routing.requirements import Requirements
from shared.core.values.lanes import ASKABLE

ASSUMED_LANES = ASKABLE
"""A lane that is not configured after all rejects its request: the estimate errs on the safe side."""


def table(lines: Sequence[OutgoingMessage], catalogue: Catalogue, *, cut: str = "") -> RenderableType:
    """One row a request and the total, each for one attempt; a repeated request costs once."""
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    rows.add_column("request", overflow="fold")
    rows.add_column("route", overflow="fold")
    rows.add_column("estimate", justify="right", no_wrap=True)
    total = 0
    keys: set[str] = set()
    for line in lines:
        name = (line.request_id or f"line {line.number}").removeprefix(cut)
        match line.meaning:
            case Cancel():
                continue
            case InvalidRequest():
                rows.add_row(name, "will be rejected", dollars(0))
            case RenderRequest() as request if key_of(request.tenant, request.request_id) in keys:
                rows.add_row(name, "a repetition", dollars(0))
            case RenderRequest() as request:
                keys.add(key_of(request.tenant, request.request_id))
                match first_plan(Requirements.of(request), catalogue, ASSUMED_LANES):
                    case Planned(route=route, estimate_micros=micros):
                        total += micros
                        rows.add_row(name, str(route), dollars(micros))
                    case Unroutable():
                        rows.add_row(name, "will be rejected", dollars(0))
    note = "Estimate: one attempt each, including thinking and searches; a repeated attempt may cost again."
    return Group(rows, Text(f"Estimate: {dollars(total)} in all", "bold"), Text(note, "dim"))
