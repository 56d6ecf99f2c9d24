"""Tenants' budgets as the pump keeps them: what is left, who has to wait, and what each release reserves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.accounting import budget
from shared.core.accounting.budget import (
    OVER_BUDGET,
    Budget,
    BudgetAccount,
    Reservation,
    TenantBalance,
    UnconfirmedReservation,
)
from shared.core.admission.allocation import Candidate, Grant
from shared.core.lifecycle import queries
from shared.core.lifecycle.request_record import Head
from shared.core.observability import events
from shared.core.provider.outcome import Outcome
from shared.core.records.request import QueuedRow
from shared.core.records.tenant import TenantRecord, tenant_path
from shared.core.values.documents import Document
from shared.flows.operations import budget_reading
from shared.flows.pump import orphaned_reservations
from shared.flows.pump.dormant import Dormant
from shared.flows.pump.planner import Planner
from shared.flows.pump.state import PumpDocuments
from shared.ports import Ports

READ_EVERY = 5.0
"""Seconds until a raised limit is seen, and until money that came back is given out again."""
PAGE = 200


class Judged(Struct, frozen=True):
    """What budgets leave of the candidates of one tick."""

    candidates: tuple[Candidate, ...]
    refused: tuple[tuple[Head, Outcome], ...] = ()
    stale: tuple[Head, ...] = ()
    """Those that are to be read again: another release of them is not accounted for, or was just given up."""


class Budgets(Struct):
    """One per lead."""

    ports: Ports
    documents: PumpDocuments
    planner: Planner
    dormant: Dormant
    _purses: dict[str, TenantBalance] = field(default_factory=dict)
    """By tenant: those that have a budget."""
    _read_tenants: set[str] = field(default_factory=set)
    """Tenants whose documents were read."""
    _read_at: float = float("-inf")
    _reported: set[tuple[str, str, int]] = field(default_factory=set)
    """Tenant, period and limit of each budget that was reported as used up."""
    _changed: dict[str, BudgetAccount] = field(default_factory=dict)
    """By path: accounts that differ from their documents, as far as anybody else must know of it."""
    _rewritten: set[str] = field(default_factory=set)
    """Requests whose heads are not what the store has since the last look."""

    @property
    def purses(self) -> dict[str, int]:
        """What is left to each tenant that has a budget."""
        return {tenant: purse.available_micros for tenant, purse in self._purses.items()}

    async def look(self, heads: Sequence[Head], now: datetime) -> None:
        """Read budgets and what was settled: of new tenants at once, of the others now and then. Wake who may go on."""
        monotonic = self.ports.clock.monotonic()
        due = monotonic - self._read_at >= READ_EVERY
        open_still = {tenant for tenant, purse in self._purses.items() if purse.account.pending}
        wanted = {head.tenant for head in heads} | set(self.documents.over_budget) | open_still
        ended = {tenant for tenant, purse in self._purses.items() if budget.ends_at(purse.account.period) <= now}
        read = wanted if due else (wanted - self._read_tenants) | (wanted & ended)
        if due:
            self._read_at, self._read_tenants = monotonic, set()
        if read:
            await self._read(sorted(read), now)
        if due:
            await asyncio.gather(*(self._wake(tenant, now) for tenant in self.documents.over_budget))

    async def judge(self, candidates: Sequence[Candidate], now: datetime) -> Judged:
        """Each candidate against what its tenant has left: kept, stepped down, put to sleep, or refused."""
        kept: list[Candidate] = []
        refused: list[tuple[Head, Outcome]] = []
        stale: list[Head] = []
        waiting: dict[str, list[Head]] = {}
        for candidate in candidates:
            purse = self._purses.get(candidate.head.tenant)
            if candidate.head.request_id in self._rewritten or (purse and _is_open(purse, candidate.head)):
                stale.append(candidate.head)
                continue
            if purse is None or candidate.planned.estimate_micros <= purse.available_micros:
                kept.append(candidate)
                continue
            self._tell(candidate.head.tenant, purse)
            if budget.refuses(purse, candidate.planned.estimate_micros):
                outcome = budget.refusal(candidate.head.tenant, purse, candidate.planned.estimate_micros)
                refused.append((candidate.head, outcome))
                continue
            lower = self._stepped_down(candidate, purse)
            if lower is not None:
                kept.append(lower)
            else:
                waiting.setdefault(candidate.head.tenant, []).append(candidate.head)
        for tenant, heads in waiting.items():
            until = budget.ends_at(self._purses[tenant].account.period)
            await self.dormant.lay(heads, OVER_BUDGET, until, now)
        self._rewritten.clear()
        return Judged(tuple(kept), tuple(refused), tuple(stale))

    def take(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those of these that the money left is enough for, one after the other; reserved with the next write."""
        taken = []
        for candidate in candidates:
            purse = self._purses.get(candidate.head.tenant)
            if purse is None or candidate.planned.estimate_micros <= purse.available_micros:
                self._reserve(candidate)
                taken.append(candidate)
        return taken

    def reserve(self, grants: Sequence[Grant]) -> list[BudgetAccount]:
        """The accounts to write before these are handed out."""
        for grant in grants:
            self._reserve(grant.candidate)
        changed, self._changed = list(self._changed.values()), {}
        return changed

    def reservation(self, candidate: Candidate) -> Reservation | None:
        """What a request carries whose money is reserved."""
        purse = self._purses.get(candidate.head.tenant)
        if purse is None:
            return None
        return Reservation(purse.account.period, candidate.planned.estimate_micros)

    def handed_out(self, candidates: Sequence[Candidate]) -> None:
        """These carry their money themselves. What else was reserved is looked for within READ_EVERY: whether a refused
        commit was ours in fact, its request says.
        """
        for tenant, ids in _by_tenant(candidates).items():
            if (purse := self._purses.get(tenant)) is not None:
                self._purses[tenant] = replace(purse, account=purse.account.handed_out(ids))

    def _reserve(self, candidate: Candidate) -> None:
        head = candidate.head
        purse = self._purses.get(head.tenant)
        if purse is not None:
            pending = UnconfirmedReservation(head.request_id, head.release + 1, candidate.planned.estimate_micros)
            account = purse.account.reserve(pending)
            self._purses[head.tenant] = replace(purse, account=account)
            self._changed[account.path] = account

    def _stepped_down(self, candidate: Candidate, purse: TenantBalance) -> Candidate | None:
        if purse.budget.over != "step-down" or candidate.planned.probe is not None:
            return None
        because = f"budget of {purse.budget}: too little left"
        planned = self.planner.step_down(candidate.head, purse.available_micros, because)
        return None if planned is None else replace(candidate, planned=planned)

    def _tell(self, tenant: str, purse: TenantBalance) -> None:
        """Once a limit."""
        if tenant not in self.documents.over_budget:
            self.documents.over_budget = (*self.documents.over_budget, tenant)
        what = (tenant, purse.account.period, purse.budget.limit_micros)
        if what in self._reported:
            return
        self._reported.add(what)
        self.ports.signals.emit(
            events.BUDGET_USED_UP,
            tenant=tenant,
            period=purse.account.period,
            limit_micros=purse.budget.limit_micros,
            spent_micros=purse.spent_micros,
            over=purse.budget.over,
        )

    async def _read(self, tenants: Sequence[str], now: datetime) -> None:
        documents = await self.ports.store.get_all([tenant_path(tenant) for tenant in tenants])
        limits = {
            tenant: TenantRecord.of(document).budget or self.ports.default_budget
            for tenant, document in zip(tenants, documents, strict=True)
        }
        self._read_tenants |= set(tenants)
        read = await asyncio.gather(*(self._purse(tenant, limit, now) for tenant, limit in limits.items()))
        for tenant, purse in zip(tenants, read, strict=True):
            if purse is None:
                self._purses.pop(tenant, None)
            else:
                self._purses[tenant] = purse

    async def _purse(self, tenant: str, limit: Budget | None, now: datetime) -> TenantBalance | None:
        if limit is None:
            return None
        period = budget.period_of(limit.period, now)
        settled = await budget_reading.read_settled(self.ports.store, tenant, period)
        balance = self._purses.get(tenant)
        before = balance.account if balance is not None and balance.account.period == period else None
        if before is None:
            document = await self.ports.store.get(budget.path(tenant, period))
            self.documents.accounts[document.path] = document
            before = BudgetAccount.from_json(document.data) if isinstance(document, Document) else None
        account = await budget_reading.opened(self.ports.store, tenant, limit, period, before, settled)
        cleared = await orphaned_reservations.clear(self.ports.store, account, now)
        account = cleared.account
        self._rewritten |= set(cleared.rewritten)
        if account != before:
            self._changed[account.path] = account
        return TenantBalance(limit, account, settled)

    async def _wake(self, tenant: str, now: datetime) -> None:
        """As many of those that wait as the money is enough for, in their order, and those to be refused now."""
        purse = self._purses.get(tenant)
        if purse is not None and purse.available_micros <= 0 and purse.budget.over != "refuse":
            return
        documents = await self.ports.store.query(queries.waiting_for(tenant, OVER_BUDGET, PAGE))
        if not documents:
            over = self.documents.over_budget
            self.documents.over_budget = tuple(name for name in over if name != tenant)
            return
        woken = documents
        if purse is not None:
            estimates = [QueuedRow.from_json(document.data).least_estimate_micros for document in documents]
            count = budget.fitting(estimates, purse.available_micros)
            later = zip(documents[count:], estimates[count:], strict=True)
            woken = [*documents[:count], *(document for document, estimate in later if budget.refuses(purse, estimate))]
        await self.dormant.rouse([Head.of(document.id, document.version, document.data) for document in woken], now)


def _is_open(purse: TenantBalance, head: Head) -> bool:
    """Nobody knows yet whether an earlier release of it was handed out."""
    return any(reservation.request_id == head.request_id for reservation in purse.account.pending)


def _by_tenant(candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    """Ids of requests."""
    request_ids: dict[str, list[str]] = {}
    for candidate in candidates:
        request_ids.setdefault(candidate.head.tenant, []).append(candidate.head.request_id)
    return request_ids
