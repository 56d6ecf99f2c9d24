"""Limits per model, written as in RENDERLANE_QUOTA: `MODEL=dim:n,dim:n;MODEL=...`, `*` for the models not named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation


class InvalidLimits(ValueError):
    """Limits are written MODEL=dim:n,dim:n;MODEL=..."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What one model may do in a project; None is unlimited."""

    rpm: int | None = None
    """Requests in a minute."""
    ipm: int | None = None
    """Images in a minute."""
    tpm: int | None = None
    """Input tokens in a minute."""
    rpd: int | None = None
    """Requests in a day that ends at midnight Pacific."""
    concurrency: int | None = None
    """Requests in flight."""
    spend10m_micros: int | None = None
    """Micro-dollars in a rolling 10 minutes; written in dollars as `spend10m_usd`."""


@dataclass(frozen=True, slots=True)
class Limits:
    by_model: Mapping[str, ModelLimits] = field(default_factory=dict)
    others: ModelLimits = ModelLimits()

    def of(self, model_id: str) -> ModelLimits:
        """A model's own row replaces `*` as a whole; the two are not merged."""
        return self.by_model.get(model_id, self.others)


_SPEND = "spend10m_usd"
_DIMENSIONS = tuple(_SPEND if f.name == "spend10m_micros" else f.name for f in fields(ModelLimits))


def parse(text: str) -> Limits:
    by_model: dict[str, ModelLimits] = {}
    for row in filter(None, (part.strip() for part in text.split(";"))):
        model, equals, dimensions = row.partition("=")
        if not equals or not model.strip():
            raise InvalidLimits(f"{row!r} has no model; write MODEL=dim:n,dim:n or *=dim:n")
        by_model[model.strip()] = _model_limits(dimensions)
    others = by_model.pop("*", ModelLimits())
    return Limits(by_model=by_model, others=others)


def _model_limits(text: str) -> ModelLimits:
    found: dict[str, int] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, colon, number = (part.strip() for part in pair.partition(":"))
        if not colon or name not in _DIMENSIONS:
            raise InvalidLimits(f"{pair!r} is no limit; allowed: {', '.join(f'{d}:n' for d in _DIMENSIONS)}")
        if name == _SPEND:
            found["spend10m_micros"] = _micros(number)
        elif number.isascii() and number.isdigit():
            found[name] = int(number)
        else:
            raise InvalidLimits(f"{pair!r}: found {number!r}, allowed is a whole number")
    return ModelLimits(**found)


def _micros(usd: str) -> int:
    try:
        micros = Decimal(usd) * 1_000_000
    except InvalidOperation as cause:
        raise InvalidLimits(f"{_SPEND}:{usd}: found {usd!r}, allowed is an amount in dollars") from cause
    if not micros.is_finite() or micros < 0 or micros != micros.to_integral_value():
        raise InvalidLimits(f"{_SPEND}:{usd}: found {usd!r}, allowed is an amount in dollars, at most six decimals")
    return int(micros)
