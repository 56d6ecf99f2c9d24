"""What the billing account may spend in a month, and how much of it is gone. Pure.

Google caps a billing account, not a project: other projects of the account count too, and this worker sees its own
ledger alone. So what it knows is the least that was spent. Months are those of the ledger's days, in UTC; Google's
begin at midnight in Los Angeles. Vertex and gateways are other accounts.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.accounting.ledger import LedgerRow
from shared.core.catalogue.account_tiers import AccountRules, Tier
from shared.core.values.codec import Stored
from shared.core.values.lanes import is_apart

PATH = "quota/account"
STEPS = (95, 100)
"""Percentages at which the operator is warned again, after the first warning."""
OPEN_DAYS = 2
"""How long a day's rows may still grow: an attempt is booked under the day on which it ends."""


class Account(Struct, frozen=True):
    """As it is configured: the tier, the cap, or neither."""

    tier: Tier | None = None
    cap_micros: int | None = None
    """The account's own cap where it is not that of its tier."""
    warn_percent: int = 80

    @property
    def monthly_cap_micros(self) -> int | None:
        """None = not configured."""
        if self.cap_micros is not None:
            return self.cap_micros
        return self.tier.monthly_cap_micros if self.tier is not None else None

    @property
    def steps(self) -> tuple[int, ...]:
        """Percentages of the cap at which the operator is warned."""
        return tuple(sorted({self.warn_percent, *(step for step in STEPS if step > self.warn_percent)}))


UNKNOWN_ACCOUNT = Account()


class MonthSpend(Stored, frozen=True):
    """The document: what was spent this month, day by day."""

    month: str
    """`2026-11`"""
    read_at: datetime
    days: Mapping[str, int] = field(default_factory=dict)
    """Micro-dollars by day, Vertex and gateways left out."""
    unknown: Mapping[str, int] = field(default_factory=dict)
    """Micro-dollars by day that may have been billed in addition: attempts of unknown cost."""
    warned: int = 0
    """The highest percentage of which the operator was warned this month."""
    tier: str | None = None
    cap_micros: int | None = None
    """As the worker that wrote it is configured."""

    @property
    def spent_micros(self) -> int:
        return sum(self.days.values())

    @property
    def unknown_micros(self) -> int:
        return sum(self.unknown.values())

    def percent_of(self, cap_micros: int) -> float:
        """Share of the cap that is used, including what may have been billed."""
        return 100.0 if cap_micros == 0 else 100 * (self.spent_micros + self.unknown_micros) / cap_micros


def of_worker(own: Account, spend: MonthSpend | None, rules: AccountRules) -> Account:
    """The account as the running worker has configured it; as configured here, if that is set or no worker runs."""
    if own.monthly_cap_micros is not None or spend is None or spend.cap_micros is None:
        return own
    tier = rules.tiers.get(spend.tier or "")
    cap = spend.cap_micros if tier is None or tier.monthly_cap_micros != spend.cap_micros else None
    return Account(tier, cap, own.warn_percent)


def month_of(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m")


def days_to_read(before: MonthSpend | None, now: datetime) -> tuple[date, date]:
    """The first and the last day whose rows have to be read: all of a new month, else those that may have grown."""
    today = now.astimezone(UTC).date()
    first = today.replace(day=1)
    if before is None or before.month != month_of(now):
        return first, today
    last_read = before.read_at.astimezone(UTC).date()
    return max(first, min(last_read, today) - timedelta(days=OPEN_DAYS - 1)), today


def with_rows(before: MonthSpend | None, rows: Iterable[LedgerRow], since: date, now: datetime) -> MonthSpend:
    """With the ledger's rows from `since` on, which replace what was known of these days."""
    month = month_of(now)
    start = before if before is not None and before.month == month else MonthSpend(month, now)
    days = {day: micros for day, micros in start.days.items() if day < since.isoformat()}
    unknown = {day: micros for day, micros in start.unknown.items() if day < since.isoformat()}
    for row in rows:
        if not is_apart(row.lane):
            days[row.day] = days.get(row.day, 0) + row.amount("cost_micros")
            unknown[row.day] = unknown.get(row.day, 0) + max(row.amount("unknown_held_micros"), 0)
    return replace(start, days=days, unknown={day: micros for day, micros in unknown.items() if micros}, read_at=now)


def step_reached(account: Account, spend: MonthSpend) -> int | None:
    """The highest percentage that is reached and has not been reported this month."""
    cap = account.monthly_cap_micros
    if cap is None:
        return None
    percent = spend.percent_of(cap)
    reached = [step for step in account.steps if percent >= step]
    return reached[-1] if reached and reached[-1] > spend.warned else None


def hit_on(account: Account, spend: MonthSpend, now: datetime) -> date | None:
    """The day on which the cap is reached at this month's daily rate; None if that is not this month."""
    cap, gone = account.monthly_cap_micros, spend.spent_micros + spend.unknown_micros
    if cap is None or gone == 0:
        return None
    day = now.astimezone(UTC)
    first = day.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    elapsed = max((day - first).total_seconds(), 3600.0)
    needed = elapsed * cap / gone
    if needed > timedelta(days=monthrange(day.year, day.month)[1]).total_seconds():
        return None
    return (first + timedelta(seconds=max(needed, 0))).date()


def barred_lanes(account: Account, rules: AccountRules, priority: str) -> dict[str, str]:
    """Lanes that the account's tier does not include, with the reason. None are excluded while the tier is unknown."""
    if account.tier is None or account.tier.priority:
        return {}
    having = ", ".join(name for name, tier in rules.tiers.items() if tier.priority) or "no tier"
    return {priority: f"{priority} needs tier {having}, and RENDERLANE_TIER is {account.tier.name}"}


def summary(account: Account, spend: MonthSpend | None, now: datetime) -> dict[str, Any]:
    """For programs: money in micro-dollars, None if unknown."""
    cap = account.monthly_cap_micros
    this_month = spend if spend is not None and spend.month == month_of(now) else None
    reached = hit_on(account, this_month, now) if this_month else None
    return {
        "tier": account.tier.name if account.tier else None,
        "monthly_cap_micros": cap,
        "month": this_month.month if this_month else None,
        "spent_micros": this_month.spent_micros if this_month else None,
        "unknown_micros": this_month.unknown_micros if this_month else None,
        "percent": round(this_month.percent_of(cap), 1) if this_month and cap is not None else None,
        "cap_reached_on": reached.isoformat() if reached else None,
        "spend10m_micros": account.tier.spend10m_micros if account.tier else None,
        "priority": account.tier.priority if account.tier else None,
        "read_at": this_month.read_at if this_month else None,
    }
