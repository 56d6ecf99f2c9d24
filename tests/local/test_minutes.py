"""The line that a home prints each minute."""

from __future__ import annotations

from datetime import UTC, datetime

from scripts.local.minutes import Minutes
from shared.core.observability import metrics
from shared.core.observability.metrics import Measure

NOW = datetime(2026, 11, 29, 20, 15, tzinfo=UTC)


def ended(status: str, count: int = 1) -> Measure:
    return Measure(metrics.REQUESTS, count, {"status": status, "outcome": "x", "priority": "bulk", "tenant": "web"})


def attempted(outcome: str, micros: int = 0) -> list[Measure]:
    route = {"route": "standard m 1K", "lane": "standard", "model": "m", "size": "1K", "outcome": outcome}
    return [Measure(metrics.RENDERS, 1, route), Measure(metrics.COST, micros, route | {"basis": "metered"})]


def test_a_line_says_what_ended_what_waits_what_failed_and_what_it_cost_and_forgets_it() -> None:
    minutes = Minutes()
    minutes.add([ended("succeeded", 3), ended("failed"), *attempted("overload"), *attempted("succeeded", 134_400)])
    minutes.observe([Measure(metrics.QUEUE_DEPTH, 7, {"priority": "bulk", "model": "m", "tenant": "web"})])
    assert minutes.line(NOW) == (
        "20:15:00  3 succeeded, 1 failed, 7 waiting, 1 attempt failed on standard m: overload, $0.1344"
    )
    minutes.observe([])
    assert minutes.line(NOW) is None


def test_a_quiet_minute_has_no_line() -> None:
    assert Minutes().line(NOW) is None
