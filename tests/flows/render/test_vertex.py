"""The Vertex lane beside the Gemini API, in virtual time: which requests take it, and whose fault is whose."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from shared.core.observability import events
from shared.core.provider.call import Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.routing.flag import Flag
from shared.core.routing.vertex import VertexUse
from shared.flows.intake.fair_queue import FairTags
from shared.flows.operations import flags, routing_snapshot
from shared.flows.pump.loop import Pump
from shared.flows.pump_status import PumpView
from shared.flows.render.limit_reports import Evidence
from shared.flows.wakeups import Kicks
from tests.fakes.lane import ScriptedLane
from tests.world import World

PRO, NB21, LITE = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"
EXACT: dict[str, Any] = {"model": PRO, "floor": "exact"}
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class VertexWorld(World):
    """With a Vertex lane of its own provider."""

    def __init__(self, use: VertexUse = "fallback", **given: Any) -> None:
        self.use = use
        super().__init__(**given)

    def boot(self) -> None:
        super().boot()
        self.vertex = getattr(self, "vertex", None) or ScriptedLane(self.clock)
        lanes = {**({} if self.use == "only" else self.ports.lanes), "vertex": self.vertex}
        self.ports = replace(self.ports, lanes=lanes, vertex=self.use, vertex_project="shop-vertex")
        view = PumpView(self.ports)
        self.kicks = Kicks(self.ports, view)
        self.tags = FairTags(self.ports, view)
        self.evidence = Evidence(self.ports, view)
        self.pump = Pump(self.ports, self.kicks)

    async def trip(self, name: Any) -> None:
        now = self.clock.now()
        await flags.trip(self.store, self.signals, Flag(f"{name}-ann", name, "ann", "quota is short", now, now + HOUR))

    async def end(self, *requests: dict[str, Any]) -> None:
        """Submit these, r-1 and so on, and wait for their end."""

        for number, fields in enumerate(requests or ({},), 1):
            await self.submit(f"r-{number}", **fields)
        await self.run_until_quiet()


async def test_as_a_fallback_it_is_left_alone_while_the_gemini_api_serves() -> None:
    world = VertexWorld()
    await world.end()
    assert world.status()["receipt"]["reasons"] == []
    assert (len(world.lane.calls), len(world.vertex.calls)) == (1, 0)


async def test_the_same_model_on_vertex_comes_before_a_cheaper_model_and_the_receipt_says_why() -> None:
    world = VertexWorld()

    def sick(order: Order, _now: Any) -> Failure | None:
        return Failure(FailureKind.TIMEOUT, "no answer in time") if order.model == PRO else None

    world.lane.sick = sick
    await world.end({"model": PRO, "image_size": "4K"})
    status = world.status()
    assert status["status"] == "succeeded"
    assert status["receipt"]["delivered"]["lane"] == "vertex"
    assert (status["receipt"]["delivered"]["model"], status["receipt"]["delivered"]["image_size"]) == (PRO, "4K")
    assert "lane standard -> vertex: this request met timeout there" in status["receipt"]["reasons"]
    first, second = world.attempts()
    assert (first["contract"], second["contract"]) == ("google", "vertex")
    assert (second["key_kind"], second["operating_owner"]) == ("adc", "shop-vertex")
    assert {item.data["lane"] for item in world.store.all("ledger") if item.data["cost_micros"]} == {"vertex"}


async def test_first_means_that_standard_requests_go_there_and_the_gemini_api_is_the_fallback() -> None:
    world = VertexWorld("first")
    await world.end()
    assert world.status()["receipt"]["delivered"]["lane"] == "vertex"
    assert world.status()["receipt"]["reasons"] == ["lane standard -> vertex: RENDERLANE_VERTEX_ROUTE is set so"]
    world.vertex.sick = lambda _order, _now: FailureKind.TIMEOUT
    await world.end({"prompt": "another"}, {"prompt": "two"})
    assert world.status("r-2")["receipt"]["delivered"]["lane"] == "standard"


async def test_only_means_that_no_key_is_needed_and_nothing_else_is_called() -> None:
    world = VertexWorld("only")
    await world.end({}, {"lane": "priority"}, {"lane": "vertex", "prompt": "x"})
    assert world.status("r-1")["receipt"]["delivered"]["lane"] == "vertex"
    assert world.status("r-3")["receipt"]["reasons"] == []
    (refused,) = world.store.all("rejected")
    assert 'lane: found "priority"; allowed: vertex' in str(refused.data)
    assert world.lane.calls == []


@pytest.mark.parametrize(
    ("use", "request_fields", "lane"),
    [
        ("named", {}, None),
        ("named", {"allow": {"vertex": True}}, "vertex"),
        ("named", {"lane": "vertex"}, "vertex"),
        ("fallback", {"allow": {"vertex": False}}, None),
        ("first", {"allow": {"vertex": False}}, "standard"),
        ("fallback", {"lane": "vertex", "allow": {"vertex": False}}, "vertex"),
    ],
)
async def test_consent_is_assumed_asked_for_or_refused(use: VertexUse, request_fields: Any, lane: str | None) -> None:
    world = VertexWorld(use)
    if use != "first":
        world.lane.sick = lambda _order, _now: FailureKind.MODEL_GONE
    await world.end({**EXACT, **request_fields})
    receipt = world.status()["receipt"]
    assert (receipt["delivered"]["lane"] if receipt else None) == lane


async def test_a_request_that_names_vertex_never_leaves_for_the_gemini_api() -> None:
    world = VertexWorld()
    world.vertex.sick = lambda _order, _now: FailureKind.SERVER_ERROR
    await world.end({"lane": "vertex"})
    assert world.status()["status"] == "failed"
    assert world.lane.calls == []


async def test_the_flag_moves_the_backlog_and_its_reset_moves_it_back() -> None:
    world = VertexWorld()
    await world.trip("use-vertex")
    await world.end({}, {"prompt": "two"})
    assert [world.status(item)["receipt"]["delivered"]["lane"] for item in ("r-1", "r-2")] == ["vertex", "vertex"]
    assert "quota is short" in world.status()["receipt"]["reasons"][0]


async def test_without_the_lane_the_flag_has_no_effect() -> None:
    world = World()
    now = world.clock.now()
    flag = Flag("use-vertex-ann", "use-vertex", "ann", "quota is short", now, now + HOUR)
    await flags.trip(world.store, world.signals, flag)
    await world.submit()
    await world.run_until_quiet()
    assert world.status()["receipt"]["delivered"]["lane"] == "standard"


async def test_a_busy_vertex_slows_its_own_pool_and_closes_neither_a_day_nor_the_other_api() -> None:
    world = VertexWorld()
    busy = Failure(FailureKind.QUOTA_UNKNOWN, "Resource exhausted", http_status=429)
    world.vertex.then(*[busy] * 6)
    await world.end(*({"lane": "vertex", "prompt": f"p{number}"} for number in range(8)), {"prompt": "elsewhere"})
    assert {world.status(f"r-{number}")["status"] for number in range(1, 10)} == {"succeeded"}
    pools = {item.id: item.data for item in world.store.all("calendars")}
    assert f"vertex:{NB21}" in pools
    assert pools[f"vertex:{NB21}"]["closed_until"] is None
    assert not any(signal is events.ESCALATION for signal, _ in world.signals.emitted)


@pytest.mark.parametrize("kind", [FailureKind.CREDENTIAL, FailureKind.PERMISSION, FailureKind.BALANCE])
async def test_an_account_that_vertex_rejects_stops_vertex_alone(kind: FailureKind) -> None:
    world = VertexWorld("first")
    world.vertex.sick = lambda _order, _now: Failure(kind, "the account may not", http_status=403, explicit=True)
    await world.end(*({"prompt": f"p{number}"} for number in range(5)))
    assert {world.status(f"r-{number}")["receipt"]["delivered"]["lane"] for number in range(1, 6)} == {"standard"}
    assert world.ledger_micros() > 0


async def test_a_model_that_vertex_does_not_have_is_still_called_on_the_gemini_api() -> None:
    world = VertexWorld("first")
    world.vertex.sick = lambda _order, _now: Failure(
        FailureKind.MODEL_GONE, "not found", http_status=404, explicit=True
    )
    await world.end(*({"prompt": f"p{number}"} for number in range(5)))
    assert {world.status(f"r-{number}")["receipt"]["delivered"]["lane"] for number in range(1, 6)} == {"standard"}
    assert not any(item.startswith("*/") for item in await _struck(world))


async def _struck(world: World) -> dict[str, str]:
    snapshot = await routing_snapshot.read(world.store, world.ports.flag_source, world.catalogue)
    return dict(snapshot.routing.lacking)


async def test_other_processes_learn_from_the_pump_that_there_is_a_vertex_lane() -> None:
    world = VertexWorld("first")
    await world.end()
    snapshot = await routing_snapshot.read(world.store, world.ports.flag_source, world.catalogue)
    assert snapshot.vertex == "first"
    assert "vertex" in snapshot.lanes(("standard", "batch"))
    assert snapshot.context(world.catalogue, ("standard",)).vertex == "first"
