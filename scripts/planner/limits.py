"""The limits that a plan reckons with, each with where it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from scripts.planner.errors import InvalidLoad
from shared.core.catalogue.catalogue import Catalogue
from shared.core.limits import effective
from shared.core.limits.effective import DIMENSIONS, EffectiveLimit
from shared.core.limits.quota import InvalidQuota, Limits, Quota

Source: TypeAlias = Literal["--limits", "live", "learned", "configured"]
WORDS = {"spend10m_micros": "spend10m_usd"}
"""Where texts have another word than the core."""
RATES = ("rpm", "ipm", "tpm")


class KnownLimit(Struct, frozen=True):
    value: int | None
    """None = the source says that there is no such limit."""
    source: Source
    at: datetime | None
    """When it was read or learned."""


HeldByModel: TypeAlias = Mapping[str, Mapping[str, KnownLimit]]
"""By model and dimension; a dimension that is not there is unknown."""


def given(text: str | None, catalogue: Catalogue) -> Quota:
    """What --limits says. Raises InvalidLoad."""
    try:
        return Quota.parse(text or "").for_models(catalogue.ids_by_name)
    except InvalidQuota as error:
        raise InvalidLoad(f"--limits: {error}") from error


def merged(
    models: Sequence[str], option_limits: Quota, effective: Mapping[str, Mapping[str, EffectiveLimit]]
) -> HeldByModel:
    """--limits, dimension by dimension, over what is in force."""
    return {model: _of(option_limits.limits(model), effective.get(model, {})) for model in models}


def _of(option_limits: Limits, effective: Mapping[str, EffectiveLimit]) -> Mapping[str, KnownLimit]:
    limits: dict[str, KnownLimit] = {}
    for dimension in DIMENSIONS:
        value = getattr(option_limits, dimension)
        if value is not None:
            limits[dimension] = KnownLimit(value, "--limits", None)
        elif dimension in effective:
            limit = effective[dimension]
            limits[dimension] = KnownLimit(limit.value, limit.source, limit.at)
    return limits


def configured(models: Iterable[str], quota: Quota) -> Mapping[str, Mapping[str, EffectiveLimit]]:
    """Where there is no store to read."""
    return {model: effective.effective_limits(quota.limits(model), None, {}) for model in models}


def numbers(of: Mapping[str, KnownLimit]) -> Limits:
    """Unlimited and unknown are both None."""
    return Limits(**{dimension: limit.value for dimension, limit in of.items()})


def refuse_zero(held_by_model: HeldByModel) -> None:
    """A limit of zero never lets anything begin. Raises InvalidLoad."""
    for model, dimensions in held_by_model.items():
        for dimension, limit in dimensions.items():
            if limit.value == 0:
                word = WORDS.get(dimension, dimension)
                raise InvalidLoad(
                    f"{word} of {model}: found 0 ({limit.source}); allowed: above 0, as nothing would ever begin. "
                    f"Raise the quota, leave the model out, or plan with --limits '{model}={word}:60'."
                )
