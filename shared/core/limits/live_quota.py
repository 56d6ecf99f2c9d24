"""The provider's own statement of its limits: the document `quota/live` as a value, and what follows from a reading.
Only `watch` writes the document; the pump and the command line read it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.values.codec import Stored
from shared.core.values.documents import Fields

PATH = "quota/live"
READABLE = ("rpm", "ipm", "tpm", "rpd")
"""The dimensions that a provider can be asked for."""
UNLIMITED = -1
"""In documents: the provider sets no such limit."""

UsageByModel: TypeAlias = Mapping[str, Mapping[str, int]]
"""By model and dimension: what the whole project used, including other callers. Per-minute values: the newest known."""


class LiveLimits(Struct, frozen=True):
    """One model's limits, as read."""

    dims: Mapping[str, int | None]
    """By dimension; None = unlimited, missing = the reading does not say."""
    read_at: datetime

    def value(self, dimension: str) -> int | None:
        """The number, UNLIMITED, or None where the reading does not say."""
        if dimension not in self.dims:
            return None
        value = self.dims[dimension]
        return UNLIMITED if value is None else value

    def to_json(self) -> dict[str, Any]:
        return {"dims": {name: self.value(name) for name in self.dims}, "read_at": self.read_at}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LiveLimits:
        dims = {name: None if value == UNLIMITED else value for name, value in data["dims"].items()}
        return cls(dims, data["read_at"])


class QuotaProblem(Stored, frozen=True):
    """Why the last reading failed."""

    code: str
    """`denied`, `disabled`, `unreachable`, `no credentials`, `refused`, `empty` or `broken`."""
    message: str
    remedy: str
    since: datetime
    """When this problem first occurred; the readings before it succeeded, or failed for another reason."""


class LiveQuota(Stored, frozen=True):
    """The last good readings, and how the last try went."""

    tried_at: datetime
    by_model: Mapping[str, LiveLimits] = field(default_factory=dict)
    """By model id; unchanged while readings fail."""
    read_at: datetime | None = None
    """The last reading that succeeded; None = none ever did."""
    problem: QuotaProblem | None = None
    usage: UsageByModel | None = None
    """None = never read, or not asked for."""
    usage_read_at: datetime | None = None
    usage_problem: QuotaProblem | None = None

    def with_limits(self, by_model: Mapping[str, LiveLimits], now: datetime) -> LiveQuota:
        """A good reading replaces the previous one completely: a limit that is gone is gone."""
        return replace(self, by_model=by_model, read_at=now, tried_at=now, problem=None)

    def without_limits(self, code: str, message: str, remedy: str, now: datetime) -> LiveQuota:
        """A failed reading keeps the last good values; a repeated problem keeps the moment at which it began."""
        return replace(self, tried_at=now, problem=_met(self.problem, code, message, remedy, now))

    def with_usage(self, usage: UsageByModel | None, now: datetime) -> LiveQuota:
        return replace(self, usage=usage, usage_read_at=None if usage is None else now, usage_problem=None)

    def without_usage(self, code: str, message: str, remedy: str, now: datetime) -> LiveQuota:
        return replace(self, usage_problem=_met(self.usage_problem, code, message, remedy, now))

    def to_json(self) -> dict[str, Any]:
        """Only the limits: an unlimited dimension is stored as UNLIMITED."""
        return super().to_json() | {"by_model": {model: limits.to_json() for model, limits in self.by_model.items()}}

    @classmethod
    def from_json(cls, data: Fields) -> Self:
        by_model = {model: LiveLimits.from_json(limits) for model, limits in data["by_model"].items()}
        return replace(super().from_json(data), by_model=by_model)


class Change(Struct, frozen=True):
    """A limit that differs from the previous reading."""

    model: str
    dimension: str
    old: int | None
    """As `LiveLimits.value`."""
    new: int | None


def changes(before: LiveQuota, after: LiveQuota) -> list[Change]:
    """What a reading changed. The first one changes nothing, because there is nothing to compare with."""
    if before.read_at is None:
        return []
    changed = []
    for model in sorted({*before.by_model, *after.by_model}):
        for dimension in READABLE:
            old, new = (_value_of(quota, model, dimension) for quota in (before, after))
            if old != new:
                changed.append(Change(model, dimension, old, new))
    return changed


def _value_of(quota: LiveQuota, model: str, dimension: str) -> int | None:
    limits = quota.by_model.get(model)
    return limits.value(dimension) if limits else None


def _met(before: QuotaProblem | None, code: str, message: str, remedy: str, now: datetime) -> QuotaProblem:
    since = before.since if before is not None and before.code == code else now
    return QuotaProblem(code, message, remedy, since)
