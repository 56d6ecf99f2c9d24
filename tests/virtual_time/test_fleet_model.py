"""Instances, deliveries and releases."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from msgspec.structs import replace

from scripts.virtual_time.engine import Engine
from scripts.virtual_time.models.fleet_model import (
    Attempt,
    DeliveredLate,
    FleetModel,
    FleetSize,
    PushedDelivery,
    TooLate,
)
from scripts.virtual_time.models.provider_limits import ProviderTerms
from scripts.virtual_time.models.provider_model import Provider
from scripts.virtual_time.models.provider_reply import IMAGE, MinuteFull
from shared.core.limits.quota import Limits
from tests.virtual_time.worlds import TEN_SECONDS, a_provider, a_request, an_engine

ONE = FleetSize(instances=1, concurrency=1, most_instances=1)
WIDE = FleetSize(instances=1, concurrency=100, most_instances=1)


def a_fleet(engine: Engine, size: FleetSize = WIDE, limits: Limits = Limits()) -> tuple[FleetModel, Provider]:  # noqa: B008
    provider = a_provider(engine, replace(ProviderTerms.fixed(limits), latency=TEN_SECONDS))
    return FleetModel(engine, provider, size, Random(1)), provider


def called(delivery: PushedDelivery) -> None:
    delivery.call(lambda _: delivery.done())


def test_no_more_deliveries_are_under_way_than_there_is_room() -> None:
    engine = an_engine()
    fleet, provider = a_fleet(engine, FleetSize(instances=2, concurrency=3, most_instances=2))
    for _ in range(20):
        fleet.deliver(a_request(), called)
    engine.run()
    starts = [call.at for call in provider.calls]
    assert len(starts) == 20
    assert max(sum(at <= other < at + 10 for other in starts) for at in starts) == 6


def test_deliveries_wait_in_the_order_of_publication() -> None:
    engine = an_engine()
    fleet, provider = a_fleet(engine, ONE)
    for number in range(5):
        fleet.deliver(a_request(f"r-{number}"), called)
    engine.run()
    assert [call.request_id for call in provider.calls] == [f"r-{number}" for number in range(5)]


def test_a_push_subscription_that_starts_slowly_doubles_with_each_round() -> None:
    engine = an_engine()
    fleet, provider = a_fleet(engine, replace(WIDE, push="slow_start"))
    for _ in range(35):
        fleet.deliver(a_request(), called)
    engine.run()
    rounds = [sum(1 for call in provider.calls if 10 * turn - 5 <= call.at < 10 * turn + 5) for turn in range(3)]
    assert rounds == [5, 10, 20]


def test_calls_of_one_instance_leave_in_turn() -> None:
    engine = an_engine()
    fleet, provider = a_fleet(engine)
    for _ in range(100):
        fleet.deliver(a_request(), called)
    engine.run()
    assert provider.calls[-1].at >= 1.0


def released(
    engine: Engine, fleet: FleetModel, at: float, good_for: float = 0.4
) -> tuple[PushedDelivery, list[Attempt]]:
    ended: list[Attempt] = []
    return fleet.start(a_request(status="queued"), at, good_for, ended.append), ended


def test_a_release_calls_at_its_slot_and_not_before() -> None:
    engine = an_engine()
    fleet, provider = a_fleet(engine)
    _, ended = released(engine, fleet, at=3)
    engine.run()
    assert 3 <= provider.calls[0].at <= 3.05
    assert [attempt.end for attempt in ended] == [IMAGE]
    assert ended[0].request.status == "rendering"
    assert ended[0].request.began_at == provider.calls[0].at


def test_a_rejection_comes_back_as_a_value() -> None:
    engine = an_engine()
    fleet, _ = a_fleet(engine, limits=Limits(rpm=0))
    _, ended = released(engine, fleet, at=1)
    engine.run()
    assert isinstance(ended[0].end, MinuteFull)
    assert ended[0].request.began_at is None


def test_a_release_that_arrives_after_its_slot_calls_nobody() -> None:
    engine = an_engine()
    fleet, provider = a_fleet(engine, ONE)
    _, first = released(engine, fleet, at=0.5)
    _, second = released(engine, fleet, at=1)
    engine.run()
    assert (first[0].end, second[0].end) == (IMAGE, DeliveredLate())
    assert len(provider.calls) == 1


def test_a_call_that_cannot_leave_in_time_is_not_made() -> None:
    engine = an_engine()
    fleet, provider = a_fleet(engine)
    ends = [released(engine, fleet, at=1)[1] for _ in range(100)]
    engine.run()
    late = sum(isinstance(end[0].end, TooLate) for end in ends)
    assert 12 <= late <= 25  # half of the work was done before
    assert len(provider.calls) == 100 - late
    assert all(call.at <= 1.45 for call in provider.calls)


def test_a_call_that_leaves_with_half_its_leeway_gone_is_told_as_tight() -> None:
    engine = an_engine()
    fleet, provider = a_fleet(engine, replace(WIDE, start=0.06))
    tight: list[int] = []
    for _ in range(20):
        fleet.start(a_request(status="queued"), 1.0, 0.4, lambda _: None, on_tight=tight.append)
    engine.run()
    assert len(provider.calls) == 13  # at 0.03 s each
    assert tight == [0] * 7


def test_an_instance_that_gets_to_a_release_too_late_tells_that_as_well() -> None:
    engine = an_engine()
    fleet, _ = a_fleet(engine, replace(WIDE, start=0.06))
    taken_up: list[float] = []
    ended: list[Attempt] = []
    for _ in range(60):
        fleet.start(a_request(status="queued"), 1.0, 0.4, ended.append, lambda: taken_up.append(engine.now))
    engine.run()
    assert len(taken_up) == 60
    late = sum(isinstance(attempt.end, DeliveredLate) for attempt in ended)
    assert late == sum(at > 1.4 for at in taken_up)
    assert late >= 10


def test_a_clock_that_is_off_moves_the_start() -> None:
    engine = an_engine()
    fleet, provider = a_fleet(engine, replace(WIDE, skew=0.3))
    released(engine, fleet, at=5)
    engine.run()
    assert 4.7 <= provider.calls[0].at <= 5.35
    assert abs(provider.calls[0].at - 5.02) > 0.03


def test_a_withdrawn_release_is_ignored() -> None:
    engine = an_engine()
    fleet, provider = a_fleet(engine)
    release, ended = released(engine, fleet, at=1)
    assert release.withdraw()
    engine.run()
    assert (ended, provider.calls) == ([], [])


def test_a_release_that_was_delivered_cannot_be_withdrawn() -> None:
    engine = an_engine()
    fleet, provider = a_fleet(engine)
    release, _ = released(engine, fleet, at=1)
    withdrawn: list[bool] = []
    engine.at(0.5, lambda: withdrawn.append(release.withdraw()))
    engine.run()
    assert withdrawn == [False]
    assert len(provider.calls) == 1


def test_what_an_instance_held_when_it_died_is_delivered_again() -> None:
    engine = an_engine()
    fleet, provider = a_fleet(engine, FleetSize(instances=1, concurrency=4, most_instances=1))
    ended: list[str] = []

    def begin(request_id: str) -> Callable[[PushedDelivery], None]:
        def on_delivery(delivery: PushedDelivery) -> None:
            def then(_: object) -> None:
                ended.append(request_id)
                delivery.done()

            delivery.call(then)

        return on_delivery

    for number in range(6):
        fleet.deliver(a_request(f"r-{number}"), begin(f"r-{number}"))
    engine.at(5, lambda: fleet.crash(0))
    engine.run()
    assert sorted(ended) == [f"r-{number}" for number in range(6)]
    assert len(provider.calls) == 10
    assert not [call for call in provider.calls if 5 < call.at < 9]
