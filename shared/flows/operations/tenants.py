"""What an operator changes by hand, each in one compare-and-set."""

from __future__ import annotations

from shared.core.accounting.budget import Budget, Over, PeriodName, budget_of
from shared.core.values.documents import Absent, Committed, Create, Document, Fields, Update, Write
from shared.ports.store import Store

PATH = "tenants/{}"


async def set_weight(store: Store, tenant: str, weight: float) -> float | None:
    """The weight by which `tenant` shares queues from now on. The one before, or None where none was set."""
    while True:
        found = await store.get(PATH.format(tenant))
        now = found.read_at
        write: Write
        if isinstance(found, Document):
            write = Update(found.path, {"weight": weight, "updated_at": now}, found.version)
        else:
            write = Create(found.path, {"weight": weight, "created_at": now, "updated_at": now})
        if isinstance(await store.commit(write), Committed):
            return found.data.get("weight") if isinstance(found, Document) else None


class NoBudget(Exception):
    """There is none of which the period or the rule could be changed: a limit comes first."""


async def set_budget(
    store: Store,
    tenant: str,
    *,
    limit_micros: int | None = None,
    period: PeriodName | None = None,
    over: Over | None = None,
) -> Budget:
    """The budget from now on; None leaves a part as it is, `day` and `queue` at first. Raises NoBudget."""
    while True:
        found = await store.get(PATH.format(tenant))
        before = budget_of(found.data) if isinstance(found, Document) else None
        if before is None and limit_micros is None:
            raise NoBudget(tenant)
        after = Budget(
            limit_micros=limit_micros if limit_micros is not None else before.limit_micros if before else 0,
            period=period or (before.period if before else "day"),
            over=over or (before.over if before else "queue"),
            since=before.since if before else found.read_at,
        )
        if await _set(store, found, {"budget": after.to_json()}):
            return after


async def lift_budget(store: Store, tenant: str) -> None:
    """No limit from now on."""
    while True:
        found = await store.get(PATH.format(tenant))
        if not isinstance(found, Document) or await _set(store, found, {"budget": None}):
            return


async def _set(store: Store, found: Document | Absent, changes: Fields) -> bool:
    """Whether nobody else was faster."""
    now = found.read_at
    write: Write
    if isinstance(found, Document):
        write = Update(found.path, {**changes, "updated_at": now}, found.version)
    else:
        write = Create(found.path, {**changes, "created_at": now, "updated_at": now})
    return isinstance(await store.commit(write), Committed)
