"""The rolling ten-minute spend window of the project: what was granted counts with its estimate until it leaves the
window.

Exceeding it is answered with a 429 ($10, $50, $200 for tiers 1, 2, 3: Gemini rate-limit documentation, third parties).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Self

from msgspec import field

from shared.core.limits.quota import Limits
from shared.core.values.codec import Stored
from shared.core.values.documents import Fields

BUCKET = timedelta(seconds=5)
WINDOW_BUCKETS = 121
"""605 s: ten minutes, and the bucket they may begin in."""


class Spend(Stored, frozen=True):
    """Values only; every change gives a new window."""

    buckets: Mapping[int, int] = field(default_factory=dict)
    """Micro-dollars granted in each bucket, by its number since the epoch."""

    def used(self, now: datetime) -> int:
        return self._ending(_bucket_of(now))

    def _ending(self, end: int) -> int:
        """What the window that ends with bucket `end` holds."""
        return sum(micros for number, micros in self.buckets.items() if end - WINDOW_BUCKETS < number <= end)

    def hold(self, micros: int, limit: int | None, slot_at: datetime) -> Spend | None:
        """With `micros` more in the window that ends at the slot; None if that would exceed the limit. A request dearer
        than the whole window takes all of it: otherwise it would never start."""
        if limit is None:
            return self
        if limit == 0:
            return None
        micros = min(micros, limit)
        number = _bucket_of(slot_at)
        if any(self._ending(end) + micros > limit for end in range(number, max([number, *self.buckets]) + 1)):
            return None
        oldest = number - 2 * WINDOW_BUCKETS
        kept = {item: amount for item, amount in self.buckets.items() if item > oldest}
        return Spend({**kept, number: kept.get(number, 0) + micros})

    def plus(self, micros: int, slot_at: datetime) -> Spend:
        """With what was reserved."""
        number = _bucket_of(slot_at)
        return Spend({**self.buckets, number: self.buckets.get(number, 0) + micros})

    def to_json(self) -> dict[str, Any]:
        """The buckets alone."""
        buckets: dict[str, Any] = super().to_json()["buckets"]
        return buckets

    @classmethod
    def from_json(cls, data: Fields) -> Self:
        return super().from_json({"buckets": data})


NOTHING_SPENT = Spend()


def spend_limit(limits: Iterable[Limits]) -> int | None:
    """The project's window: the smallest that any model's limits name."""
    named = [limit.spend10m_micros for limit in limits if limit.spend10m_micros is not None]
    return min(named, default=None)


def _bucket_of(at: datetime) -> int:
    return math.floor(at.timestamp() / BUCKET.total_seconds())
