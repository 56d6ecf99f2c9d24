"""The estimate of a file: what counts, and what counts once."""

from __future__ import annotations

import json

from rich.console import Console

from scripts.cli.data.run.outgoing import read_lines
from scripts.cli.views.money.cost_estimate import table
from tests.builders import a_catalogue, a_payload


def estimate(*tenants: str) -> str:
    lines = "\n".join(json.dumps(a_payload(request_id="a", tenant=tenant)) for tenant in tenants)
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table(read_lines(lines.encode(), ""), a_catalogue()))
    return capture.get()


def total(text: str) -> float:
    return float(text.partition("Estimate: $")[2].split()[0])


def test_a_repeated_request_costs_once_and_one_id_of_two_tenants_twice() -> None:
    once = estimate("web")
    repeated = estimate("web", "web")
    assert "a repetition" in repeated
    assert total(repeated) == total(once) > 0
    both = estimate("web", "shop")
    assert "a repetition" not in both
    assert abs(total(both) - 2 * total(once)) < 0.0002, "dollars are shown rounded"
