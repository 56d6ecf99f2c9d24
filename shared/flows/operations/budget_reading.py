"""A tenant's money as the documents have it: its budget, the pump's account, the workers' shards."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from shared.core.accounting import budget
from shared.core.accounting.budget import Budget, BudgetAccount, TenantBalance, WorkerTotals
from shared.core.records.tenant import TenantRecord, tenant_path
from shared.core.values.documents import Document
from shared.flows.operations.ledger_reading import read_spent
from shared.ports.store import Store


async def read_budget(store: Store, tenant: str, default: Budget | None = None) -> Budget | None:
    """The tenant's own budget, else the default for all."""
    return TenantRecord.of(await store.get(tenant_path(tenant))).budget or default


async def read_balance(store: Store, tenant: str, limit: Budget, now: datetime) -> TenantBalance:
    """For display: an account that the pump has not opened yet is computed as the pump will open it."""
    period = budget.period_of(limit.period, now)
    settled = await read_settled(store, tenant, period)
    document = await store.get(budget.path(tenant, period))
    account = BudgetAccount.from_json(document.data) if isinstance(document, Document) else None
    return TenantBalance(limit, await opened(store, tenant, limit, period, account, settled), settled)


async def read_settled(store: Store, tenant: str, period: str) -> WorkerTotals:
    shards = await store.get_all(budget.shard_paths(tenant, period))
    return WorkerTotals.sum_of(shard.data for shard in shards if isinstance(shard, Document))


async def opened(
    store: Store, tenant: str, limit: Budget, period: str, account: BudgetAccount | None, settled: WorkerTotals
) -> BudgetAccount:
    """The account of this very budget. What the ledger has beyond the shards was spent without a reservation: before
    there was a budget. `settled` was read before the ledger is, so that nothing is missed in between."""
    if account is not None and account.since == limit.since:
        return account
    before = await _spent(store, tenant, period) - settled.cost_micros
    if account is not None:
        return replace(account, since=limit.since, before_micros=max(before, 0))
    return BudgetAccount(tenant, period, limit.since, max(before, 0))


async def _spent(store: Store, tenant: str, period: str) -> int:
    """By the ledger."""
    return await read_spent(store, tenant, *budget.days_of(period))
