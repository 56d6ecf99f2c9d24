"""What the billing account has spent this month, read from the ledger every few minutes, and reported before its
cap."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.core.accounting import account_cap
from shared.core.accounting.account_cap import MonthSpend
from shared.core.observability import events
from shared.core.values.documents import Committed, Create, Document, Update
from shared.core.values.money import usd
from shared.flows.operations.ledger_reading import read_rows
from shared.ports import Ports

READ_EVERY = timedelta(minutes=5)
RUNBOOK = "monthly-cap"


async def read_account(ports: Ports, *, every: timedelta = READ_EVERY) -> None:
    """Only if a cap is known: RENDERLANE_TIER or RENDERLANE_MONTHLY_CAP. Raises StoreUnavailable.

    If two processes read at once, the first to write reports; the other finds the document changed.
    """
    if ports.account.monthly_cap_micros is None:
        return
    document = await ports.store.get(account_cap.PATH)
    now = document.read_at
    before = MonthSpend.from_json(document.data) if isinstance(document, Document) else None
    if before is not None and now - before.read_at < every and before.month == account_cap.month_of(now):
        return
    since, until = account_cap.days_to_read(before, now)
    after = account_cap.with_rows(before, await read_rows(ports.store, since, until), since, now)
    tier = ports.account.tier
    after = replace(after, tier=tier.name if tier else None, cap_micros=ports.account.monthly_cap_micros)
    step = account_cap.step_reached(ports.account, after)
    if step is not None:
        after = replace(after, warned=step)
    write = (
        Update(account_cap.PATH, after.to_json(), document.version)
        if isinstance(document, Document)
        else Create(account_cap.PATH, after.to_json())
    )
    if isinstance(await ports.store.commit(write), Committed) and step is not None:
        _tell(ports, after, step, now)


def _tell(ports: Ports, spend: MonthSpend, step: int, now: datetime) -> None:
    cap = ports.account.monthly_cap_micros
    assert cap is not None, "a step is a part of the cap"
    gone = spend.spent_micros + spend.unknown_micros
    ports.signals.emit(
        events.MONTHLY_CAP_NEAR, month=spend.month, percent=step, spent_micros=gone, cap_micros=cap,
        reached_on=account_cap.hit_on(ports.account, spend, now),
    )  # fmt: skip
    what = f"${usd(gone)[:-4]} of the ${usd(cap)[:-4]} that the billing account may spend in {spend.month} are spent"
    ports.signals.emit(events.ESCALATION, what=f"{what} ({step} % or more)", request_id=None, runbook=RUNBOOK)
