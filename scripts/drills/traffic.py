"""What an upstream app sends in a scene: how many requests, when, and what they ask for. The same each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct

PRO, NB21, LITE = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"
PRIMARY = PRO
"""The model that every failure meets."""
SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "prompts.tsv"
DUE_IN = "due_in"
"""In a mix: seconds from sending to the deadline."""

STEADY: tuple[Mapping[str, Any], ...] = ({"model": PRIMARY},)
LIVELY: tuple[Mapping[str, Any], ...] = (
    {"purpose": "final", "tenant": "web"},
    {"purpose": "final", "tenant": "shop", "priority": "interactive"},
    {"purpose": "default", "tenant": "web"},
    {"purpose": "final", "tenant": "print", "image_size": "2K", "max_cost_usd": "1.20"},
    {"purpose": "draft", "tenant": "lab", "priority": "bulk"},
    {"model": PRIMARY, "tenant": "shop", "aspect_ratio": "16:9"},
)
"""As several teams would send it: tenants, priorities, sizes and purposes; most of it is for the primary model."""


class Traffic(Struct, frozen=True):
    per_second: float
    """On average; 0 = all at once."""
    seconds: float
    """From the first request to the last; not used with `per_second` 0."""
    mix: tuple[Mapping[str, Any], ...] = STEADY
    """Fields of the requests, taken in turn."""
    at_once: int = 0
    """How many, where all come at once."""

    def arrivals(self) -> Iterator[float]:
        """Seconds from the beginning, with the gaps of independent callers."""
        if not self.per_second:
            yield from [0.0] * self.at_once
            return
        chance, at = Random(7), 0.0
        while at < self.seconds:
            yield at
            at += chance.expovariate(self.per_second)

    @property
    def count(self) -> int:
        return sum(1 for _ in self.arrivals())

    def request(self, scene: str, number: int, now: datetime) -> dict[str, Any]:
        """The message on `render-requests` that is the scene's `number`th."""
        fields = dict(self.mix[number % len(self.mix)])
        due_in = fields.pop(DUE_IN, None)
        if due_in is not None:
            fields["deadline"] = (now + timedelta(seconds=due_in)).isoformat().replace("+00:00", "Z")
        mark = fields.pop("mark", "")
        prompts = _prompts()
        return {"request_id": f"{scene}-{number:05d}", "prompt": f"{prompts[number % len(prompts)]}{mark}", **fields}


@cache
def _prompts() -> tuple[str, ...]:
    return tuple(row.split("\t")[0] for row in SAMPLES.read_text("utf-8").splitlines()[1:])
