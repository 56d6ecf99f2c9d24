"""The server in virtual time, against cases whose answers are known."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

from msgspec.structs import replace

from scripts.virtual_time.models.latency import PICTURES
from scripts.virtual_time.models.provider_limits import LimitsFrom, Narrow, ProviderTerms
from scripts.virtual_time.models.provider_model import Provider
from scripts.virtual_time.models.provider_reply import IMAGE, OVERLOADED, UNEXPLAINED, Answer, DayFull, MinuteFull
from shared.core.limits.quota import Limits
from tests.virtual_time.worlds import MODEL, TEN_SECONDS, a_provider, an_arrival, an_engine, answers_at

MINUTE_ID = "GenerateRequestsPerMinutePerProjectPerModel"
THREE = Limits(rpm=3)


def judged(
    terms: ProviderTerms, *instants: float, start: datetime = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
) -> list[Answer]:
    engine = an_engine(start)
    return answers_at(engine, a_provider(engine, terms), instants)


def test_a_sliding_window_has_room_again_a_minute_after_its_oldest_call() -> None:
    answers = judged(ProviderTerms.fixed(THREE), 0, 10, 20, 30, 60, 61)
    assert answers == [IMAGE, IMAGE, IMAGE, MinuteFull(MINUTE_ID, 3, 30.0), IMAGE, MinuteFull(MINUTE_ID, 3, 9.0)]


def test_a_fixed_window_lets_twice_the_limit_through_at_the_border_of_a_clock_minute() -> None:
    answers = judged(ProviderTerms.fixed(THREE, "fixed"), 57, 58, 59, 59.5, 60, 61, 62, 63)
    rejected = MinuteFull(MINUTE_ID, 3, 0.5), MinuteFull(MINUTE_ID, 3, 57.0)
    assert answers == [IMAGE, IMAGE, IMAGE, rejected[0], IMAGE, IMAGE, IMAGE, rejected[1]]


def test_a_bucket_gives_its_depth_at_once_and_then_one_call_each_sixtieth_of_the_limit() -> None:
    answers = judged(ProviderTerms.fixed(THREE, "bucket"), 0, 0, 0, 0, 20, 20)
    assert answers == [IMAGE, IMAGE, IMAGE, MinuteFull(MINUTE_ID, 3, 20.0), IMAGE, MinuteFull(MINUTE_ID, 3, 20.0)]


def test_a_rejection_names_the_limit_as_it_then_is() -> None:
    terms = ProviderTerms((LimitsFrom(0, Limits(rpm=4)), LimitsFrom(30, Limits(rpm=2)), LimitsFrom(50, Limits(rpm=6))))
    answers = judged(terms, 0, 1, 31, 51, 52)
    assert answers[2] == MinuteFull(MINUTE_ID, 2, 29.0)
    assert answers[3:] == [IMAGE, IMAGE]


def test_the_live_limit_can_be_read_at_any_instant() -> None:
    engine = an_engine()
    provider = a_provider(engine, ProviderTerms((LimitsFrom(0, Limits(rpm=4)), LimitsFrom(30, Limits(rpm=2)))))
    read = []
    for at in (0, 29, 30):
        engine.at(at, lambda: read.append(provider.limits(MODEL).rpm))
    engine.run()
    assert read == [4, 4, 2]


def test_a_days_quota_is_rejected_with_a_misleading_delay_until_midnight_in_los_angeles() -> None:
    before_midnight = datetime(2026, 11, 22, 7, 59, tzinfo=UTC)
    answers = judged(ProviderTerms.fixed(Limits(rpm=10, rpd=1)), 0, 1, 61, start=before_midnight)
    assert answers == [IMAGE, DayFull("GenerateRequestsPerDayPerProjectPerModel", 1, 0.856), IMAGE]


def test_shared_capacity_rejects_without_details_and_takes_no_quota() -> None:
    terms = replace(ProviderTerms.fixed(Limits(rpm=2)), shared=(Narrow(0, 30, per_minute=1),))
    assert judged(terms, 0, 1, 40) == [IMAGE, UNEXPLAINED, IMAGE]


def test_concurrency_is_rejected_without_details() -> None:
    terms = replace(ProviderTerms.fixed(Limits(concurrency=1)), latency=TEN_SECONDS)
    assert judged(terms, 0, 9, 11) == [IMAGE, UNEXPLAINED, IMAGE]


def test_an_overload_serves_its_rate_answers_503_to_the_rest_and_takes_quota_all_the_same() -> None:
    terms = replace(ProviderTerms.fixed(Limits(rpm=5)), overloads=(Narrow(10, 70, per_minute=6),))
    answers = judged(terms, 0, 10, 11, 20, 21, 25)
    assert answers[:5] == [IMAGE, IMAGE, OVERLOADED, IMAGE, OVERLOADED]
    assert isinstance(answers[5], MinuteFull)


def test_an_image_takes_its_latency_and_a_rejection_a_fifth_of_a_second() -> None:
    engine = an_engine()
    provider = Provider(engine, {MODEL: replace(ProviderTerms.fixed(Limits(rpm=1)), latency=TEN_SECONDS)}, Random(1))
    calls: list[tuple[Answer, float]] = []
    for _ in range(2):
        provider.call(an_arrival(), lambda answer: calls.append((answer, engine.now)))
    engine.run()
    (rejection, soon), image = calls
    assert isinstance(rejection, MinuteFull)
    assert 0.15 <= soon <= 0.25
    assert image == (IMAGE, 10.0)


def test_latencies_lie_between_eight_seconds_and_a_minute() -> None:
    chance = Random(3)
    drawn = sorted(PICTURES.draw(chance) for _ in range(5000))
    assert (drawn[0], drawn[-1]) == (8.0, 60.0)
    assert 17 < drawn[2500] < 19


def test_the_record_of_calls_is_in_the_order_of_arrival() -> None:
    engine = an_engine()
    provider = a_provider(engine, ProviderTerms.fixed(THREE))
    answers_at(engine, provider, [5, 1, 3])
    assert [call.at for call in provider.calls] == [1, 3, 5]
