"""Push, pull, back-off and starting instances in virtual time: each rule of the documents by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from scripts.bench import deliveries
from scripts.virtual_time.engine import Engine
from scripts.virtual_time.models.fleet_model import FIRST_PUSH_WINDOW, DeliveryTerms, FleetSize, PushedDelivery
from scripts.virtual_time.models.provider_limits import ProviderTerms
from scripts.virtual_time.models.provider_model import Provider
from scripts.virtual_time.models.pubsub_model import LONGEST_STOP, PubsubFleet
from scripts.virtual_time.request import ModelledRequest
from scripts.virtual_time.scenarios import MODEL, NORMAL
from shared.core.limits.quota import Limits

PUSH = DeliveryTerms("push", "for the call")
PULL = DeliveryTerms("pull", "for the call")


def a_fleet(terms: DeliveryTerms, *, instances: int = 2, concurrency: int = 10) -> PubsubFleet:
    engine = Engine(datetime(2026, 11, 29, 12, tzinfo=UTC))
    provider = Provider(engine, {MODEL: ProviderTerms.fixed(Limits())}, Random("provider"))
    return PubsubFleet(engine, provider, FleetSize(instances, concurrency, instances, terms=terms), Random("fleet"))


def publish(fleet: PubsubFleet, count: int) -> list[PushedDelivery]:
    """Deliveries that are held until somebody says `done`; in the order in which they reach a worker."""
    reached: list[PushedDelivery] = []
    for arrival in NORMAL.at([0.0] * count):
        fleet.deliver(ModelledRequest(arrival), reached.append)
    return reached


def test_push_begins_with_a_single_digit_of_deliveries_and_pull_takes_what_there_is_room_for() -> None:
    pushed, pulled = a_fleet(PUSH), a_fleet(PULL)
    by_push, by_pull = publish(pushed, 20), publish(pulled, 20)
    pushed.engine.run(5)
    pulled.engine.run(5)
    assert (len(by_push), len(by_pull)) == (FIRST_PUSH_WINDOW, 20)


def test_each_acknowledgement_lets_one_more_push_through() -> None:
    fleet = a_fleet(PUSH)
    reached = publish(fleet, 20)
    fleet.engine.run(5)
    for delivery in list(reached):
        delivery.done()
    fleet.engine.run(10)
    assert len(reached) == 3 * FIRST_PUSH_WINDOW


def test_pull_never_takes_more_than_there_is_room_for() -> None:
    fleet = a_fleet(PULL, instances=1, concurrency=3)
    reached = publish(fleet, 9)
    fleet.engine.run(5)
    assert len(reached) == 3
    reached[0].done()
    fleet.engine.run(10)
    assert len(reached) == 4


def test_failures_stop_the_whole_subscription_ever_longer_and_at_most_a_minute() -> None:
    fleet = a_fleet(replace(PUSH, outage=(0, 3600), shortest_backoff=0.01, longest_backoff=0.01, most_deliveries=10**6))
    publish(fleet, 5)
    stops: list[float] = []
    last = 0.0
    for second in range(1, 1200):
        fleet.engine.run(second)
        if fleet.counts.stopped_seconds > last:
            stops.append(fleet.counts.stopped_seconds - last)
            last = fleet.counts.stopped_seconds
    assert max(stops) == LONGEST_STOP
    assert fleet.counts.failed < 100, "without back-off it would be thousands"


def test_pull_is_not_stopped_by_failures() -> None:
    fleet = a_fleet(replace(PULL, outage=(0, 60), shortest_backoff=1, most_deliveries=100))
    publish(fleet, 5)
    fleet.engine.run(60)
    assert fleet.counts.stopped_seconds == 0


@pytest.mark.parametrize(("most", "shortest", "dead"), [(5, 1.0, 5), (20, 10.0, 0)], ids=["5 from 1 s", "20 from 10 s"])
def test_an_outage_of_half_a_minute_makes_dead_letters_only_of_impatient_subscriptions(
    most: int, shortest: float, dead: int
) -> None:
    fleet = a_fleet(replace(PULL, outage=(0, 30), most_deliveries=most, shortest_backoff=shortest))
    reached = publish(fleet, 5)
    fleet.engine.run(900)
    assert fleet.counts.dead == dead
    assert len(reached) == 5 - dead


def test_a_request_that_finds_no_instance_in_time_is_answered_with_429() -> None:
    fleet = a_fleet(PUSH, instances=1, concurrency=2)
    reached = publish(fleet, 5)
    fleet.engine.run(11)
    assert (len(reached), fleet.counts.refused) == (2, 3)


def test_instances_start_when_they_are_needed() -> None:
    fleet = a_fleet(replace(PUSH, warm_instances=0), instances=1)
    reached = publish(fleet, 3)
    fleet.engine.run(1)
    assert reached == []
    fleet.engine.run(6)
    assert len(reached) == 3
    assert fleet.counts.refused == 0


def test_a_call_in_the_background_gives_its_room_back_at_once_and_is_answered_all_the_same() -> None:
    fleet = a_fleet(DeliveryTerms("pull", "for one exchange"), instances=1, concurrency=1)
    ended: list[Any] = []
    for arrival in NORMAL.at([0.0] * 3):
        fleet.start(ModelledRequest(arrival), 1.0, 60.0, ended.append)
    fleet.engine.run(4)
    assert len(fleet.provider.calls) == 3, "one after the other through one place"
    fleet.engine.run(120)
    assert len(ended) == 3


@pytest.mark.slow
def test_from_rest_push_that_is_held_starts_far_later_than_pull_or_background() -> None:
    """The figures of docs/deployment/deliveries.md: ./scripts/bench/run deliveries."""
    ways = deliveries.WAYS
    slow = deliveries.ramp(ways["push, held for the call"], 1)
    pulled = deliveries.ramp(ways["pull, held for the call"], 1)
    background = deliveries.ramp(ways["push, background"], 1)
    assert slow.all_begun_after > 2 * max(pulled.all_begun_after, background.all_begun_after)
    assert slow.wait_p99 > 2 * max(pulled.wait_p99, background.wait_p99)
