"""The ledger's rows summed up for people: one total a group, Google's and the providers' apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from shared.core.accounting.ledger import COUNTS, GATEWAY, MONEY, SAVED, WHYS, LedgerRow

AMOUNTS = (*COUNTS, *MONEY)


class Total(Struct, frozen=True):
    """Sums of the ledger's amounts, by their names there."""

    amounts: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return self.amounts.get(name, 0)

    @property
    def micros(self) -> int:
        return self["cost_micros"]

    @property
    def by_why(self) -> dict[str, int]:
        return {why: self[f"micros_{why}"] for why in WHYS}

    @property
    def by_use(self) -> dict[str, int]:
        """As `by_why`, with retries that were paid again apart from the others."""
        parts = {}
        for why, micros in self.by_why.items():
            parts[why] = micros - (self.paid_again_micros if why == "retry" else 0)
            if why == "retry":
                parts["again"] = self.paid_again_micros
        return parts

    @property
    def paid_again_micros(self) -> int:
        """Retries of requests that had cost something before."""
        return self["micros_retry_again"]

    @property
    def unsplit_micros(self) -> int:
        """Retries that an older release booked: whether anything was paid before is not known."""
        return self["micros_retry"] - self["micros_retry_once"] - self["micros_retry_again"]

    @property
    def saved_micros(self) -> int:
        return sum(self[f"saved_{what}_micros"] for what in SAVED)

    def to_json(self) -> dict[str, int]:
        return {name: self[name] for name in AMOUNTS}


class Bill(Struct, frozen=True):
    """One contract's part of the bill."""

    total: Total
    groups: Mapping[str, Total]
    """By the dimension asked for, dearest first; days in their order."""


class Bills(Struct, frozen=True):
    """Never to be added up: a provider's price is another contract."""

    google: Bill
    gateways: Bill


def bills(rows: Iterable[LedgerRow], by: str) -> Bills:
    """`by` is one of the ledger's DIMENSIONS."""
    apart: dict[bool, list[LedgerRow]] = {False: [], True: []}
    for row in rows:
        apart[row.lane == GATEWAY].append(row)
    return Bills(_bill(apart[False], by), _bill(apart[True], by))


def _bill(rows: Iterable[LedgerRow], by: str) -> Bill:
    groups: defaultdict[str, Counter[str]] = defaultdict(Counter)
    total: Counter[str] = Counter()
    for row in rows:
        amounts = {name: row.amounts[name] for name in AMOUNTS if name in row.amounts}
        groups[row.group(by)].update(amounts)
        total.update(amounts)
    totals = {name: Total(dict(amounts)) for name, amounts in groups.items()}
    order = sorted(totals) if by == "day" else sorted(totals, key=lambda name: (-totals[name].micros, name))
    return Bill(Total(dict(total)), {name: totals[name] for name in order})
