"""Statistics of attempts: how many, how they failed, how long they waited and took. Pure.

The ledger's rows carry these counts beside the money, in the same commit, so they are exact and cost no extra write.
Durations are counted in buckets; percentiles are read from the buckets, never from single requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from shared.core.provider.failure import RULES
from shared.core.values.route import circuit

if TYPE_CHECKING:
    from shared.core.accounting.ledger import LedgerRow  # which counts with this module

Tally: TypeAlias = Mapping[str, int]
"""Counts by name: the ledger's own names, `failed_KIND`, and a bucket's name for each time."""
Clocked: TypeAlias = Literal["wait", "model"]

EDGES = (0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 120, 300, 600, 1_800, 3_600, 14_400)
"""Upper bounds of the buckets in seconds; one more bucket holds everything longer."""
LONGEST = 43_200.0
"""Seconds; where the last bucket is assumed to end."""
FAILED = "failed_"
COUNTED = ("attempts", "images", "cost_micros")
NO_NEWS = frozenset(kind.value for kind, rule in RULES.items() if rule.no_news)
"""By the code."""


class Timing(Struct, frozen=True):
    """Of one attempt; None: not known."""

    waited: timedelta | None = None
    took: timedelta | None = None

    def buckets(self) -> Iterator[str]:
        for clocked, time in (("wait", self.waited), ("model", self.took)):
            if time is not None:
                yield f"{clocked}_{bucket_of(time)}"


def bucket_of(time: timedelta) -> int:
    seconds = time.total_seconds()
    return next((number for number, edge in enumerate(EDGES) if seconds <= edge), len(EDGES))


def failed(kind: str) -> str:
    return f"{FAILED}{kind}"


def tallies(rows: Iterable[LedgerRow]) -> dict[str, dict[str, int]]:
    """The ledger's rows by circuit, without their money and parts."""
    result: dict[str, Counter[str]] = {}
    for row in rows:
        tally = result.setdefault(circuit(row.lane, row.model), Counter())
        tally.update({name: count for name, count in row.amounts.items() if is_counted(name)})
    return {name: dict(tally) for name, tally in result.items()}


def is_counted(name: str) -> bool:
    return name in COUNTED or name.startswith((FAILED, "wait_", "model_"))


def added(one: Tally, other: Tally) -> dict[str, int]:
    return {name: count for name in {*one, *other} if (count := one.get(name, 0) + other.get(name, 0))}


def less(now: Tally, before: Tally) -> dict[str, int]:
    """The difference since `before`. Never negative: an attempt that was given up and ended after all is reversed."""
    return {name: count for name in now if (count := now[name] - before.get(name, 0)) > 0}


def summed(several: Iterable[Tally]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for tally in several:
        total.update(tally)
    return dict(total)


def failures(tally: Tally) -> dict[str, int]:
    """By kind, most frequent first: failures that count against the route, its key or its quota."""
    kinds = {name.removeprefix(FAILED): count for name, count in tally.items() if name.startswith(FAILED) and count > 0}
    kept = {kind: count for kind, count in kinds.items() if kind not in NO_NEWS}
    return dict(sorted(kept.items(), key=lambda item: (-item[1], item[0])))


def percentile(tally: Tally, clocked: Clocked, share: float) -> float | None:
    """Seconds, interpolated evenly within a bucket; None if nothing was measured."""
    counts = [max(0, tally.get(f"{clocked}_{number}", 0)) for number in range(len(EDGES) + 1)]
    rank = share * sum(counts)
    if rank <= 0:
        return None
    below = 0.0
    for count, (low, high) in zip(counts, pairwise((0.0, *EDGES, LONGEST)), strict=True):
        if count and below + count >= rank:
            return low + (high - low) * (rank - below) / count
        below += count
    return LONGEST
