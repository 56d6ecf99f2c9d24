"""Which limits hold for one model: the provider's live limits, those named by a rejection, or the configured ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from shared.core.limits.live_quota import UNLIMITED, LiveLimits
from shared.core.limits.quota import Limits
from shared.core.values.codec import Stored

DIMENSIONS = ("rpm", "ipm", "tpm", "rpd", "concurrency", "spend10m_micros")
"""The fields of `Limits`."""

Source: TypeAlias = Literal["live", "learned", "configured"]


class EffectiveLimit(Struct, frozen=True):
    """One limit, and where it comes from."""

    value: int | None
    """None = the source says that there is no such limit."""
    source: Source
    at: datetime | None
    """When it was read or learned; None for a configured one."""


class Learned(Stored, frozen=True):
    """A limit that the body of a 429 named."""

    value: int
    at: datetime
    live: int | None
    """What the live reading said at that time, as `LiveLimits.value`: UNLIMITED, a number, None = nothing."""
    configured: int | None = None
    """What was configured at that time."""


def effective_limits(
    configured: Limits, live: LiveLimits | None, learned: Mapping[str, Learned]
) -> Mapping[str, EffectiveLimit]:
    """The limits of one model by dimension; dimensions that no source mentions are omitted.

    What a 429 named is newer than any reading, so it holds over the live value until that changes. The live value holds
    over the configured one however old it is. Without a live value, the smaller of the learned and the configured one
    holds, until another one is configured: an operator may give this worker a part of the quota.
    """
    by_dimension = {
        dimension: _one(getattr(configured, dimension), live, learned.get(dimension), dimension)
        for dimension in DIMENSIONS
    }
    return {dimension: limit for dimension, limit in by_dimension.items() if limit is not None}


def limits(by_dimension: Mapping[str, EffectiveLimit]) -> Limits:
    """The numbers alone; unlimited and unknown are both None."""
    return Limits(**{dimension: limit.value for dimension, limit in by_dimension.items()})


def _one(
    configured: int | None, live: LiveLimits | None, learned: Learned | None, dimension: str
) -> EffectiveLimit | None:
    count = None if live is None else live.value(dimension)
    if live is not None and count is not None:
        if learned is not None and learned.live == count:
            return EffectiveLimit(learned.value, "learned", learned.at)
        return EffectiveLimit(None if count == UNLIMITED else count, "live", live.read_at)
    news = learned is not None and learned.live is None and learned.configured != configured
    if learned is not None and not news and (configured is None or learned.value < configured):
        return EffectiveLimit(learned.value, "learned", learned.at)
    return None if configured is None else EffectiveLimit(configured, "configured", None)
