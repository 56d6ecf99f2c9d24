"""An outage of 30 s at four requests a second: found in about a second, and over soon after it is over."""

from __future__ import annotations

from scripts.bench import outage


def test_an_outage_costs_few_sick_calls_and_keeps_the_primary_away_hardly_longer_than_it_lasts() -> None:
    _, sick, _, _, _ = outage.GOAL
    measured = outage.run(seed=1)
    assert measured.sick < sick
    assert measured.worst < 9.4, "as before"
    assert measured.primary >= 105, "of 120 that arrive while it is well"
    assert measured.p50 < outage.LATENCY.total_seconds() + 0.1, "hardly any request waits for a tick"
    assert measured.lost == 0
