"""The usual strategies do what their users have them do."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from google.genai import _api_client
from google.genai._gaos import google_genai
from google.genai._gaos.utils import retries
from msgspec.structs import replace

from scripts.virtual_time import measures
from scripts.virtual_time.baseline_strategies import USUAL, GoogleGenai, RetryAfter, full_jitter
from scripts.virtual_time.models.fleet_model import FleetSize
from scripts.virtual_time.models.provider_limits import ProviderTerms
from scripts.virtual_time.models.provider_reply import OVERLOADED, UNEXPLAINED, DayFull, ImageReply, MinuteFull
from scripts.virtual_time.run import Rehearsal, rehearse
from shared.core.limits.quota import Limits
from tests.virtual_time.worlds import MODEL, a_setting

FULL = MinuteFull("GenerateRequestsPerMinutePerProjectPerModel", 60, 45.8)
ALL = pytest.mark.parametrize("name", list(USUAL))


def played(name: str, seed: int = 1, rpm: int = 60, count: int = 300) -> Rehearsal:
    return rehearse(a_setting(count, rpm=rpm, instances=4), USUAL[name](), seed)


def test_the_sdks_figures_are_those_of_the_installed_package() -> None:
    assert GoogleGenai.ATTEMPTS == _api_client._RETRY_ATTEMPTS
    assert GoogleGenai.FIRST * 1000 == google_genai._DEFAULT_INITIAL_INTERVAL_MS
    assert google_genai._DEFAULT_EXPONENT == GoogleGenai.BASE
    assert GoogleGenai.LONGEST * 1000 == google_genai._DEFAULT_MAX_INTERVAL_MS


def test_the_sdks_waits_lie_where_its_own_function_draws_them() -> None:
    chance = Random(1)
    for calls in range(1, 5):
        ours = [GoogleGenai().wait(calls, FULL, chance) or 0.0 for _ in range(300)]
        theirs = [
            retries._get_sleep_interval(ValueError(), 500, 8000, 2, calls - 1, attempt_count_backoff=True)
            for _ in range(300)
        ]
        assert (min(ours), max(ours)) == pytest.approx((min(theirs), max(theirs)), rel=0.02)


def test_the_sdk_gives_up_after_five_attempts() -> None:
    assert GoogleGenai().wait(5, FULL, Random(1)) is None


def test_full_jitter_waits_within_its_exponential_and_gives_up_after_ten() -> None:
    policy, chance = full_jitter(), Random(1)
    waits = [[policy.wait(calls, FULL, chance) or 0.0 for _ in range(300)] for calls in range(1, 10)]
    assert all(max(wait) <= min(2**number, 60) for number, wait in enumerate(waits))
    assert max(waits[8]) > 50
    assert policy.wait(10, FULL, chance) is None


def test_retry_after_never_calls_before_it_was_told_to() -> None:
    policy, chance = RetryAfter(), Random(1)
    day = DayFull("GenerateRequestsPerDayPerProjectPerModel", 100, 0.856)
    for calls in (1, 5, 50):
        assert (policy.wait(calls, FULL, chance) or 0) >= 45.8
        assert (policy.wait(calls, day, chance) or 0) >= 0.856
        assert 0 <= (policy.wait(calls, UNEXPLAINED, chance) or 0) <= 60
        assert policy.wait(calls, OVERLOADED, chance) is not None


@ALL
def test_the_same_seed_gives_the_same_rehearsal(name: str) -> None:
    first, second = played(name, seed=3), played(name, seed=3)
    assert first.calls == second.calls
    assert first.requests == second.requests
    assert first.writes == second.writes


@ALL
def test_another_seed_gives_another_rehearsal(name: str) -> None:
    assert played(name, seed=3).calls != played(name, seed=4).calls


@ALL
def test_every_request_ends_once(name: str) -> None:
    rehearsal = rehearse(a_setting(200, rpm=40, crashes=(20, 50), instances=4), USUAL[name](), 1)
    assert len(rehearsal.requests) == 200
    assert measures.renders(rehearsal) + measures.lost(rehearsal) == 200
    assert measures.unfinished(rehearsal) == 0
    accepted = Counter(call.request_id for call in rehearsal.calls if isinstance(call.answer, ImageReply))
    for request in rehearsal.requests:
        assert request.accepted == accepted[request.arrival.request_id]
        assert request.accepted >= (request.status == "succeeded")


@ALL
def test_no_request_is_paid_twice_where_nothing_dies(name: str) -> None:
    assert measures.paid_twice(played(name)) == 0


@ALL
def test_a_rehearsal_that_is_broken_off_counts_what_was_under_way(name: str) -> None:
    rehearsal = rehearse(a_setting(200, rpm=10, until=30), USUAL[name](), 1)
    assert rehearsal.ended_at == 30
    assert measures.renders(rehearsal) + measures.lost(rehearsal) + measures.unfinished(rehearsal) == 200
    assert measures.unfinished(rehearsal) > 0


def test_full_jitter_on_a_backlog_is_rejected_thousands_of_times_for_a_thousand_renders() -> None:
    rehearsal = played("full jitter", count=600)
    assert 3000 <= measures.quota_rejections(rehearsal) <= 20_000
    assert measures.lost(rehearsal) > 0


def test_the_sdk_loses_most_of_a_backlog() -> None:
    assert measures.lost(played("google-genai")) > 150


def test_retry_after_loses_nothing_and_is_rejected_often() -> None:
    rehearsal = played("Retry-After")
    assert measures.lost(rehearsal) == 0
    assert measures.quota_rejections(rehearsal) > 300


def test_a_static_share_lies_idle_where_the_fleet_is_smaller_than_its_maximum() -> None:
    setting = a_setting(600, rpm=60)
    small = replace(setting, fleet=FleetSize(instances=2, concurrency=300, most_instances=4))
    rehearsal = rehearse(small, USUAL["static bucket"](), 1)
    assert measures.goodput(rehearsal, 60, 120, 420) == pytest.approx(50, abs=1)


def test_the_counter_never_lets_more_than_the_limit_into_a_clock_minute() -> None:
    rehearsal = rehearse(
        replace(a_setting(300, rpm=60), terms={MODEL: ProviderTerms.fixed(Limits())}), USUAL["minute counter"](), 1
    )
    assert {path.partition("/")[0] for path in rehearsal.writes} == {"counters"}
    assert [len(instants) for instants in rehearsal.writes.values()][:4] == [60] * 4
    assert measures.lost(rehearsal) == 0


def test_the_counters_document_saturates_under_a_large_limit() -> None:
    rehearsal = rehearse(a_setting(1500, rpm=2000, instances=20), USUAL["minute counter"](), 1)
    assert measures.hottest_worst(rehearsal) == pytest.approx(16, rel=0.15)
