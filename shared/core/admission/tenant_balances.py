"""What the budgets of tenants allow in one tick: which requests continue, step down, wait or are refused; and what is
reserved. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.accounting import budget
from shared.core.accounting.budget import BudgetAccount, Reservation, TenantBalance, UnconfirmedReservation
from shared.core.admission.allocation import Candidate
from shared.core.lifecycle.request_record import Head
from shared.core.provider.outcome import Outcome
from shared.core.routing import ladder
from shared.core.routing.context import RoutingContext


class TenantBalances(Struct, frozen=True):
    """The balances of tenants that have a budget. Every change gives a new value."""

    by_tenant: Mapping[str, TenantBalance] = field(default_factory=dict)
    unwritten: Mapping[str, BudgetAccount] = field(default_factory=dict)
    """By path: accounts that differ from their documents and have to be written."""

    @property
    def available(self) -> dict[str, int]:
        """Micro-dollars left, by tenant."""
        return {tenant: balance.available_micros for tenant, balance in self.by_tenant.items()}

    def covers(self, candidate: Candidate) -> bool:
        """Also True if its tenant has no budget."""
        balance = self.by_tenant.get(candidate.head.tenant)
        return balance is None or candidate.planned.estimate_micros <= balance.available_micros

    def reservation(self, candidate: Candidate) -> Reservation | None:
        """What a request carries whose money is reserved; None if its tenant has no budget."""
        balance = self.by_tenant.get(candidate.head.tenant)
        if balance is None:
            return None
        return Reservation(balance.account.period, candidate.planned.estimate_micros)

    def reserve(self, candidate: Candidate) -> TenantBalances:
        """With its estimate reserved, to be written before it is handed out."""
        head = candidate.head
        balance = self.by_tenant.get(head.tenant)
        if balance is None:
            return self
        pending = UnconfirmedReservation(head.request_id, head.release + 1, candidate.planned.estimate_micros)
        account = balance.account.reserve(pending)
        return TenantBalances(
            {**self.by_tenant, head.tenant: replace(balance, account=account)},
            {**self.unwritten, account.path: account},
        )

    def take(self, candidates: Sequence[Candidate]) -> tuple[TenantBalances, tuple[Candidate, ...]]:
        """Reserve for those that the money is enough for, one after the other; these are returned."""
        balances, taken = self, []
        for candidate in candidates:
            if balances.covers(candidate):
                balances = balances.reserve(candidate)
                taken.append(candidate)
        return balances, tuple(taken)

    def handed_out(self, candidates: Sequence[Candidate]) -> TenantBalances:
        """The balances after these requests carry their money themselves. Other reservations stay pending: the next
        reads find out from the request whether a refused commit was ours."""
        request_ids: dict[str, list[str]] = {}
        for candidate in candidates:
            request_ids.setdefault(candidate.head.tenant, []).append(candidate.head.request_id)
        by_tenant = dict(self.by_tenant)
        for tenant, ids in request_ids.items():
            if (balance := by_tenant.get(tenant)) is not None:
                by_tenant[tenant] = replace(balance, account=balance.account.handed_out(ids))
        return replace(self, by_tenant=by_tenant)

    def with_read(
        self, read: Mapping[str, TenantBalance | None], unwritten: Mapping[str, BudgetAccount]
    ) -> TenantBalances:
        """The balances after these were read again; None = the tenant no longer has a budget."""
        by_tenant = dict(self.by_tenant)
        for tenant, balance in read.items():
            if balance is None:
                by_tenant.pop(tenant, None)
            else:
                by_tenant[tenant] = balance
        return TenantBalances(by_tenant, {**self.unwritten, **unwritten})

    def all_written(self) -> TenantBalances:
        return replace(self, unwritten={})


class BudgetVerdict(Struct, frozen=True):
    """What budgets leave of the candidates of one tick."""

    kept: tuple[Candidate, ...]
    """As planned, or stepped down to a cheaper route."""
    refused: tuple[tuple[Head, Outcome], ...]
    waiting: Mapping[str, tuple[Head, ...]]
    """Those that wait for money, by tenant."""
    stale: tuple[Head, ...]
    """Requests to read again: an earlier release of theirs is not accounted for, or was just given up."""
    used_up: tuple[str, ...]
    """Tenants whose money was not enough for a candidate."""


def judge(
    candidates: Sequence[Candidate], balances: TenantBalances, rewritten: frozenset[str], context: RoutingContext
) -> BudgetVerdict:
    """Check each candidate against what its tenant has left. `rewritten`: requests that are of another version than
    their heads."""
    kept: list[Candidate] = []
    refused: list[tuple[Head, Outcome]] = []
    stale: list[Head] = []
    waiting: dict[str, list[Head]] = {}
    used_up: dict[str, None] = {}
    for candidate in candidates:
        head, estimate = candidate.head, candidate.planned.estimate_micros
        balance = balances.by_tenant.get(head.tenant)
        if head.request_id in rewritten or (balance is not None and _is_pending(balance, head)):
            stale.append(head)
        elif balance is None or estimate <= balance.available_micros:
            kept.append(candidate)
        else:
            used_up[head.tenant] = None
            if budget.refuses(balance, estimate):
                refused.append((head, budget.refusal(head.tenant, balance, estimate)))
            elif (lower := _stepped_down(candidate, balance, context)) is not None:
                kept.append(lower)
            else:
                waiting.setdefault(head.tenant, []).append(head)
    return BudgetVerdict(
        tuple(kept),
        tuple(refused),
        {tenant: tuple(heads) for tenant, heads in waiting.items()},
        tuple(stale),
        tuple(used_up),
    )


def _stepped_down(candidate: Candidate, balance: TenantBalance, context: RoutingContext) -> Candidate | None:
    """On the cheapest route, if its tenant wants that and the money is enough for it."""
    if balance.budget.over != "step-down" or candidate.planned.probe is not None:
        return None
    because = f"budget of {balance.budget}: too little left"
    head = candidate.head
    planned = ladder.stepped_down(head.ask, context, head.history, balance.available_micros, because)
    return None if planned is None else replace(candidate, planned=planned)


def _is_pending(balance: TenantBalance, head: Head) -> bool:
    """It is not known yet whether an earlier release of it was handed out."""
    return any(reservation.request_id == head.request_id for reservation in balance.account.pending)
