"""What the verdict is based on, read in one look: for the console and the command line alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from msgspec import Struct

from shared.core.lifecycle import queries
from shared.core.observability import verdict
from shared.core.observability.status_summary import Summary
from shared.core.observability.verdict import Scene, Verdict
from shared.core.observability.workers import read_fleet
from shared.flows.operations.routing_snapshot import RoutingSnapshot
from shared.flows.status import summary
from shared.ports.store import Store

MOST_WORKERS = 30


class Situation(Struct, frozen=True):
    """How things stand, and the one sentence about it."""

    routing: RoutingSnapshot
    scene: Scene
    verdict: Verdict

    @property
    def summary(self) -> Summary | None:
        return self.scene.summary


async def read(store: Store, snapshot: Awaitable[RoutingSnapshot]) -> Situation:
    """Some ten documents and one for each process of the worker, however much there is. Raises StoreUnavailable."""
    counted, routing, processes = await asyncio.gather(
        summary.read_from(store), snapshot, store.query(queries.workers(MOST_WORKERS))
    )
    fleet = read_fleet(processes, routing.leader, routing.led_until, routing.now)
    scene = Scene(
        routing.now, counted, fleet, tuple(routing.tripped), routing.held, routing.routing.conclusions.reached
    )  # fmt: skip
    return Situation(routing, scene, verdict.verdict(scene))
