"""What the verdict is based on, read in one look: for the console and the command line alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping

from msgspec import Struct

from shared.core.lifecycle import queries
from shared.core.observability import display, verdict
from shared.core.observability.status_summary import Summary
from shared.core.observability.verdict import Scene, Verdict
from shared.core.observability.workers import read_fleet
from shared.core.routing.flag import Flag
from shared.core.values.documents import Fields
from shared.flows.operations.routing_snapshot import RoutingSnapshot
from shared.flows.status import summary
from shared.ports.store import Store

MOST_WORKERS = 30


class Situation(Struct, frozen=True):
    """The verdict, and one sentence about it."""

    routing: RoutingSnapshot
    scene: Scene
    verdict: Verdict

    @property
    def summary(self) -> Summary | None:
        return self.scene.summary

    def reason(self, model: str, tenant: str) -> str:
        """What blocks one tenant's requests for a model: its own reason, never another tenant's."""
        if self.verdict.first.state == "worker gone":
            return "no worker"
        pause = next((flag for flag in self.scene.flags if _pauses(flag, model, tenant)), None)
        if pause is not None:
            return f"paused by {pause.actor}: {pause.reason}"
        spent = self.summary.spent if self.summary is not None else None
        if spent is not None and any(budget.tenant == tenant and budget.waiting for budget in spent.budgets):
            return "waits for budget"
        why = self.routing.blocked.get(model)
        if why is None:
            return ""
        tenants: Mapping[str, Fields] = why.get("tenants") or {}
        if tenant in tenants:
            own = tenants[tenant]
            return display.wait_reason(model, {"reason": own["reason"], "why": own["why"], "until": None})
        if tenants and why["reason"] in ("paused", "no route"):
            return ""  # it is about those that are named
        return display.wait_reason(model, why)


async def read(store: Store, snapshot: Awaitable[RoutingSnapshot], *, is_stopped: bool = False) -> Situation:
    """Reads about ten documents and one for each worker process, however many requests there are. Raises
    StoreUnavailable. `is_stopped`: certainly no worker runs."""
    counted, routing, processes = await asyncio.gather(
        summary.read_from(store), snapshot, store.query(queries.workers(MOST_WORKERS))
    )
    fleet = read_fleet(processes, routing.leader, routing.led_until, routing.now)
    scene = Scene(
        routing.now, counted, fleet, tuple(routing.tripped), routing.blocked, routing.routing.conclusions.reached,
        is_stopped,
    )  # fmt: skip
    return Situation(routing, scene, verdict.verdict(scene))


def _pauses(flag: Flag, model: str, tenant: str) -> bool:
    """All of the tenant's requests for the model, as far as the summary distinguishes them."""
    scope = flag.scope
    whole = scope.purpose is None and scope.lane is None and scope.share >= 100
    return (
        flag.name == "pause"
        and not flag.shadow
        and whole
        and scope.tenant in (None, tenant)
        and scope.model in (None, model)
    )
