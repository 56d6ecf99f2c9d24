"""How long images take in a rehearsal."""

from __future__ import annotations

from random import Random

from msgspec import Struct

from scripts.simulator.provider.latency import Distribution

PICTURE = Distribution("lognormal", 18.0, 0.45)
"""A median of 18 s."""


class BoundedLatency(Struct, frozen=True):
    """Seconds from an accepted call to its image; draws beyond the bounds are put on them."""

    spread: Distribution = PICTURE
    least: float = 8.0
    most: float = 60.0

    def draw(self, chance: Random) -> float:
        return min(max(self.spread.draw(chance), self.least), self.most)


PICTURES = BoundedLatency()
