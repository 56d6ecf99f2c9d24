"""What budgets allow in one tick: who goes on, steps down, waits, is refused, and what is reserved."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from shared.core.accounting.budget import (
    Budget,
    BudgetAccount,
    Over,
    TenantBalance,
    UnconfirmedReservation,
    WorkerTotals,
)
from shared.core.admission.allocation import Candidate
from shared.core.admission.tenant_balances import TenantBalances, judge
from shared.core.provider.outcome_code import PlainEnd
from shared.core.routing.context import RoutingContext
from shared.core.values.lanes import BUILT
from tests.builders import NOW, a_candidate, a_catalogue

CONTEXT = RoutingContext(a_catalogue(), BUILT)
ESTIMATE = a_candidate().planned.estimate_micros
NOBODY: frozenset[str] = frozenset()


def a_balance(limit: int, over: Over = "queue", *, reserved: int = 0, pending: str = "") -> TenantBalance:
    open_still = (UnconfirmedReservation(pending, 1, reserved),) if pending else ()
    account = BudgetAccount("default", "2026-11-22", NOW, reserved_micros=reserved, pending=open_still)
    return TenantBalance(Budget(limit, "day", over, NOW), account, WorkerTotals())


def of_default(balance: TenantBalance) -> TenantBalances:
    return TenantBalances({"default": balance})


def ids(candidates: tuple[Candidate, ...]) -> list[str]:
    return [candidate.head.request_id for candidate in candidates]


# -- who goes on ------------------------------------------------------------------------------------------------------


def test_a_tenant_without_a_budget_is_never_held_up() -> None:
    candidate = a_candidate(tenant="another")
    verdict = judge([candidate], of_default(a_balance(0)), NOBODY, CONTEXT)
    assert (verdict.kept, verdict.used_up) == ((candidate,), ())
    assert TenantBalances().covers(candidate)
    assert TenantBalances().reservation(candidate) is None
    assert TenantBalances().reserve(candidate) == TenantBalances()


def test_the_money_that_is_just_enough_is_enough() -> None:
    candidate = a_candidate()
    assert judge([candidate], of_default(a_balance(ESTIMATE)), NOBODY, CONTEXT).kept == (candidate,)
    verdict = judge([candidate], of_default(a_balance(ESTIMATE - 1)), NOBODY, CONTEXT)
    assert verdict.kept == ()
    assert verdict.waiting == {"default": (candidate.head,)}
    assert verdict.used_up == ("default",)


def test_what_no_money_can_come_back_for_is_refused_and_what_is_held_is_waited_for() -> None:
    candidate = a_candidate()
    verdict = judge([candidate], of_default(a_balance(ESTIMATE - 1, "refuse")), NOBODY, CONTEXT)
    ((head, outcome),) = verdict.refused
    assert (head, outcome.code) == (candidate.head, PlainEnd.BUDGET)
    verdict = judge([candidate], of_default(a_balance(ESTIMATE, "refuse", reserved=1)), NOBODY, CONTEXT)
    assert verdict.refused == ()
    assert verdict.waiting == {"default": (candidate.head,)}


def test_a_cheaper_route_is_taken_where_the_tenant_wants_that_and_no_probe_depends_on_it() -> None:
    candidate = a_candidate()
    balances = of_default(a_balance(ESTIMATE - 1, "step-down"))
    (lower,) = judge([candidate], balances, NOBODY, CONTEXT).kept
    assert lower.head == candidate.head
    assert lower.planned.estimate_micros < ESTIMATE
    assert lower.planned.reasons
    probe = replace(candidate, planned=replace(candidate.planned, probe="standard/gemini-3-pro-image"))
    assert judge([probe], balances, NOBODY, CONTEXT).waiting == {"default": (candidate.head,)}


@pytest.mark.parametrize(
    ("balance", "rewritten"),
    [(a_balance(10**9, reserved=5, pending="r-1"), NOBODY), (a_balance(10**9), frozenset({"r-1"}))],
    ids=["its reservation is not confirmed", "it was written since"],
)
def test_a_request_that_is_not_what_its_head_says_is_read_again(
    balance: TenantBalance, rewritten: frozenset[str]
) -> None:
    first, second = a_candidate("r-1"), a_candidate("r-2")
    verdict = judge([first, second], of_default(balance), rewritten, CONTEXT)
    assert verdict.stale == (first.head,)
    assert verdict.kept == (second,)


# -- what is reserved -------------------------------------------------------------------------------------------------


def test_those_that_go_by_batch_take_the_money_one_after_the_other() -> None:
    candidates = [a_candidate(f"r-{number}") for number in range(3)]
    before = of_default(a_balance(2 * ESTIMATE + 1))
    after, taken = before.take(candidates)
    assert ids(taken) == ["r-0", "r-1"]
    assert after.available == {"default": 1}
    account = after.by_tenant["default"].account
    assert after.unwritten == {account.path: account}
    assert [(item.request_id, item.micros) for item in account.pending] == [("r-0", ESTIMATE), ("r-1", ESTIMATE)]
    assert before.available == {"default": 2 * ESTIMATE + 1}, "the value before is as it was"


def test_a_reservation_is_of_the_period_and_of_the_next_release() -> None:
    candidate = a_candidate("r-1")
    balances = of_default(a_balance(10**9))
    reservation = balances.reservation(candidate)
    assert reservation is not None
    assert (reservation.period, reservation.micros) == ("2026-11-22", ESTIMATE)
    (pending,) = balances.reserve(candidate).by_tenant["default"].account.pending
    assert pending.release == candidate.head.release + 1


def test_what_is_handed_out_is_pending_no_more_and_stays_reserved() -> None:
    first, second = a_candidate("r-1"), a_candidate("r-2")
    balances = of_default(a_balance(10**9)).reserve(first).reserve(second).all_written()
    after = balances.handed_out([first])
    account = after.by_tenant["default"].account
    assert [item.request_id for item in account.pending] == ["r-2"]
    assert account.reserved_micros == 2 * ESTIMATE
    assert after.unwritten == {}, "the next reading of the account writes it"
    assert balances.handed_out([a_candidate(tenant="another")]) == balances


def test_a_tenant_whose_budget_was_removed_has_no_balance() -> None:
    other = a_balance(7)
    after = of_default(a_balance(5)).with_read({"default": None, "web": other, "shop": None}, {})
    assert after.by_tenant == {"web": other}
    assert after.unwritten == {}
    changed = after.with_read({}, {other.account.path: other.account})
    assert changed.unwritten == {other.account.path: other.account}
    assert changed.all_written() == after
