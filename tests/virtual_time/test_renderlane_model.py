"""Our own strategy in virtual time: what a rehearsal may pass over, and what it keeps account of."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from scripts.virtual_time import measures
from scripts.virtual_time.arrivals import Source, backlog
from scripts.virtual_time.models.provider_limits import ProviderTerms
from scripts.virtual_time.models.renderlane_model import PumpModel
from scripts.virtual_time.request import Priority, PublishedRequest
from scripts.virtual_time.run import Rehearsal, Setting, rehearse
from shared.core.limits.quota import Limits
from tests.virtual_time.worlds import MODEL, TEN_SECONDS, a_setting


def of(arrivals: Sequence[PublishedRequest], limits: Limits) -> Setting:
    return replace(
        a_setting(),
        arrivals=lambda chance: arrivals,
        terms={MODEL: ProviderTerms.fixed(limits)},
        limits={MODEL: limits},
        until=200_000.0,
    )


def starts(rehearsal: Rehearsal) -> list[float | None]:
    return [request.began_at for request in rehearsal.requests]


@pytest.mark.parametrize("priority", ["interactive", "normal", "bulk"])
def test_leaping_over_idle_ticks_moves_no_finish_by_more_than_a_tick(priority: Priority) -> None:
    setting = of(backlog(Source("r", MODEL, priority=priority), 50), Limits(rpm=20))
    leaping, walking = (rehearse(setting, PumpModel(leaps=leaps), 1) for leaps in (True, False))
    assert measures.last_start(leaping) == pytest.approx(measures.last_start(walking), abs=1.5)
    assert not measures.unfinished(leaping)


def test_who_arrives_during_a_leap_does_not_wait_for_its_end() -> None:
    late = Source("late", "another", priority="interactive").at([90.0 + number for number in range(20)])
    setting = of([*backlog(Source("r", MODEL), 40), *late], Limits(rpm=20))
    terms = {model: ProviderTerms.fixed(Limits(rpm=20)) for model in (MODEL, "another")}
    rehearsal = rehearse(
        replace(setting, terms=terms, limits=dict.fromkeys(terms, Limits(rpm=20))), PumpModel(leaps=True), 1
    )
    assert measures.wait(rehearsal, 1.0, "interactive") < 3


def test_a_day_that_is_used_up_is_leapt_over_and_accounted_for() -> None:
    strategy = PumpModel(leaps=True)
    rehearsal = rehearse(of(backlog(Source("r", MODEL), 30), Limits(rpm=20, rpd=25)), strategy, 1)
    assert measures.renders(rehearsal) == 30
    assert strategy.blocked_for[MODEL, "day"] == pytest.approx(20 * 3600, rel=0.01)  # from noon UTC to 8 in the morning


def test_what_has_not_begun_by_its_deadline_expires_uncalled() -> None:
    source = Source("r", MODEL, deadline_after=30.0)
    rehearsal = rehearse(of(backlog(source, 30), Limits(rpm=20)), PumpModel(), 1)
    assert (measures.renders(rehearsal), measures.lost(rehearsal), len(rehearsal.calls)) == (20, 10, 20)


def test_a_request_may_bring_its_own_latency_and_estimate() -> None:
    limits = Limits(spend10m_micros=1_000_000)
    one = PublishedRequest("a", 0.0, "t", "normal", MODEL, 200, None, estimate_micros=600_000, latency=TEN_SECONDS)
    rehearsal = rehearse(of([one, replace(one, request_id="b")], limits), PumpModel(), 1)
    begun = sorted(at for at in starts(rehearsal) if at is not None)
    assert begun[1] > 600
    assert rehearsal.ended_at == pytest.approx(begun[1] + 10.0)
