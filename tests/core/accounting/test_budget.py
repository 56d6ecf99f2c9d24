"""A budget's arithmetic: no order of grants, returns, settlements and late reads spends more than the limit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.accounting import budget
from shared.core.accounting.budget import (
    Budget,
    BudgetAccount,
    BudgetDelta,
    Reservation,
    TenantBalance,
    UnconfirmedReservation,
    WorkerTotals,
)
from shared.core.admission.allocation import Shared, admit
from shared.core.admission.model_state import ModelState
from shared.core.lifecycle import head_changes, transitions
from shared.core.limits.quota import Limits
from shared.core.values.documents import Increment
from tests.builders import NOW, a_request_record, candidates

LIMIT = Budget(5_000_000, "day", "queue", NOW)


def a_balance(
    limit: int = 5_000_000,
    *,
    before: int = 0,
    reserved: int = 0,
    returned: int = 0,
    cost: int = 0,
    over: budget.Over = "queue",
) -> TenantBalance:
    account = BudgetAccount("web", "2026-11-22", NOW, before, reserved)
    return TenantBalance(replace(LIMIT, limit_micros=limit, over=over), account, WorkerTotals(returned, cost))


def test_what_is_left_is_the_limit_less_what_is_spent_and_held() -> None:
    balance = a_balance(before=1_000_000, reserved=900_000, returned=300_000, cost=250_000)
    assert (balance.spent_micros, balance.held_micros) == (1_250_000, 600_000)
    assert balance.available_micros == 5_000_000 - 1_250_000 - 600_000


@pytest.mark.parametrize(
    ("name", "now", "period", "days", "ends"),
    [
        ("day", datetime(2026, 11, 22, 23, tzinfo=UTC), "2026-11-22", (22, 22), datetime(2026, 11, 23, tzinfo=UTC)),
        ("month", datetime(2026, 11, 22, tzinfo=UTC), "2026-11", (1, 30), datetime(2026, 12, 1, tzinfo=UTC)),
        ("month", datetime(2028, 2, 29, tzinfo=UTC), "2028-02", (1, 29), datetime(2028, 3, 1, tzinfo=UTC)),
        (
            "day",
            datetime(2026, 11, 22, 20, tzinfo=UTC).astimezone(tz=None),
            "2026-11-22",
            (22, 22),
            datetime(2026, 11, 23, tzinfo=UTC),
        ),
    ],
)
def test_a_period_is_a_day_or_month_of_utc(
    name: budget.PeriodName, now: datetime, period: str, days: tuple[int, int], ends: datetime
) -> None:
    assert budget.period_of(name, now) == period
    first, last = budget.days_of(period)
    assert (first.day, last.day) == days
    assert isinstance(first, date)
    assert budget.ends_at(period) == ends


def test_a_budget_and_its_documents_come_back_as_they_were_written() -> None:
    account = BudgetAccount("web", "2026-11", NOW, 5, 7).reserve(UnconfirmedReservation("r-1", 3, 9))
    assert BudgetAccount.from_json(account.to_json()) == account


# -- what the end of an attempt moves ---------------------------------------------------------------------------------


def amounts(moved: BudgetDelta) -> dict[str, dict[str, int]]:
    return {str(write.also["period"]): dict(write.amounts) for write in moved.writes()}


RESERVED = Reservation("2026-11-22", 100_000)


def test_an_attempt_that_ends_returns_its_reservation_and_adds_its_cost() -> None:
    moved = budget.settle_reservation("web", "r-1", RESERVED, 80_000, may_be_billed=False)
    assert amounts(moved) == {"2026-11-22": {"returned_micros": 100_000, "cost_micros": 80_000}}


def test_one_that_may_have_been_billed_stays_reserved_until_it_is_known() -> None:
    assert amounts(budget.settle_reservation("web", "r-1", RESERVED, 0, may_be_billed=True)) == {}
    settled = amounts(budget.settle_reservation("web", "r-1", RESERVED, 80_000, may_be_billed=False))
    assert settled["2026-11-22"]["returned_micros"] == 100_000


def test_without_a_reservation_nothing_is_written() -> None:
    assert budget.settle_reservation("web", "r-1", None, 80_000, may_be_billed=False).writes() == ()
    assert budget.refund("default", "r-1", None) == ()


def test_a_request_that_will_not_begin_gives_back_all_of_it() -> None:
    [write] = budget.refund("web", "r-1", RESERVED)
    assert isinstance(write, Increment)
    assert write.path in budget.shard_paths("web", "2026-11-22")
    assert write.amounts == {"returned_micros": 100_000, "cost_micros": 0}


def test_two_movements_of_one_commit_are_one_write_a_period() -> None:
    first = budget.settle_reservation("web", "r-1", RESERVED, 80_000, may_be_billed=False)
    other = budget.settle_reservation("web", "r-1", Reservation("2026-11-23", 50_000), 0, may_be_billed=False)
    assert amounts(first.plus(budget.settle_reservation("web", "r-1", RESERVED, 0, may_be_billed=False))) == {
        "2026-11-22": {"returned_micros": 200_000, "cost_micros": 80_000}
    }
    assert set(amounts(first.plus(other))) == {"2026-11-22", "2026-11-23"}
    assert budget.NOTHING_MOVED.plus(other) == other
    paths = [write.path for write in first.plus(other).writes()]
    assert len(paths) == len(set(paths))


def test_every_end_of_a_request_takes_its_reservation_off_it() -> None:
    record = a_request_record(budget=RESERVED.to_json())
    assert transitions.requeued(record, "again", NOW).budget is None
    refusal = budget.refusal("web", a_balance(), 1)
    assert transitions.finished(record, "cancelled", refusal, NOW).budget is None
    assert head_changes.ended("cancelled", refusal, NOW)["budget"] is None


def test_a_refusal_names_what_is_left_what_it_would_take_and_what_to_do() -> None:
    outcome = budget.refusal("web", a_balance(limit=50_000), 100_000)
    assert outcome.code == "budget"
    assert "$0.050000 left ($0.000000 are spent); this takes up to $0.100000" in outcome.message
    assert "renderlane budget web --limit" in outcome.advice


def test_money_that_is_only_held_refuses_nothing() -> None:
    balance = a_balance(limit=150_000, reserved=100_000, over="refuse")
    assert balance.available_micros == 50_000
    assert not budget.refuses(balance, 150_000)
    assert budget.refuses(balance, 150_001)
    assert not budget.refuses(a_balance(limit=0), 1)
    assert "$0.150000 left, $0.100000 of it held" in budget.refusal("web", balance, 160_000).message


def test_as_many_wake_as_the_money_is_enough_for() -> None:
    assert budget.fitting([40, 40, 40], 100) == 2
    assert budget.fitting([40, 40, 40], 39) == 0
    assert budget.fitting([], 100) == 0


# -- admission --------------------------------------------------------------------------------------------------------


def test_a_tick_grants_no_more_than_a_purse_holds_and_passes_the_others_by() -> None:
    web = candidates(20, "web", model="gemini-3-pro-image", tenant="web")
    shop = candidates(3, "shop", model="gemini-3-pro-image", tenant="shop")
    one = web[0].planned.estimate_micros
    admission = admit(
        [*web, *shop],
        {"gemini-3-pro-image": ModelState()},
        {"gemini-3-pro-image": Limits()},
        {"gemini-3-pro-image": 1_000},
        Shared(balances={"web": 7 * one + one // 2}),
        NOW,
    )
    granted = [grant.candidate.head.request_id for grant in admission.grants]
    assert [name for name in granted if name.startswith("web")] == [f"web-{number}" for number in range(7)]
    assert sum(name.startswith("shop") for name in granted) == 3
    assert admission.blocked == {}


# -- no order of events overspends ------------------------------------------------------------------------------------

Step = tuple[str, Any]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("grant"), st.integers(1, 40)),
        st.tuples(st.just("end"), st.integers(0, 100)),
        st.tuples(st.just("time out"), st.booleans()),
        st.tuples(st.just("give back"), st.none()),
        st.tuples(st.just("read"), st.none()),
        st.tuples(st.just("die"), st.none()),
        st.tuples(st.just("next lead"), st.none()),
    ),
    max_size=60,
)


@given(steps, st.integers(0, 100))
def test_whatever_happens_in_whatever_order_no_more_is_billed_than_the_limit(happening: list[Step], limit: int) -> None:
    """The pump reads the shards only when told to, dies between writing and releasing, and the next lead gives
    that back; calls may be billed unseen.
    Costs are at most what was reserved.
    """
    account, worker_totals, true = BudgetAccount("web", "2026-11-22", NOW), WorkerTotals(), WorkerTotals()
    flying: list[int] = []
    billed = number = 0
    for what, value in happening:
        balance = TenantBalance(replace(LIMIT, limit_micros=limit), account, worker_totals)
        match what:
            case "grant" if value <= balance.available_micros:
                number += 1
                account = account.reserve(UnconfirmedReservation(f"r-{number}", 1, value)).handed_out([f"r-{number}"])
                flying.append(value)
            case "die" if balance.available_micros > 0:
                account = account.reserve(UnconfirmedReservation("dead", 1, 1))  # written, and not released
            case "next lead":
                account = account.give_back(["dead"])
            case "end" if flying:
                reserved = flying.pop(0)
                cost = reserved * value // 100
                billed += cost
                true = WorkerTotals(true.returned_micros + reserved, true.cost_micros + cost)
            case "time out" if flying:
                reserved = flying.pop(0)
                billed += reserved if value else 0  # the charge is unknown: it stays reserved
            case "give back" if flying:
                true = replace(true, returned_micros=true.returned_micros + flying.pop(0))
            case "read":
                worker_totals = true
            case _:
                pass
        assert billed + sum(flying) <= limit
    assert TenantBalance(replace(LIMIT, limit_micros=limit), account, true).available_micros >= 0


def test_keeping_accounts_outlasts_the_period_by_more_than_a_year() -> None:
    assert BudgetAccount("web", "2026-11", NOW).to_json()["expire_at"] - NOW > timedelta(days=365)
