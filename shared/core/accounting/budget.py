"""What a tenant may spend in a day or month: reserved by the pump with the release, settled by workers. Pure.

available = limit - spent before it counted - reserved + returned - cost. The pump alone adds to `reserved`, in the
commit that precedes the releases, and names each reservation until its release is on record; an attempt that ends
returns what was reserved for it and adds what it did cost. So a sum that is read late is too small by what was returned
since, and overspends nothing.
"""

from __future__ import annotations

import calendar
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shared.core.provider.outcome import Outcome
from shared.core.provider.outcome_code import PlainEnd
from shared.core.values.codec import Stored
from shared.core.values.documents import Fields, Increment
from shared.core.values.money import usd

PeriodName: TypeAlias = Literal["day", "month"]
PERIODS: tuple[PeriodName, ...] = ("day", "month")
Over: TypeAlias = Literal["queue", "step-down", "refuse"]
"""What becomes of a request that does not fit: it waits for money, takes the cheapest route that fits (and waits where
none does), or ends as failed."""
OVERS: tuple[Over, ...] = ("queue", "step-down", "refuse")

SHARDS = 32
"""One document takes about one write a second: enough for 2,000 renders a minute of one tenant."""
OVER_BUDGET = "the tenant's budget is used up"
"""The reason on a request that waits for money."""
KEEP_FOR = timedelta(days=400)


class Budget(Stored, frozen=True):
    """As an operator set it."""

    limit_micros: int
    period: PeriodName
    over: Over
    since: datetime
    """When the first limit was set: what was spent earlier in the period is counted from the ledger."""

    def __str__(self) -> str:
        return f"${usd(self.limit_micros)} a {self.period}"


def default_budget(limit_micros: int) -> Budget:
    """Of every tenant without a budget of its own: per day; what does not fit waits. It was always there."""
    return Budget(limit_micros, "day", "queue", datetime(2000, 1, 1, tzinfo=UTC))


class Reservation(Stored, frozen=True):
    """Money held for one attempt; kept on its request and its attempt."""

    period: str
    micros: int


class UnconfirmedReservation(Stored, frozen=True):
    """A reservation between the write that holds it and the write that hands its request out."""

    request_id: str
    release: int
    """The release number under which it is handed out. A request at that number or a later one has taken it over."""
    micros: int


class BudgetAccount(Stored, frozen=True):
    """`budgets/{period}_{tenant}`: what only the pump writes."""

    tenant: str
    period: str
    since: datetime
    """Of the budget that it was opened for."""
    before_micros: int = 0
    """Spent in the period without a reservation."""
    reserved_micros: int = 0
    """Everything that was ever reserved in the period."""
    pending: tuple[UnconfirmedReservation, ...] = ()
    """Reserved for releases that are not known to be handed out. If a pump dies in between, the next leader resolves
    them."""

    @property
    def path(self) -> str:
        return path(self.tenant, self.period)

    def reserve(self, reservation: UnconfirmedReservation) -> BudgetAccount:
        return replace(
            self, reserved_micros=self.reserved_micros + reservation.micros, pending=(*self.pending, reservation)
        )

    def handed_out(self, request_ids: Collection[str]) -> BudgetAccount:
        """The account after these requests carry their reservations themselves."""
        return replace(self, pending=self._without(request_ids))

    def give_back(self, request_ids: Collection[str]) -> BudgetAccount:
        """The account after these were certainly not handed out, and never will be under the reserved number."""
        micros = sum(reservation.micros for reservation in self.pending if reservation.request_id in request_ids)
        return replace(self, reserved_micros=self.reserved_micros - micros, pending=self._without(request_ids))

    def _without(self, request_ids: Collection[str]) -> tuple[UnconfirmedReservation, ...]:
        return tuple(reservation for reservation in self.pending if reservation.request_id not in request_ids)

    def to_json(self) -> dict[str, Any]:
        """With the moment at which the store may delete it."""
        return super().to_json() | {"expire_at": ends_at(self.period) + KEEP_FOR}


class WorkerTotals(Struct, frozen=True):
    """What workers have added in their shards, summed."""

    returned_micros: int = 0
    cost_micros: int = 0

    @classmethod
    def sum_of(cls, shards: Iterable[Fields]) -> WorkerTotals:
        fields = list(shards)
        return cls(
            sum(item.get("returned_micros", 0) for item in fields),
            sum(item.get("cost_micros", 0) for item in fields),
        )


class TenantBalance(Struct, frozen=True):
    """One tenant's money at one moment."""

    budget: Budget
    account: BudgetAccount
    settled: WorkerTotals

    @property
    def available_micros(self) -> int:
        """Below zero where an attempt cost more than was reserved for it."""
        return self.budget.limit_micros - self.spent_micros - self.held_micros

    @property
    def unspent_micros(self) -> int:
        """What would be left if all held money came back."""
        return self.budget.limit_micros - self.spent_micros

    @property
    def spent_micros(self) -> int:
        return self.account.before_micros + self.settled.cost_micros

    @property
    def held_micros(self) -> int:
        """For attempts that have not ended, or of which it is unknown whether they were billed."""
        return self.account.reserved_micros - self.settled.returned_micros


def period_of(name: PeriodName, now: datetime) -> str:
    """`2026-11-22` or `2026-11`: the day or month, UTC."""
    day = now.astimezone(UTC).date().isoformat()
    return day if name == "day" else day[:7]


def days_of(period: str) -> tuple[date, date]:
    """The first and the last day of a period."""
    first = date.fromisoformat(period if len(period) == 10 else f"{period}-01")
    if len(period) == 10:
        return first, first
    return first, first.replace(day=calendar.monthrange(first.year, first.month)[1])


def ends_at(period: str) -> datetime:
    """The moment at which the next one begins."""
    last = days_of(period)[1] + timedelta(days=1)
    return datetime(last.year, last.month, last.day, tzinfo=UTC)


def path(tenant: str, period: str) -> str:
    return f"budgets/{period}_{tenant}"


def shard_paths(tenant: str, period: str) -> list[str]:
    return [f"budget_shards/{period}_{tenant}_{shard}" for shard in range(SHARDS)]


def settle_reservation(
    tenant: str, request_id: str, reservation: Reservation | None, cost_micros: int, *, may_be_billed: bool
) -> BudgetDelta:
    """What the end of an attempt changes. `may_be_billed`: the attempt may have been billed; its reservation stays
    until that is known or the period ends."""
    if reservation is None:
        return NOTHING_MOVED
    returned = 0 if may_be_billed else reservation.micros
    return BudgetDelta(tenant, request_id, {reservation.period: (returned, cost_micros)})


def refund(tenant: str, request_id: str, reservation: Reservation | None) -> tuple[Increment, ...]:
    """The write that returns the money held on a request that will not begin its attempt; part of the same commit."""
    return settle_reservation(tenant, request_id, reservation, 0, may_be_billed=False).writes()


class BudgetDelta(Struct, frozen=True):
    """Money returned and spent by one commit, by period."""

    tenant: str
    request_id: str
    by_period: Mapping[str, tuple[int, int]]

    def plus(self, other: BudgetDelta) -> BudgetDelta:
        """Of the same request."""
        if not self.by_period:
            return other
        periods = sorted({*self.by_period, *other.by_period})
        none = (0, 0)
        summed = {
            period: (
                self.by_period.get(period, none)[0] + other.by_period.get(period, none)[0],
                self.by_period.get(period, none)[1] + other.by_period.get(period, none)[1],
            )
            for period in periods
        }
        return replace(self, by_period=summed)

    def writes(self) -> tuple[Increment, ...]:
        """One per period; none if nothing changed."""
        shard = zlib.crc32(self.request_id.encode()) % SHARDS
        return tuple(
            Increment(
                shard_paths(self.tenant, period)[shard],
                {"returned_micros": returned, "cost_micros": cost},
                also={"tenant": self.tenant, "period": period, "expire_at": ends_at(period) + KEEP_FOR},
            )
            for period, (returned, cost) in self.by_period.items()
            if returned or cost
        )


NOTHING_MOVED = BudgetDelta("", "", {})


def refuses(balance: TenantBalance, estimate_micros: int) -> bool:
    """Whether the request ends now. Held money may come back, so a request that lacks only that waits instead."""
    return balance.budget.over == "refuse" and estimate_micros > balance.unspent_micros


def refusal(tenant: str, balance: TenantBalance, estimate_micros: int) -> Outcome:
    reserved = (
        f", ${usd(balance.held_micros)} of it held for attempts that are not settled" if balance.held_micros > 0 else ""
    )
    return Outcome.of(
        PlainEnd.BUDGET,
        f"The budget of {tenant}, {balance.budget}, has ${usd(max(balance.unspent_micros, 0))} left{reserved} "
        f"(${usd(balance.spent_micros)} are spent); this takes up to ${usd(estimate_micros)}. Nothing was paid.",
        f"Raise it (renderlane budget {tenant} --limit USD) or wait for the next {balance.budget.period}, "
        "then submit it under a new id.",
    )


def fitting(estimates: Sequence[int], available_micros: int) -> int:
    """How many of the first ones the money covers together."""
    count = 0
    for estimate in estimates:
        available_micros -= estimate
        if available_micros < 0:
            break
        count += 1
    return count
