"""What a plan would do to the billing account: its cost beside what is left of the month's cap. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from scripts.planner.results import PlanFigures
from shared.core.accounting import account_cap
from shared.core.accounting.account_cap import Account, MonthSpend


class AccountState(Struct, frozen=True):
    account: Account
    spend: MonthSpend | None
    """None where no worker has read it."""


def document(figures: Sequence[PlanFigures], billing: AccountState, now: datetime) -> dict[str, Any]:
    """For programs: the account, and what each alternative leaves of the cap at its estimate; negative: passed."""
    summary = account_cap.summary(billing.account, billing.spend, now)
    cap = billing.account.monthly_cap_micros
    gone = (summary["spent_micros"] or 0) + (summary["unknown_micros"] or 0)
    left = None if cap is None else {way.name: cap - gone - way.cost.estimate for way in figures}
    return summary | {"left_micros_after": left}


def lines(figures: Sequence[PlanFigures], billing: AccountState, now: datetime) -> Iterator[str]:
    figures_of_account = document(figures, billing, now)
    cap, left = figures_of_account["monthly_cap_micros"], figures_of_account["left_micros_after"]
    if cap is None:
        yield "monthly cap: unknown, since RENDERLANE_TIER is not set"
        return
    spent = (
        "nothing read yet"
        if figures_of_account["spent_micros"] is None
        else f"{_dollars(figures_of_account['spent_micros'])} spent"
    )
    yield f"monthly cap: {_dollars(cap)} for the billing account, {spent} in {account_cap.month_of(now)}"
    for name, micros in left.items():
        if micros < 0:
            yield f"monthly cap: {name} passes it by {_dollars(-micros)}: Google would reject every call from there on"


def _dollars(micros: int) -> str:
    return f"${micros / 1_000_000:,.2f}"
