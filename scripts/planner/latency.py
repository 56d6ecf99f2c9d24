"""How long images are assumed to take, unless the user gives other times."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct

from scripts.planner.errors import InvalidLoad, wrong
from scripts.simulator.provider import latency as written
from scripts.simulator.provider.latency import Distribution, InvalidLatency
from scripts.virtual_time.models.latency import BoundedLatency
from shared.core.catalogue.catalogue import Catalogue

MEDIANS: Mapping[str, Mapping[str, float]] = {
    "gemini-3-pro-image": {"1K": 20.0, "2K": 25.0, "4K": 40.0},
    "gemini-3.1-flash-lite-image": {"1K": 10.0},
    "*": {"512": 12.0, "1K": 15.0, "2K": 20.0, "4K": 30.0},
}
"""Seconds by model and size: assumptions of 2026-11-22 within the 8 to 60 s that calls take, not measurements."""
SPREAD = 0.35
LEAST, MOST = 8.0, 60.0
"""Seconds: the range of calls that admission was designed for."""


class Latencies(Struct, frozen=True):
    given: Mapping[str, BoundedLatency]
    """By model id; `*` is for all others."""
    about: str

    def of(self, model: str, size: str) -> BoundedLatency:
        latency = self.given.get(model) or self.given.get("*")
        if latency is not None:
            return latency
        medians = MEDIANS.get(model, MEDIANS["*"])
        median = medians.get(size, MEDIANS["*"].get(size, MOST))
        return BoundedLatency(Distribution("lognormal", median, SPREAD), LEAST, MOST)


ASSUMED = Latencies({}, "assumed per model and size, within 8-60 s (--latency says otherwise)")


def parse(text: str, catalogue: Catalogue) -> Latencies:
    """`lognormal:18,0.4` for all, or `MODEL=fixed:12;*=…`: models that are not named keep the assumption."""
    try:
        latency = written.parse(text)
    except InvalidLatency as error:
        raise InvalidLoad(f"--latency: {error}") from error
    given: dict[str, Distribution] = {}
    for name, spread in latency.by_model.items():
        if name not in catalogue.names:
            raise wrong("--latency", name, f"* and {', '.join(catalogue.names)}")
        given[catalogue.live(name).id] = spread
    if "=" not in text or "*" in text:
        given["*"] = latency.others
    return Latencies({name: BoundedLatency(spread, 0.0, math.inf) for name, spread in given.items()}, text)
