"""What an operator changes by hand, each in one compare-and-set."""

from __future__ import annotations

from msgspec import Struct

from shared.core.accounting.budget import Budget, Over, PeriodName
from shared.core.accounting.budget_history import FIELD, BudgetChange, UndoRefused, undoable, with_change
from shared.core.records.tenant import TenantRecord, tenant_path
from shared.core.values.codec import stored_value
from shared.core.values.documents import Absent, Committed, Create, Document, Fields, Update, Write
from shared.ports.store import Store


async def set_weight(store: Store, tenant: str, weight: float) -> float | None:
    """Set the weight by which `tenant` shares queues from now on. Returns the previous one, or None if there was
    none."""
    while True:
        document = await store.get(tenant_path(tenant))
        now = document.read_at
        write: Write
        if isinstance(document, Document):
            write = Update(document.path, {"weight": weight, "updated_at": now}, document.version)
        else:
            write = Create(document.path, {"weight": weight, "created_at": now, "updated_at": now})
        if isinstance(await store.commit(write), Committed):
            return TenantRecord.of(document).weight


class NoBudget(Exception):
    """There is no budget whose period or rule could be changed: set a limit first."""


class BudgetMoved(Exception):
    """The budget changed since the operator read it."""


class By(Struct, frozen=True):
    """Who changes it, and why."""

    actor: str
    reason: str


NOBODY = By("", "")


async def set_budget(
    store: Store,
    tenant: str,
    *,
    limit_micros: int | None = None,
    period: PeriodName | None = None,
    over: Over | None = None,
    by: By = NOBODY,
    seen_micros: int | None = None,
) -> Budget:
    """Set the budget from now on; None leaves a part unchanged, initially `day` and `queue`. `seen_micros` is the limit
    that the operator saw. Raises NoBudget, and BudgetMoved if the limit has changed since."""
    while True:
        document = await store.get(tenant_path(tenant))
        before = TenantRecord.of(document).budget
        if before is None and limit_micros is None:
            raise NoBudget(tenant)
        if seen_micros is not None and (before is None or before.limit_micros != seen_micros):
            raise BudgetMoved(tenant)
        after = Budget(
            limit_micros=limit_micros if limit_micros is not None else before.limit_micros if before else 0,
            period=period or (before.period if before else "day"),
            over=over or (before.over if before else "queue"),
            since=before.since if before else document.read_at,
        )
        change = BudgetChange(document.read_at, by.actor, by.reason, before, after)
        if await _change(store, document, change):
            return after


async def lift_budget(store: Store, tenant: str, by: By = NOBODY) -> None:
    """No limit from now on."""
    while True:
        document = await store.get(tenant_path(tenant))
        if not isinstance(document, Document):
            return
        change = BudgetChange(document.read_at, by.actor, by.reason, TenantRecord.of(document).budget, None)
        if await _change(store, document, change):
            return


async def undo_budget(store: Store, tenant: str, actor: str) -> BudgetChange:
    """Undo the newest change, within UNDO_WITHIN. Returns what was changed. Raises UndoRefused."""
    while True:
        document = await store.get(tenant_path(tenant))
        record = TenantRecord.of(document)
        newest = undoable(record.budget_changes, document.read_at)
        if newest is None:
            raise UndoRefused(f"budget of {tenant}: nothing was changed within a minute; set it to what it should be")
        if record.budget != newest.after:
            raise UndoRefused(f"budget of {tenant}: it has changed since; look at it, then decide again")
        undone = BudgetChange(document.read_at, actor, f"undone: {newest}", newest.after, newest.before, undoes=True)
        if await _change(store, document, undone):
            return newest


async def _change(store: Store, document: Document | Absent, change: BudgetChange) -> bool:
    """The budget and its history, in one write. False if another process was faster."""
    after = change.after.to_json() if change.after is not None else None
    history = with_change(TenantRecord.of(document).budget_changes, change)
    return await _set(store, document, {"budget": after, FIELD: stored_value(history)})


async def _set(store: Store, document: Document | Absent, changes: Fields) -> bool:
    """False if another process was faster."""
    now = document.read_at
    write: Write
    if isinstance(document, Document):
        write = Update(document.path, {**changes, "updated_at": now}, document.version)
    else:
        write = Create(document.path, {**changes, "created_at": now, "updated_at": now})
    return isinstance(await store.commit(write), Committed)
