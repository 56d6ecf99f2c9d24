"""An outage of 30 s at four requests a second, against the figures of the best router that was measured."""

from __future__ import annotations

import pytest

from scripts.bench import outage


@pytest.mark.parametrize("seed", [1, 2])
def test_an_outage_costs_fewer_sick_calls_and_keeps_the_primary_away_for_a_shorter_time(seed: int) -> None:
    _, sick, _, worst, primary = outage.GOAL
    measured = outage.run(seed)
    assert measured.sick < sick
    assert measured.worst < worst
    assert measured.primary > primary
    assert measured.p50 < outage.LATENCY.total_seconds() + 0.1, "hardly any request waits for a tick"
    assert measured.lost == 0
