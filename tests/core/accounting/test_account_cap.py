"""The billing account's cap: what counts, when somebody is told, and when it will be reached."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from shared.core.accounting.account_cap import (
    UNKNOWN_ACCOUNT,
    Account,
    MonthSpend,
    barred_lanes,
    days_to_read,
    hit_on,
    of_worker,
    step_reached,
    summary,
    with_rows,
)
from shared.core.accounting.ledger import LedgerRow
from tests.builders import a_catalogue, a_ledger_row

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
TIERS = a_catalogue().account.tiers
USD = 1_000_000


def a_row(day: str, micros: int, lane: str = "standard", unknown: int = 0) -> LedgerRow:
    return a_ledger_row(day=day, lane=lane, cost_micros=micros, unknown_held_micros=unknown)


def spent(micros: int, *, unknown: int = 0, warned: int = 0) -> MonthSpend:
    return MonthSpend("2026-11", NOW, {"2026-11-14": micros}, {"2026-11-14": unknown}, warned)


@pytest.mark.parametrize(
    ("tier", "cap", "window", "priority"),
    [("1", 250, 10, False), ("2", 2_000, 50, True), ("3", 20_000, 200, True)],
)
def test_the_catalogue_has_googles_tiers_with_source_and_day(tier: str, cap: int, window: int, priority: bool) -> None:
    row = TIERS[tier]
    assert (row.monthly_cap_micros, row.spend10m_micros, row.priority) == (cap * USD, window * USD, priority)
    assert row.at_least == (tier == "3")
    assert a_catalogue().account.source
    assert a_catalogue().account.checked >= date(2026, 11, 29)


def test_vertex_and_gateways_are_other_accounts_and_unknown_costs_are_counted_beside() -> None:
    rows = [
        a_row("2026-11-14", 3, unknown=5), a_row("2026-11-15", 4, "batch"), a_row("2026-11-15", 50, "vertex"),
        a_row("2026-11-15", 60, "gateway"),
    ]  # fmt: skip
    spend = with_rows(None, rows, date(2026, 11, 1), NOW)
    assert (spend.spent_micros, spend.unknown_micros) == (7, 5)


def test_a_later_look_replaces_the_days_that_may_have_grown_and_keeps_the_others() -> None:
    before = MonthSpend("2026-11", NOW - timedelta(minutes=5), {"2026-11-02": 10, "2026-11-14": 1, "2026-11-15": 1})
    since, until = days_to_read(before, NOW)
    assert (since, until) == (date(2026, 11, 14), date(2026, 11, 15))
    after = with_rows(before, [a_row("2026-11-14", 2), a_row("2026-11-15", 3)], since, NOW)
    assert dict(after.days) == {"2026-11-02": 10, "2026-11-14": 2, "2026-11-15": 3}


def test_after_days_of_silence_all_days_since_are_read() -> None:
    before = MonthSpend("2026-11", NOW - timedelta(days=6))
    assert days_to_read(before, NOW)[0] == date(2026, 11, 8)


def test_a_new_month_begins_with_nothing_and_tells_anew() -> None:
    december = datetime(2026, 12, 1, 0, 3, tzinfo=UTC)
    assert days_to_read(spent(9, warned=100), december) == (date(2026, 12, 1), date(2026, 12, 1))
    after = with_rows(spent(9, warned=100), [a_row("2026-12-01", 1)], date(2026, 12, 1), december)
    assert (after.month, after.spent_micros, after.warned) == ("2026-12", 1, 0)


@pytest.mark.parametrize(
    ("micros", "unknown", "warned", "step"),
    [
        (199 * USD, 0, 0, None),
        (200 * USD, 0, 0, 80),
        (190 * USD, 10 * USD, 0, 80),
        (230 * USD, 0, 80, None),
        (238 * USD, 0, 80, 95),
        (251 * USD, 0, 95, 100),
        (251 * USD, 0, 0, 100),
        (400 * USD, 0, 100, None),
    ],
)
def test_each_step_is_told_once_a_month(micros: int, unknown: int, warned: int, step: int | None) -> None:
    assert step_reached(Account(TIERS["1"]), spent(micros, unknown=unknown, warned=warned)) == step


def test_a_cap_of_ones_own_goes_before_the_tiers_and_none_is_never_reached() -> None:
    assert Account(TIERS["3"], 50_000 * USD).monthly_cap_micros == 50_000 * USD
    assert step_reached(UNKNOWN_ACCOUNT, spent(10**12)) is None
    assert hit_on(UNKNOWN_ACCOUNT, spent(10**12), NOW) is None


def test_the_day_on_which_the_cap_is_reached_follows_from_the_rate_so_far() -> None:
    account = Account(TIERS["1"])
    assert hit_on(account, spent(125 * USD), NOW) == date(2026, 11, 30)  # 14.5 days for half of it
    assert hit_on(account, spent(200 * USD), NOW) == date(2026, 11, 19)
    assert hit_on(account, spent(100 * USD), NOW) is None, "not this month"
    assert hit_on(account, spent(0), NOW) is None


def test_priority_is_barred_only_where_the_tier_is_known_not_to_have_it() -> None:
    rules = a_catalogue().account
    assert barred_lanes(Account(TIERS["1"]), rules, "priority") == {
        "priority": "priority needs tier 2, 3, and RENDERLANE_TIER is 1"
    }
    assert barred_lanes(Account(TIERS["2"]), rules, "priority") == {}
    assert barred_lanes(UNKNOWN_ACCOUNT, rules, "priority") == {}


def test_the_summary_says_none_where_nobody_knows() -> None:
    assert set(summary(UNKNOWN_ACCOUNT, None, NOW).values()) == {None}
    fields = summary(Account(TIERS["1"]), spent(200 * USD), NOW)
    assert (fields["percent"], fields["cap_reached_on"], fields["priority"]) == (80.0, "2026-11-19", False)
    assert summary(Account(TIERS["1"]), spent(1), NOW + timedelta(days=30))["spent_micros"] is None, "of last month"


def test_it_is_stored_and_read_back() -> None:
    spend = spent(5, unknown=6, warned=80)
    assert MonthSpend.from_json(spend.to_json()) == spend


def test_a_shell_without_the_variables_shows_the_account_of_the_running_worker() -> None:
    rules = a_catalogue().account
    of_tier = MonthSpend("2026-11", NOW, tier="2", cap_micros=2_000 * USD)
    assert of_worker(UNKNOWN_ACCOUNT, of_tier, rules) == Account(TIERS["2"])
    by_hand = MonthSpend("2026-11", NOW, tier="3", cap_micros=45_000 * USD)
    assert of_worker(UNKNOWN_ACCOUNT, by_hand, rules) == Account(TIERS["3"], 45_000 * USD)
    own = Account(TIERS["1"])
    assert of_worker(own, of_tier, rules) == own
    assert of_worker(UNKNOWN_ACCOUNT, None, rules) == UNKNOWN_ACCOUNT
