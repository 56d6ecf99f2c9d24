"""One builder for each value of a plan."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from random import Random
from typing import Any

from scripts.cli.data.run.outgoing import read_lines
from scripts.planner import limits as quota
from scripts.planner.forecast import ForecastBasis
from scripts.planner.latency import Latencies, parse
from scripts.planner.load import PlannedLoad, of_lines
from scripts.planner.synthetic_load import RequestKind, load
from tests.builders import a_catalogue, a_payload

START = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
"""One in the morning in Los Angeles."""
PRO, BANANA, LITE = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"


def a_load(count: int = 60, kind: RequestKind | None = None, *, tokens: int = 200) -> PlannedLoad:
    """So many normal requests at once."""
    times = [0.0] * count
    return load("a load", times, {"normal": 1.0}, {kind or RequestKind(): 1.0}, a_catalogue(), Random(1), tokens=tokens)


def a_file(*requests: dict[str, Any]) -> PlannedLoad:
    lines = [
        json.dumps(a_payload(**({"request_id": f"r-{number}"} | request))) for number, request in enumerate(requests)
    ]
    return of_lines(read_lines("\n".join(lines).encode(), ""), "load.jsonl", a_catalogue(), START)


def a_stage(
    limits: str = "*=rpm:20", *, capacity: int = 200, latency: str = "fixed:10", seed: int = 1
) -> ForecastBasis:
    catalogue = a_catalogue()
    limits_ = quota.merged([PRO, BANANA, LITE], quota.given(limits, catalogue), {})
    latencies: Latencies = parse(latency, catalogue)
    return ForecastBasis(START, limits_, capacity, latencies, seed)
