"""How long a picture takes: `fixed:1.0`, `uniform:a,b` or `lognormal:MEDIAN,SIGMA` in seconds, for all or per model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Literal

from msgspec import Struct, field

_ARGUMENTS = {"fixed": 1, "uniform": 2, "lognormal": 2}


class InvalidLatency(ValueError):
    """Latency is written fixed:S, uniform:A,B or lognormal:MEDIAN,SIGMA, or MODEL=...;*=..."""


class Distribution(Struct, frozen=True):
    kind: Literal["fixed", "uniform", "lognormal"]
    first: float
    second: float = 0.0

    def draw(self, chance: Random) -> float:
        """Seconds."""
        match self.kind:
            case "fixed":
                return self.first
            case "uniform":
                return chance.uniform(self.first, self.second)
            case "lognormal":
                return chance.lognormvariate(math.log(self.first), self.second)


class Latency(Struct, frozen=True):
    by_model: Mapping[str, Distribution] = field(default_factory=dict)
    others: Distribution = Distribution("fixed", 0.0)

    def draw(self, model_id: str, chance: Random) -> float:
        return self.by_model.get(model_id, self.others).draw(chance)


def parse(text: str) -> Latency:
    if "=" not in text:
        return Latency(others=_distribution(text))
    by_model = {}
    for row in filter(None, (part.strip() for part in text.split(";"))):
        model, equals, written = row.partition("=")
        if not equals or not model.strip():
            raise InvalidLatency(f"{row!r} has no model; write MODEL=fixed:1;*=fixed:2")
        by_model[model.strip()] = _distribution(written)
    others = by_model.pop("*", Distribution("fixed", 0.0))
    return Latency(by_model=by_model, others=others)


def _distribution(text: str) -> Distribution:
    kind, _, arguments = text.strip().partition(":")
    try:
        numbers = [float(part) for part in arguments.split(",")]
    except ValueError as cause:
        raise InvalidLatency(f"{text!r}: found {arguments!r}, allowed are seconds") from cause
    if _ARGUMENTS.get(kind) != len(numbers) or not all(0 <= number < math.inf for number in numbers):
        raise InvalidLatency(f"{text!r}: allowed are fixed:S, uniform:A,B and lognormal:MEDIAN,SIGMA in seconds")
    match kind:
        case "fixed":
            return Distribution("fixed", numbers[0])
        case "uniform" if numbers[0] <= numbers[1]:
            return Distribution("uniform", numbers[0], numbers[1])
        case "lognormal" if numbers[0] > 0:
            return Distribution("lognormal", numbers[0], numbers[1])
        case _:
            raise InvalidLatency(f"{text!r}: uniform needs A <= B, lognormal a median above 0")
