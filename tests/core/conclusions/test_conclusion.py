"""No request speaks for everybody: what is concluded from which failures, what contradicts it, and how it is probed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.core.conclusions.claims import (
    CLAIM_OF,
    POLICIES,
    Claim,
    claim_id,
    conclusion_id,
    contradicted_by,
    parted,
    subject,
)
from shared.core.conclusions.conclusion import PROBE_ANSWERS_WITHIN, Conclusions, asks_best, judge
from shared.core.conclusions.evidence import NOTHING_HEARD, Heard, Voice, short, summed
from shared.core.provider.failure import FailureKind
from shared.core.times.pacific import next_pacific_midnight
from shared.core.values.route import Route
from tests.builders import NOW

PRO = "gemini-3-pro-image"
ROUTE = Route("standard", PRO, "1K")
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
CLAIMS = list(Claim)


def the_id(claim: Claim, route: Route = ROUTE) -> str:
    return conclusion_id(claim, subject(claim, route))


def failing(*seconds_ago: float, explicit: bool = False, now: datetime = NOW, prefix: str = "r") -> Heard:
    """One distinct request for each."""
    heard = NOTHING_HEARD
    for number, ago in enumerate(seconds_ago):
        at = int((now - ago * SECOND).timestamp())
        heard = heard.with_failure(short(f"{prefix}-{number}"), Voice(at, short("web"), explicit), now)
    return heard


def began(*seconds_ago: float, now: datetime = NOW, circuit: str = ROUTE.circuit) -> dict[str, dict[int, int]]:
    """Calls that began then."""
    starts: dict[int, int] = {}
    for ago in seconds_ago:
        second = int((now - ago * SECOND).timestamp())
        starts[second] = starts.get(second, 0) + 1
    return {circuit: starts}


def concluded(
    claim: Claim, heard: Heard, starts: Mapping[str, Mapping[int, int]] | None = None, now: datetime = NOW,
    before: Conclusions | None = None, **more: object,
) -> Conclusions:  # fmt: skip
    return judge(before or Conclusions(), {the_id(claim): heard}, starts or {}, now, **more)  # type: ignore[arg-type]


def enough(claim: Claim, ago: float = 5) -> Heard:
    return failing(*[ago] * POLICIES[claim].requests)


# -- what concludes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", CLAIMS)
def test_so_many_distinct_requests_conclude_and_one_fewer_does_not(claim: Claim) -> None:
    needed = POLICIES[claim].requests
    assert set(concluded(claim, failing(*[5] * needed)).reached) == {the_id(claim)}
    assert concluded(claim, failing(*[5] * (needed - 1))).reached == {}


@pytest.mark.parametrize("claim", CLAIMS)
def test_one_request_that_fails_again_and_again_is_one_voice(claim: Claim) -> None:
    heard = NOTHING_HEARD
    for ago in range(60, 3, -3):
        voice = Voice(int((NOW - ago * SECOND).timestamp()), short("web"), explicit=False)
        heard = heard.with_failure(short("bad"), voice, NOW)
    assert concluded(claim, heard).reached == {}
    assert len(heard.voices) == 1


@pytest.mark.parametrize("claim", CLAIMS)
def test_one_plain_statement_in_a_lull_closes_a_pool_and_never_strikes_a_route(claim: Claim) -> None:
    conclusions = concluded(claim, failing(1, explicit=True)).reached
    assert bool(conclusions) == POLICIES[claim].statement
    for conclusion in conclusions.values():
        assert conclusion.next_probe_at == NOW, "it is asked about at once"


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_statement_stops_what_goes_well(claim: Claim) -> None:
    """Calls of the last while have not failed: they are made, or about to be."""
    assert concluded(claim, failing(1, explicit=True), began(20, 18, 12, 9, 5, 1)).reached == {}


@pytest.mark.parametrize("claim", CLAIMS)
def test_several_poisoned_requests_among_many_that_have_not_failed_conclude_nothing(claim: Claim) -> None:
    starts = began(*[number / 10 for number in range(20, 100)])
    poisoned = failing(*[4] * POLICIES[claim].requests, explicit=True)
    assert concluded(claim, poisoned, starts).reached == {}


@pytest.mark.parametrize("claim", CLAIMS)
def test_where_all_that_begins_fails_it_is_concluded_in_full_traffic_too(claim: Claim) -> None:
    """Everything was well until six seconds ago; a rejection takes a second to be known."""
    before, since = [number / 10 for number in range(60, 300)], [number / 10 for number in range(15, 60)]
    heard = failing(*[value for value in since if value > 2])
    assert set(concluded(claim, heard, began(*before, *since)).reached) == {the_id(claim)}


# -- what contradicts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize(("success_ago", "stands"), [(6, True), (5, False), (4, False)])
def test_a_success_since_the_first_failure_or_in_its_second_keeps_it_from_being_concluded(
    claim: Claim, success_ago: int, *, stands: bool
) -> None:
    heard = enough(claim, ago=5).with_success(NOW - success_ago * SECOND)
    assert bool(concluded(claim, heard).reached) == stands


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_success_clears_a_conclusion_at_once_and_the_same_voices_do_not_speak_again(claim: Claim) -> None:
    conclusions = concluded(claim, enough(claim))
    well = enough(claim).with_success(NOW)
    cleared = concluded(claim, well, now=NOW + SECOND, before=conclusions)
    assert cleared.reached == {}
    again = well
    for number in range(POLICIES[claim].requests):
        voice = Voice(int((NOW + 5 * SECOND).timestamp()), short("web"), explicit=True)
        again = again.with_failure(short(f"r-{number}"), voice, NOW)
    assert concluded(claim, again, now=NOW + 20 * SECOND, before=cleared).reached == {}


@pytest.mark.parametrize("claim", CLAIMS)
def test_successes_and_failures_of_one_second_in_any_order_conclude_nothing(claim: Claim) -> None:
    for first in (True, False):
        heard = Heard().with_success(NOW - 5 * SECOND) if first else Heard()
        for number in range(8):
            voice = Voice(int((NOW - 5 * SECOND).timestamp()), short("web"), explicit=True)
            heard = heard.with_failure(short(f"r-{number}"), voice, NOW)
        heard = heard if first else heard.with_success(NOW - 5 * SECOND)
        assert concluded(claim, heard).reached == {}


@pytest.mark.parametrize("claim", CLAIMS)
def test_an_older_success_that_comes_in_late_leaves_what_failed_since(claim: Claim) -> None:
    needed = POLICIES[claim].requests
    conclusions = concluded(claim, failing(8, *[4] * needed))
    late = failing(8, *[4] * needed).with_success(NOW - 6 * SECOND)
    assert the_id(claim) in concluded(claim, late, before=conclusions, now=NOW + SECOND).reached


@pytest.mark.parametrize("claim", CLAIMS)
def test_on_call_resets_it_and_only_new_failures_count(claim: Claim) -> None:
    conclusions = concluded(claim, enough(claim))
    resets = {the_id(claim): NOW + SECOND}
    cleared = concluded(claim, enough(claim), before=conclusions, now=NOW + 2 * SECOND, resets=resets)
    assert cleared.reached == {}
    later = NOW + MINUTE
    again = summed([enough(claim), failing(*[5] * POLICIES[claim].requests, now=later, prefix="new")], later)
    assert the_id(claim) in concluded(claim, again, before=cleared, now=later, resets=resets).reached


def test_a_used_up_day_is_over_at_midnight_in_los_angeles() -> None:
    claim = Claim.QUOTA_DAY
    conclusions = concluded(claim, enough(claim))
    midnight = next_pacific_midnight(NOW)
    assert concluded(claim, NOTHING_HEARD, before=conclusions, now=midnight - SECOND).reached
    assert concluded(claim, NOTHING_HEARD, before=conclusions, now=midnight).reached == {}


# -- how it is probed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", CLAIMS)
def test_probes_come_five_seconds_apart_at_first_then_ever_more_seldom_and_never_a_day(claim: Claim) -> None:
    conclusions, heard, now, gaps = concluded(claim, enough(claim)), enough(claim), NOW, []
    for number in range(14):
        (conclusion,) = conclusions.reached.values()
        assert conclusions.due(conclusion.next_probe_at)
        assert not conclusions.due(conclusion.next_probe_at - SECOND)
        gaps.append((conclusion.next_probe_at - now).total_seconds())
        now = conclusion.next_probe_at
        conclusions = conclusions.probed(conclusion.id, now)
        assert conclusions.due(now + SECOND) == (), "one at a time"
        voice = Voice(int(now.timestamp()), short("web"), explicit=False)
        heard = heard.with_failure(short(f"probe-{number}"), voice, now)
        conclusions = concluded(claim, heard, before=conclusions, now=now)
    longest = POLICIES[claim].longest.total_seconds()
    assert gaps[:5] == [5, 10, 20, 40, 80]
    assert gaps == sorted(gaps)
    assert gaps[-1] == longest <= 1800


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_probe_that_is_lost_or_says_nothing_of_it_lets_another_go(claim: Claim) -> None:
    conclusions = concluded(claim, enough(claim))
    (conclusion,) = conclusions.reached.values()
    at = conclusion.next_probe_at
    out = conclusions.probed(conclusion.id, at)
    lost = concluded(claim, enough(claim), before=out, now=at + PROBE_ANSWERS_WITHIN)
    assert lost.due(at + PROBE_ANSWERS_WITHIN)
    vain = concluded(claim, enough(claim).with_vain_probe(at), before=out, now=at + SECOND)
    assert vain.due(at + SECOND)
    assert next(iter(vain.reached.values())).interval == conclusion.interval


def test_a_gateways_row_in_the_catalogue_says_the_longest_time_between_probes() -> None:
    route = Route("gateway", PRO, "1K")
    conclusions, now = Conclusions(), NOW
    name = conclusion_id(Claim.BALANCE, route.pool)
    heard = failing(1, explicit=True)
    for number in range(9):
        conclusions = judge(conclusions, {name: heard}, {}, now, longest={route.pool: MINUTE})
        conclusions = conclusions.probed(name, max(conclusions.reached[name].next_probe_at, now))
        now = conclusions.reached[name].probed_at or now
        voice = Voice(int(now.timestamp()), short("web"), explicit=True)
        heard = heard.with_failure(short(f"p-{number}"), voice, now)
    conclusions = judge(conclusions, {name: heard}, {}, now, longest={route.pool: MINUTE})
    assert conclusions.reached[name].next_probe_at - now == MINUTE


def test_who_asks_is_not_who_said_so_and_best_another_tenant() -> None:
    voices = {short("bad"): Voice(1, short("a"), explicit=False)}
    answers = [asks_best(voices, short(request), short(tenant)) for request, tenant in
             (("good", "b"), ("good", "a"), ("bad", "a"))]  # fmt: skip
    assert answers == [0, 1, 2]


def test_a_lone_request_that_is_turned_away_again_and_again_is_worth_a_word_and_no_conclusion() -> None:
    heard = NOTHING_HEARD
    for ago in (40, 30, 10):
        voice = Voice(int((NOW - ago * SECOND).timestamp()), short("web"), explicit=False)
        heard = heard.with_failure(short("lone"), voice, NOW)
    conclusions = concluded(Claim.CREDENTIAL, heard)
    name = the_id(Claim.CREDENTIAL)
    assert conclusions.reached == {}
    assert conclusions.suspected({name: heard}, {}, NOW) == (name,)
    assert conclusions.suspected({name: heard}, began(20, 12, 9, 8), NOW) == (), "others are made"


# -- what it is about -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_failure_claims_one_thing_or_nothing(kind: FailureKind) -> None:
    name = claim_id(kind, ROUTE)
    assert (name is not None) == (kind in CLAIM_OF)
    if name is not None:
        assert parted(name)[0] is CLAIM_OF[kind]
        assert name in contradicted_by(ROUTE)


def test_a_gateways_word_counts_for_the_gateway_alone() -> None:
    gateway = Route("gateway", PRO, "1K")
    assert not set(contradicted_by(gateway)) & set(contradicted_by(ROUTE))
    assert claim_id(FailureKind.MODEL_GONE, gateway) == f"model_gone:gateway/{PRO}"
    assert claim_id(FailureKind.MODEL_GONE, ROUTE) == f"model_gone:*/{PRO}"


def test_a_refusal_shows_that_the_key_works_and_not_that_pictures_come() -> None:
    refused = contradicted_by(ROUTE, FailureKind.REFUSED)
    assert the_id(Claim.CREDENTIAL) in refused
    assert the_id(Claim.PAID_NOTHING) not in refused
    assert contradicted_by(ROUTE, FailureKind.INVALID_REQUEST) == ()


def test_starts_in_any_lane_of_googles_count_for_a_model_and_those_of_a_gateway_do_not() -> None:
    claim = Claim.MODEL_GONE
    well = [number / 10 for number in range(20, 100)]
    for circuit, stays in ((f"flex/{PRO}", True), (f"gateway/{PRO}", False), ("standard/other", False)):
        assert (concluded(claim, enough(claim), began(*well, circuit=circuit)).reached == {}) == stays


# -- documents --------------------------------------------------------------------------------------------------------


calls = st.tuples(st.integers(0, 9), st.integers(0, 60), st.booleans(), st.booleans())


@given(st.lists(st.lists(calls, max_size=12), max_size=4), st.sampled_from(CLAIMS))
@example(
    [[(0, 0, False, False)], [(number, 0, False, False) for number in (1, 6, 7)],
     [(0, 1, False, False), *((number, 0, False, False) for number in (2, 3, 4, 5, 8))]],
    Claim.MODEL_GONE,
)  # fmt: skip
def test_the_same_evidence_again_in_any_order_changes_nothing(
    reports: list[list[tuple[int, int, bool, bool]]], claim: Claim
) -> None:
    heard = []
    for report in reports:
        one = NOTHING_HEARD
        for request, ago, is_well, explicit in report:
            at = NOW - ago * SECOND
            voice = Voice(int(at.timestamp()), short("web"), explicit)
            one = one.with_success(at) if is_well else one.with_failure(short(f"r-{request}"), voice, NOW)
        heard.append(Heard.from_json(one.to_json()))
    total = summed(heard, NOW)
    assert summed(reversed(heard), NOW).voices == total.voices
    once = concluded(claim, total)
    assert Conclusions.from_json(once.to_json()) == once
    assert concluded(claim, total, before=once) == once
    worst = [pair for report in reports for pair in report]
    if once.reached:
        last_well = max((NOW - ago * SECOND for _, ago, is_well, _ in worst if is_well), default=None)
        bad = {request for request, ago, is_well, _ in worst
               if not is_well and (last_well is None or NOW - ago * SECOND > last_well)}  # fmt: skip
        assert len(bad) >= next(iter(once.reached.values())).needs
