"""The worker with calls in the background, and the webhooks of its provider."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from shared.core.messages.pubsub_messages import Arrival
from shared.core.messages.topics import RENDER_ARRIVALS
from shared.core.provider.call import Order
from shared.core.routing.background_proof import PATH, BackgroundProof, Proofs, Setting
from tests.world import World

NB21 = "gemini-nano-banana-2.1"
CIRCUIT = f"standard/{NB21}"
TIME_OUT = timedelta(seconds=300)
"""Of the model."""


def a_world(background: Setting = "on", latency: timedelta = timedelta(seconds=20), **options: Any) -> World:
    world = World(latency=latency, **options)
    world.background = background
    world.boot()
    return world


async def arrive(world: World, number: int = 1, *, by_id_alone: bool = True) -> None:
    """Publish the arrival of the interaction with that number, as the function that receives webhooks does."""
    interaction_id = list(world.interactions.records)[number - 1]
    order = world.interactions.records[interaction_id].order
    arrival = Arrival(interaction_id) if by_id_alone else Arrival(interaction_id, order.key, order.attempt)
    await world.topics.publish(RENDER_ARRIVALS, arrival.to_bytes())


def with_webhooks(world: World) -> World:
    """Its provider tells of each end at once, with the attempt that it is about."""

    async def publish(interaction_id: str, order: Order) -> None:
        await world.topics.publish(RENDER_ARRIVALS, Arrival(interaction_id, order.key, order.attempt).to_bytes())

    world.interactions.on_end = publish
    world.webhooks_name_attempts = True
    world.boot()
    return world


def proof(world: World, circuit: str = CIRCUIT) -> BackgroundProof:
    documents = [one for one in world.store.all("background") if one.path == PATH]
    return Proofs.from_json(documents[0].data).of(circuit) if documents else BackgroundProof()


async def until(world: World, status: str, request_id: str = "r-1", *, interaction: bool = False) -> None:
    while world.statuses().get(request_id) != status or (interaction and not world.interactions.records):
        await asyncio.sleep(0)
        await world.clock.sleep(0.05)


def books_are_right(world: World) -> None:
    """Every cent is on its request, on an attempt and in the ledger, and every image is paid in the open."""
    requests = [one.data for one in world.store.all("requests")]
    attempts = [one for request in world.store.all("requests") for one in world.attempts(request.id)]
    booked = sum(one["cost_micros"] for one in requests)
    assert booked == sum(one["cost_micros"] for one in attempts) == world.ledger_micros()
    paid = sum(1 for one in attempts if one["cost_micros"])
    unknown = sum(one["cost_unknown_attempts"] for one in requests)
    assert len(world.interactions.images) + len(world.lane.images) <= paid + unknown
