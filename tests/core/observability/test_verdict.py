"""The verdict cannot lie: each state that needs somebody has a finding, and none hides another."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from shared.core.accounting import traffic
from shared.core.accounting.ledger import LedgerRow
from shared.core.conclusions.claims import Claim
from shared.core.conclusions.conclusion import Conclusion
from shared.core.observability.meter import Meter
from shared.core.observability.status_summary import BudgetStatus, QueueDepth, Spent, Summary, Waiting
from shared.core.observability.verdict import GRAVEST, STALE_AFTER, Scene, State, verdict
from shared.core.observability.workers import Fleet
from shared.core.routing.flag import BREAKER, Flag, Scope
from tests.builders import NOW, a_ledger_row

PRO, NB21 = "gemini-3-pro-image", "gemini-nano-banana-2.1"
TODAY = NOW.date().isoformat()


def metered(*rows: LedgerRow) -> Meter:
    begun = Meter().read({TODAY: []}, NOW - timedelta(seconds=20))
    return begun.read({TODAY: list(rows)}, NOW - timedelta(seconds=5))


def calls(model: str, attempts: int, images: int, **failed: int) -> LedgerRow:
    kinds = {traffic.failed(kind): count for kind, count in failed.items()}
    return a_ledger_row(model=model, attempts=attempts, images=images, **kinds)


def a_summary(waiting: int = 0, *, running: int = 0, minutes: float = 0.5, **more: Any) -> Summary:
    oldest = NOW - timedelta(minutes=minutes)
    depths = (QueueDepth("normal", waiting, oldest if waiting else None),)
    groups = (Waiting(PRO, "normal", "web", waiting, oldest),) if waiting else ()
    fields: dict[str, Any] = {"at": NOW - timedelta(seconds=4), "busy_at": NOW}
    return Summary(**{**fields, "depths": depths, "waiting": groups, "running_count": running, **more})


def a_scene(summary: Summary | None = None, **more: Any) -> Scene:
    return Scene(**{"now": NOW, "summary": summary or a_summary(), "fleet": Fleet(NOW, leader="boot-1"), **more})


def a_pause(**scope: Any) -> Flag:
    return Flag("pause-1a2b", "pause", "ann", "the lamp burns", NOW, NOW + timedelta(hours=1), scope=Scope(**scope))


def a_breaker() -> Flag:
    why, until = f"standard/{PRO}: overload, 5 of 5 calls in 10 s", NOW + timedelta(hours=1)
    return Flag("breaker-1", "use-nano-banana-2", BREAKER, why, NOW, until, scope=Scope(model=PRO, lane="standard"))


def why(reason: str, until: datetime | None = None, **tenants: dict[str, str]) -> dict[str, Any]:
    return {"reason": reason, "until": until, "why": "", "tenants": tenants}


def spent(waiting: int, spent_micros: int = 3_000_000) -> Spent:
    budget = BudgetStatus("press", "month", "queue", 3_000_000, spent_micros, 0, waiting)
    return Spent(NOW, TODAY, spent_micros, 0, 0, {}, True, (budget,))


OUTAGE = metered(calls(PRO, 12, 0, connection=12), calls(NB21, 4, 0, connection=4))
ONE_DOWN = metered(calls(PRO, 20, 2, overload=18), calls(NB21, 30, 30))
SCENES: dict[State, Scene] = {
    "idle": a_scene(),
    "busy": a_scene(a_summary(40, running=6, meter=metered(calls(PRO, 60, 60)))),
    "short of quota": a_scene(a_summary(300, minutes=20), reasons={PRO: why("minute")}),
    "one route failing": a_scene(a_summary(5, meter=ONE_DOWN), flags=(a_breaker(),)),
    "all failing": a_scene(a_summary(20, meter=OUTAGE)),
    "paused": a_scene(a_summary(42), flags=(a_pause(),)),
    "budget gone": a_scene(a_summary(46, spent=spent(46))),
    "worker gone": a_scene(a_summary(12, at=NOW - timedelta(minutes=9))),
}


@pytest.mark.parametrize("state", SCENES)
def test_each_state_is_named_with_a_next_step(state: State) -> None:
    result = verdict(SCENES[state])
    assert result.first.state == state
    assert result.first.next_step
    assert (result.level == "green") == (state in ("idle", "busy"))
    assert result.first.title
    assert set(SCENES) == set(GRAVEST)


def test_an_outage_says_how_many_calls_fail_of_what_kind_since_when_and_what_the_worker_does() -> None:
    first = verdict(SCENES["all failing"]).first
    assert first.title == "Every call fails: connection"
    assert "16 of 16 calls failed in 5 min since 11:59 UTC" in first.detail
    assert f"standard/{PRO}" in first.detail
    assert "The worker retries each request" in first.detail
    assert first.heading == "connection"
    assert "base URL" in first.next_step


def test_a_failing_route_with_an_open_breaker_is_one_finding_not_two() -> None:
    result = verdict(SCENES["one route failing"])
    assert [one.state for one in result.findings] == ["one route failing"]
    assert "18 of 20 calls (90 %) failed" in result.first.detail
    assert "keeps requests off this route" in result.first.detail


def test_a_business_limit_is_amber_and_an_outage_beside_it_stays_on_top() -> None:
    alone = verdict(SCENES["budget gone"])
    assert alone.level == "amber"
    both = verdict(a_scene(a_summary(46, spent=spent(46), meter=OUTAGE), flags=(a_pause(tenant="press"),)))
    assert both.level == "red"
    assert [one.state for one in both.findings] == ["all failing", "paused", "budget gone"]


def test_a_pause_of_one_tenant_does_not_hide_that_others_have_no_route() -> None:
    reasons = {
        PRO: {**why("no route", press={"reason": "paused", "why": "p"}, web={"reason": "no route", "why": "breaker"})}
    }
    result = verdict(a_scene(a_summary(30), reasons=reasons, flags=(a_pause(tenant="press"),)))
    assert [one.state for one in result.findings] == ["one route failing", "paused"]
    assert result.first.heading == "no-route"


def test_a_rejected_key_is_red_and_a_used_up_day_is_short_of_quota() -> None:
    def concluded(claim: Claim) -> Scene:
        one = Conclusion(claim, PRO, NOW, 1, timedelta(seconds=5), NOW + timedelta(seconds=5))
        return a_scene(a_summary(9), conclusions={one.id: one})

    key, day = verdict(concluded(Claim.CREDENTIAL)), verdict(concluded(Claim.QUOTA_DAY))
    assert (key.first.state, key.level, key.first.heading) == ("all failing", "red", "credential")
    assert (day.first.state, day.level) == ("short of quota", "amber")


def test_failures_for_quota_are_no_outage() -> None:
    result = verdict(a_scene(a_summary(3, meter=metered(calls(PRO, 9, 1, quota_minute=8)))))
    assert (result.first.state, result.level) == ("short of quota", "amber")


def test_a_queue_that_moves_is_busy_and_one_that_drags_is_short() -> None:
    reasons = {PRO: why("pace")}
    moves = a_scene(a_summary(30, meter=metered(calls(PRO, 50, 50))), reasons=reasons)
    assert verdict(moves).first.state == "busy"
    drags = a_scene(a_summary(300, minutes=1, meter=metered(calls(PRO, 50, 50))), reasons=reasons)
    assert verdict(drags).first.state == "short of quota"
    assert "to empty" in verdict(drags).first.detail


def test_a_limit_of_zero_is_red() -> None:
    result = verdict(a_scene(a_summary(5), reasons={PRO: why("zero")}))
    assert (result.level, result.first.heading) == ("red", "no-balance")


def test_requests_that_nobody_comes_for_are_seen_though_the_figures_are_fresh() -> None:
    result = verdict(a_scene(a_summary(5, minutes=3), fleet=Fleet(NOW)))
    assert (result.first.state, result.level) == ("worker gone", "red")
    assert verdict(a_scene(a_summary(5, minutes=3), fleet=Fleet(NOW), flags=(a_pause(),))).first.state == "paused"
    assert verdict(a_scene(a_summary(5, minutes=1), fleet=Fleet(NOW))).first.state == "busy"


def test_a_worker_that_is_known_to_be_stopped_is_never_called_idle() -> None:
    """The figures are fresh still: it stopped a moment ago."""
    stopped = verdict(replace(a_scene(a_summary()), is_stopped=True))
    assert (stopped.first.state, stopped.first.title, stopped.level) == ("worker gone", "No worker is running", "amber")
    left = verdict(replace(a_scene(a_summary(5)), is_stopped=True))
    assert (left.first.state, left.level) == ("worker gone", "red")
    assert "5 requests waited" in left.first.detail


def test_figures_are_old_a_moment_after_they_should_have_been_written() -> None:
    fresh = a_scene(a_summary(at=NOW - STALE_AFTER))
    assert verdict(fresh).level == "green"
    assert verdict(a_scene(a_summary(at=NOW - STALE_AFTER - timedelta(seconds=1)))).first.state == "worker gone"


def test_a_store_in_which_nothing_was_counted_is_not_called_well() -> None:
    result = verdict(Scene(NOW, None, Fleet(NOW)))
    assert (result.first.state, result.level) == ("worker gone", "amber")
    assert "renderlane up" in result.first.next_step


def test_a_dry_run_pauses_nothing() -> None:
    shadow = Flag("pause-1", "pause", "ann", "a try", NOW, NOW + timedelta(hours=1), shadow=True)
    assert verdict(a_scene(flags=(shadow,))).first.state == "idle"
