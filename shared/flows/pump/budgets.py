"""Tenants' budgets as the pump reads them: what is left, which requests have to wait, and which may continue."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.accounting import budget
from shared.core.accounting.budget import OVER_BUDGET, Budget, BudgetAccount, TenantBalance
from shared.core.admission.allocation import Candidate
from shared.core.admission.tenant_balances import BudgetVerdict, TenantBalances, judge
from shared.core.lifecycle import queries
from shared.core.lifecycle.request_record import Head
from shared.core.observability import events
from shared.core.records.request import QueuedRow
from shared.core.records.tenant import TenantRecord, tenant_path
from shared.core.routing.context import RoutingContext
from shared.core.values.documents import Absent, Document
from shared.flows.clock import ClockReading
from shared.flows.operations import budget_reading
from shared.flows.pump import orphaned_reservations
from shared.flows.pump.dormant import Dormant
from shared.ports import Ports

READ_EVERY = 5.0
"""Seconds until a raised limit is noticed, and until returned money is available again."""
PAGE = 200


class BudgetState(Struct, frozen=True):
    """What the pump knows about tenants' money."""

    balances: TenantBalances = TenantBalances()
    over_budget: tuple[str, ...] = ()
    """Tenants whose requests wait for money."""
    accounts: Mapping[str, Document | Absent] = field(default_factory=dict)
    """Documents of accounts as last read or written, by path."""
    read_tenants: frozenset[str] = frozenset()
    """Tenants whose documents were read since `read_at`."""
    read_at: float = float("-inf")
    reported: frozenset[tuple[str, str, int]] = frozenset()
    """Tenant, period and limit of each budget that was reported as used up."""


class BudgetsRead(Struct, frozen=True):
    """The result of one look."""

    state: BudgetState
    rewritten: frozenset[str] = frozenset()
    """Requests that this look has written: their heads are of an older version."""


class BudgetsJudged(Struct, frozen=True):
    state: BudgetState
    verdict: BudgetVerdict


class _TenantRead(Struct, frozen=True):
    balance: TenantBalance | None = None
    """None = the tenant has no budget."""
    document: Document | Absent | None = None
    """The reading of its account, if it was read."""
    unwritten: BudgetAccount | None = None
    """The account, if it differs from its document."""
    rewritten: tuple[str, ...] = ()


class Budgets:
    """Reads budgets and reports them. Keeps no state: what it knows is in the BudgetState."""

    def __init__(self, ports: Ports, dormant: Dormant) -> None:
        self._ports = ports
        self._dormant = dormant

    async def look(self, before: BudgetState, heads: Sequence[Head], at: ClockReading) -> BudgetsRead:
        """Read budgets and what was settled: new tenants at once, the others from time to time. Wake requests that may
        continue."""
        by_tenant = before.balances.by_tenant
        due = at.monotonic - before.read_at >= READ_EVERY
        pending = {tenant for tenant, balance in by_tenant.items() if balance.account.pending}
        wanted = {head.tenant for head in heads} | set(before.over_budget) | pending
        ended = {tenant for tenant, balance in by_tenant.items() if budget.ends_at(balance.account.period) <= at.now}
        tenants = wanted if due else (wanted - before.read_tenants) | (wanted & ended)
        state = replace(before, read_at=at.monotonic, read_tenants=frozenset()) if due else before
        read = BudgetsRead(state)
        if tenants:
            read = await self._read(state, sorted(tenants), at.now)
        if due:
            read = replace(read, state=await self._wake_all(read.state, at.now))
        return read

    async def judge(
        self, read: BudgetsRead, candidates: Sequence[Candidate], context: RoutingContext, now: datetime
    ) -> BudgetsJudged:
        """Check each candidate against what its tenant has left; those that have to wait for money are suspended."""
        verdict = judge(candidates, read.state.balances, read.rewritten, context)
        state = self._tell(read.state, verdict.used_up)
        for tenant, heads in verdict.waiting.items():
            until = budget.ends_at(state.balances.by_tenant[tenant].account.period)
            await self._dormant.suspend(heads, OVER_BUDGET, until, now)
        return BudgetsJudged(state, verdict)

    def _tell(self, state: BudgetState, used_up: Sequence[str]) -> BudgetState:
        """Report each budget once per limit; its tenant is over budget from here on."""
        reported, over_budget = set(state.reported), list(state.over_budget)
        for tenant in used_up:
            if tenant not in over_budget:
                over_budget.append(tenant)
            balance = state.balances.by_tenant[tenant]
            key = (tenant, balance.account.period, balance.budget.limit_micros)
            if key in reported:
                continue
            reported.add(key)
            self._ports.signals.emit(
                events.BUDGET_USED_UP,
                tenant=tenant,
                period=balance.account.period,
                limit_micros=balance.budget.limit_micros,
                spent_micros=balance.spent_micros,
                over=balance.budget.over,
            )
        return replace(state, over_budget=tuple(over_budget), reported=frozenset(reported))

    async def _read(self, state: BudgetState, tenants: Sequence[str], now: datetime) -> BudgetsRead:
        ports = self._ports
        documents = await ports.store.get_all([tenant_path(tenant) for tenant in tenants])
        limits = {
            tenant: TenantRecord.of(document).budget or ports.default_budget
            for tenant, document in zip(tenants, documents, strict=True)
        }
        read = await asyncio.gather(*(self._read_tenant(state, tenant, limit, now) for tenant, limit in limits.items()))
        balances = state.balances.with_read(
            {tenant: item.balance for tenant, item in zip(tenants, read, strict=True)},
            {item.unwritten.path: item.unwritten for item in read if item.unwritten is not None},
        )
        accounts = {item.document.path: item.document for item in read if item.document is not None}
        after = replace(
            state,
            balances=balances,
            accounts={**state.accounts, **accounts},
            read_tenants=state.read_tenants | set(tenants),
        )
        return BudgetsRead(after, frozenset(request_id for item in read for request_id in item.rewritten))

    async def _read_tenant(self, state: BudgetState, tenant: str, limit: Budget | None, now: datetime) -> _TenantRead:
        if limit is None:
            return _TenantRead()
        store = self._ports.store
        period = budget.period_of(limit.period, now)
        settled = await budget_reading.read_settled(store, tenant, period)
        balance = state.balances.by_tenant.get(tenant)
        before = balance.account if balance is not None and balance.account.period == period else None
        document = None
        if before is None:
            document = await store.get(budget.path(tenant, period))
            before = BudgetAccount.from_json(document.data) if isinstance(document, Document) else None
        account = await budget_reading.opened(store, tenant, limit, period, before, settled)
        cleared = await orphaned_reservations.clear(store, account, now)
        account = cleared.account
        unwritten = account if account != before else None
        return _TenantRead(TenantBalance(limit, account, settled), document, unwritten, cleared.rewritten)

    async def _wake_all(self, state: BudgetState, now: datetime) -> BudgetState:
        """Without the tenants of whom no request waits for money any more."""
        tenants = state.over_budget
        waiting = await asyncio.gather(
            *(self._wake(tenant, state.balances.by_tenant.get(tenant), now) for tenant in tenants)
        )
        return replace(
            state, over_budget=tuple(tenant for tenant, waits in zip(tenants, waiting, strict=True) if waits)
        )

    async def _wake(self, tenant: str, balance: TenantBalance | None, now: datetime) -> bool:
        """As many of the waiting requests as the money is enough for, in their order, and those to refuse now. False if
        none waits."""
        if balance is not None and balance.available_micros <= 0 and balance.budget.over != "refuse":
            return True
        documents = await self._ports.store.query(queries.waiting_for(tenant, OVER_BUDGET, PAGE))
        if not documents:
            return False
        woken = documents
        if balance is not None:
            estimates = [QueuedRow.from_json(document.data).least_estimate_micros for document in documents]
            count = budget.fitting(estimates, balance.available_micros)
            later = zip(documents[count:], estimates[count:], strict=True)
            refused = (document for document, estimate in later if budget.refuses(balance, estimate))
            woken = [*documents[:count], *refused]
        heads = [Head.of(document.id, document.version, document.data) for document in woken]
        await self._dormant.wake_for_money(heads, now)
        return True
