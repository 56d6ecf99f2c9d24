"""The ledger: what one settlement adds to it, split so that a bill can be explained without reading requests.

One document per day, tenant, model, lane, set of flags and shard, incremented in the commit that closes the attempt:
exactly once. Amounts are flat whole numbers. At most SHARDS documents exist for one such combination and day.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Self, TypeAlias

from msgspec import Struct, field

from shared.core.accounting import traffic
from shared.core.accounting.traffic import Timing
from shared.core.catalogue.price import Cost
from shared.core.provider.failure import FailureKind
from shared.core.values.codec import Stored
from shared.core.values.documents import Fields, Increment
from shared.core.values.lanes import GATEWAY as GATEWAY  # its prices are a provider's: never summed up with Google's

SHARDS = 64
"""One document takes about one write a second: enough for 2,000 renders a minute of one combination."""

Why: TypeAlias = Literal["first", "retry", "refused", "no_image", "duplicate"]
"""What an attempt was paid for: a first attempt, a later one, a refusal, an answer without a usable image, an image of
a request that had its image or its end already."""
WHYS: tuple[Why, ...] = ("first", "retry", "refused", "no_image", "duplicate")
Repeat: TypeAlias = Literal["free", "once", "again"]
"""What a retry of known cost turned out to be: free, as when a limit rejected it; the only money that its request cost;
or money on top of what an earlier attempt cost or may have cost."""
REPEATS: tuple[Repeat, ...] = ("free", "once", "again")
PARTS = ("input", "text", "thinking", "image", "grounding", "call")
"""What was charged for; `call` is a provider's price of one call."""
SAVED = ("lane", "model", "size", "served")
"""By how much a delivered image was cheaper (negative: dearer) than the requested one: because of another lane, model
or size, or because the provider served something other than was ordered."""

COUNTS = (
    "attempts",
    "images",
    "searches",
    "unknown_attempts",
    "mismatches",
    *(f"attempts_{why}" for why in WHYS),
    "attempts_free",
    *(f"attempts_retry_{repeat}" for repeat in REPEATS),
)
"""`attempts_free` cost nothing, by the provider's terms. `attempts_retry` and `micros_retry` split only retries of
known cost that this release or a newer one booked."""
MONEY = (
    "cost_micros",
    "listed_micros",
    "unknown_most_micros",
    "unknown_held_micros",
    *(f"micros_{why}" for why in WHYS),
    "micros_retry_once",
    "micros_retry_again",
    *(f"micros_{part}" for part in PARTS),
    *(f"saved_{what}_micros" for what in SAVED),
)
"""`listed_micros` of the cost were taken from a price list instead of metered tokens. Unknown attempts cost between
nothing and `unknown_most_micros`, their estimates; `unknown_held_micros` of that may really have been billed: a call
left, and its end is unknown."""
ALWAYS = ("attempts", "images", "cost_micros", "unknown_attempts")
DIMENSIONS = ("tenant", "model", "lane", "day", "flag")


class Cell(Struct, frozen=True):
    """The key under which an attempt is booked."""

    day: str
    """The day on which it ended, UTC."""
    tenant: str
    model: str
    """The model that is billed."""
    lane: str
    """The lane that is billed."""
    flags: tuple[str, ...]
    """Ids of the flags that changed its route."""

    @property
    def flag(self) -> str:
        return " ".join(self.flags)

    def increment(self, amounts: Mapping[str, int], shard: int, now: datetime) -> Increment:
        """The amounts to add; zeros are left out. `now` is when: readers query for what changed since."""
        rest = json.dumps([self.model, self.lane, *self.flags]).encode()
        name = f"{self.day}_{self.tenant}_{hashlib.sha256(rest).hexdigest()[:12]}_{shard % SHARDS}"
        kept = {word: amount for word, amount in amounts.items() if amount or word in ALWAYS}
        also = {
            "name": name,
            "day": self.day,
            "tenant": self.tenant,
            "model": self.model,
            "lane": self.lane,
            "flag": self.flag,
            "updated_at": now,
        }
        return Increment(f"ledger/{name}", kept, also=also)


class Booking(Struct, frozen=True):
    """One attempt as it is booked."""

    cost: Cost
    why: Why
    number: int
    """Its number within the request, from 1."""
    estimate_micros: int
    made: bool
    ambiguous: bool
    """It may have been billed without a result."""
    was_given_up: bool
    """It was already booked, as crashed and of unknown cost: that booking is reversed."""
    searches: int
    mismatched: bool
    saved: Mapping[str, int]
    failed_as: FailureKind | None = None
    """None if the attempt did not fail."""
    paid_before: bool = False
    """An earlier attempt of the request has cost something, or may have."""
    timing: Timing = Timing()

    def amounts(self) -> dict[str, int]:
        added: Counter[str] = Counter()
        unknown = self.cost.basis == "unknown"
        added["attempts"] = int(not self.was_given_up)
        added["images"] = int(self.made)
        added["searches"] = self.searches
        added["mismatches"] = int(self.mismatched)
        added["cost_micros"] = self.cost.micros
        added["listed_micros"] = self.cost.micros if self.cost.basis == "listed" else 0
        added["unknown_attempts"] = int(unknown) - int(self.was_given_up)
        added["unknown_most_micros"] = (int(unknown) - int(self.was_given_up)) * self.estimate_micros
        reserved_attempts = int(unknown and self.ambiguous) - int(self.was_given_up)
        added["unknown_held_micros"] = reserved_attempts * self.estimate_micros
        added[f"attempts_{self.why}"] += 1
        if self.was_given_up:
            added[f"attempts_{plain(self.number)}"] -= 1
        added[f"micros_{self.why}"] = self.cost.micros
        added["attempts_free"] = int(self._is_free)
        if (repeat := self._repeat) is not None:
            added[f"attempts_retry_{repeat}"] += 1
            if repeat != "free":
                added[f"micros_retry_{repeat}"] = self.cost.micros
        for part, micros in exact_parts(self.cost).items():
            added[f"micros_{part}"] += micros
        for what, micros in self.saved.items():
            added[f"saved_{what}_micros"] += micros
        if self.was_given_up:
            added[traffic.failed(FailureKind.CRASHED)] -= 1
        if self.failed_as is not None:
            added[traffic.failed(self.failed_as)] += 1
        for name in self.timing.buckets():
            added[name] += 1
        return dict(added)

    @property
    def _is_free(self) -> bool:
        return self.cost.basis != "unknown" and not self.cost.micros and self.why != "duplicate"

    @property
    def _repeat(self) -> Repeat | None:
        if self.why != "retry" or self.cost.basis == "unknown":
            return None
        if self._is_free:
            return "free"
        return "again" if self.paid_before else "once"


def plain(number: int) -> Why:
    """Of an attempt that nothing more is said of."""
    return "first" if number == 1 else "retry"


def exact_parts(cost: Cost) -> dict[str, int]:
    """The parts, which add up to the cost: each is rounded on its own, and the largest takes the remainder."""
    parts = {name if name in PARTS else "call": 0 for name in cost.parts}
    for name, micros in cost.parts.items():
        parts[name if name in PARTS else "call"] += micros
    if not parts:
        return {"call": cost.micros} if cost.micros else {}
    largest = max(parts, key=lambda name: (parts[name], name))
    parts[largest] += cost.micros - sum(parts.values())
    return parts


class LedgerRow(Stored, frozen=True):
    """One document of the ledger, `ledger/{name}`, as it is read."""

    day: str
    tenant: str
    model: str
    lane: str
    name: str = ""
    flag: str = ""
    updated_at: datetime | None = None
    amounts: Mapping[str, int] = field(default_factory=dict)
    """All other fields: counts and money by name, including those that only a newer release adds up."""

    @classmethod
    def from_json(cls, data: Fields) -> Self:
        labels = {label: data[label] for label in LABELS if label in data}
        return super().from_json({**labels, "amounts": {name: data[name] for name in data if name not in LABELS}})

    def amount(self, name: str) -> int:
        """0 if nothing was booked under it."""
        return self.amounts.get(name, 0)

    @property
    def place(self) -> tuple[str, str]:
        """Its position in the ledger's order: where the next page begins."""
        return self.day, self.name

    def group(self, by: str) -> str:
        """Its value in one of DIMENSIONS; rows without flags have `-`."""
        value: str = getattr(self, by)
        return value or "-"


class SpentRow(Stored, frozen=True):
    """The part of a row that says what was spent."""

    day: str
    name: str
    cost_micros: int = 0

    @property
    def place(self) -> tuple[str, str]:
        return self.day, self.name


SPENT_FIELDS = SpentRow.__struct_fields__
LABELS = tuple(name for name in LedgerRow.__struct_fields__ if name != "amounts")
