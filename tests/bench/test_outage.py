"""An outage of 30 s at four requests a second: found in about a second, and over soon after it is over."""

from __future__ import annotations

from scripts.bench import outage


def test_an_outage_costs_few_sick_calls_and_keeps_the_primary_away_hardly_longer_than_it_lasts() -> None:
    _, sick, _, worst, _ = outage.GOAL
    measured = outage.run(seed=1)
    assert measured.sick < sick
    assert measured.worst < worst
    assert measured.primary >= 105, "of 120 that arrive while it is well"
    assert measured.p50 < outage.LATENCY.total_seconds() + 0.075, "the model's time, and six exchanges with the store"
    assert measured.lost == 0
