"""What calls in the background must reach, in virtual time: ten requests a second and calls of 20 s, 200 in flight.

`./scripts/bench/run background` measures the same with processes.
"""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import pytest
from msgspec import Struct

from tests.flows.collect.worlds import a_world, books_are_right, with_webhooks
from tests.world import World

CALL = timedelta(seconds=20)
REQUESTS, PER_SECOND = 300, 10
CONCURRENCY = 40
"""Deliveries that one instance takes, as Terraform sets it."""


class Delivery(Struct, frozen=True):
    began: float
    ended: float
    lead: float
    """Seconds from its push to its slot."""


async def ten_a_second(world: World) -> list[Delivery]:
    """The deliveries of `render`."""
    deliveries: list[Delivery] = []
    real = world._deliver

    async def timed(subscription: Any, delivery: Any) -> None:
        began, now = world.clock.monotonic(), world.clock.now()
        await real(subscription, delivery)
        if subscription.function == "render":
            slot_at: datetime = world.status(json.loads(delivery.data)["request_id"])["slot_at"]
            lead = max(0.0, (slot_at - now).total_seconds())
            deliveries.append(Delivery(began, world.clock.monotonic(), lead))

    async def publish() -> None:
        for number in range(REQUESTS):
            await world.submit(f"r-{number}")
            await world.clock.sleep(1 / PER_SECOND)

    world._deliver = timed  # type: ignore[method-assign]
    await world.run_for(timedelta(seconds=REQUESTS / PER_SECOND + 30), publish())  # its end would be a death
    await world.run_until_quiet(timedelta(minutes=5))
    assert set(world.statuses().values()) == {"succeeded"}
    return deliveries


def most_at_once(deliveries: list[Delivery]) -> int:
    return max(sum(one.began <= moment.began < one.ended for one in deliveries) for moment in deliveries)


def quota_for(setting: str) -> World:
    world = World("*=concurrency:400", latency=CALL)
    world.background = "off" if setting == "off" else "on"
    world.boot()
    return world


@pytest.mark.slow
async def test_a_delivery_is_held_for_its_lead_and_one_round_trip_and_one_instance_carries_200_renders() -> None:
    deliveries = await ten_a_second(with_webhooks(quota_for("on")))
    assert len(deliveries) == REQUESTS
    assert median(one.ended - one.began - one.lead for one in deliveries) <= 0.5
    assert math.ceil(most_at_once(deliveries) / CONCURRENCY) == 1


@pytest.mark.slow
async def test_held_for_the_call_the_same_load_takes_five_instances() -> None:
    deliveries = await ten_a_second(quota_for("off"))
    assert median(one.ended - one.began for one in deliveries) >= CALL.total_seconds()
    assert math.ceil(most_at_once(deliveries) / CONCURRENCY) >= 5


@pytest.mark.slow
@pytest.mark.parametrize(("webhooks", "most_p50"), [(True, 0.5), (False, 2.0)], ids=["webhooks", "polled"])
async def test_half_of_the_results_are_out_soon_after_their_models_end(webhooks: bool, most_p50: float) -> None:
    world = quota_for("on")
    await ten_a_second(with_webhooks(world) if webhooks else world)
    ends = {record.order.key: record.ends_at for record in world.interactions.records.values()}
    announced = {event["request_id"]: datetime.fromisoformat(event["finished_at"]) for event in world.results()}
    delays = [(announced[name] - ended_at).total_seconds() for name, ended_at in ends.items() if ended_at is not None]
    assert len(delays) == REQUESTS
    assert median(delays) <= most_p50
    books_are_right(world)


WRITES = {
    "off": {"request": 6, "attempt": 2},
    "on": {"request": 6, "attempt": 2},
    "on, with webhooks": {"request": 6, "attempt": 2},
}
"""Commits that write a request's document, and its attempt's, from its creation to the end of its announcement, at 20 s
a call. Held, the lease of a call is renewed once; in the background, the id on record takes that one's place."""


@pytest.mark.parametrize("way", list(WRITES))
async def test_the_writes_of_a_render_have_not_grown(way: str) -> None:
    world = a_world("off" if way == "off" else "on", latency=CALL)
    if "webhooks" in way:
        with_webhooks(world)
    for number in range(8):
        await world.submit(f"r-{number}")
    await world.run_until_quiet(timedelta(minutes=2))
    for document in world.store.all("requests"):
        attempt = f"{document.path}/attempts/0001"
        assert {"request": world.store.commits[document.path], "attempt": world.store.commits[attempt]} == WRITES[way]
    besides = [path for path in world.store.commits if path.startswith("requests/") and path.count("/") > 3]
    assert besides == []
