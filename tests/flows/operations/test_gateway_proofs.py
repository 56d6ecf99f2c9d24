"""A provider gateway beside Google, in virtual time: off until proven, paid by its rules, blamed for its own faults."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from shared.core.admission.route_memory import Routing
from shared.core.catalogue.gateway_proof import ITEMS, TEST
from shared.core.observability import events, spans
from shared.core.observability.repro_packet import shown_address
from shared.core.provider.call import Made, Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.routing.flag import Flag
from shared.core.routing.gateway import serving
from shared.flows.intake.fair_queue import FairTags
from shared.flows.operations import flags, gateway_proofs
from shared.flows.pump.loop import Pump
from shared.flows.pump_status import PumpView
from shared.flows.render.limit_reports import Evidence
from shared.flows.wakeups import Kicks
from tests.builders import a_statement
from tests.fakes.lane import ScriptedLane, made
from tests.world import World

PRO, NB21, LITE = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"
NAME = "laozhang"
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
CONSENT = {"gateway": True}
ONLY_THERE: dict[str, Any] = {
    "model": PRO,
    "image_size": "4K",
    "floor": {"model": PRO, "image_size": "4K"},
    "allow": CONSENT,
    "max_cost_usd": "0.10",
}
"""Google's cheapest lane is dearer."""


class GatewayWorld(World):
    """With a key for the catalogue's gateways."""

    def boot(self) -> None:
        super().boot()
        self.provider = getattr(self, "provider", None) or ScriptedLane(self.clock)
        served = serving(self.catalogue, self.catalogue.gateways)
        self.ports = replace(self.ports, lanes={**self.ports.lanes, "gateway": self.provider}, gateways=served)
        view = PumpView(self.ports)
        self.kicks = Kicks(self.ports, view)
        self.tags = FairTags(self.ports, view)
        self.evidence = Evidence(self.ports)
        self.pump = Pump(self.ports, self.kicks)

    async def prove(self, *but: str, name: str = NAME) -> None:
        """Write down every item of the proof, but some."""
        for item in [word for word in ITEMS if word not in (*but, TEST)]:
            await gateway_proofs.record(self.store, self.catalogue, name, item, "seen in the console", "ann")
        if TEST not in but:
            await gateway_proofs.prove(self.store, self.catalogue, self.provider, self.clock, name, PRO, "ann")

    async def off(self) -> Mapping[str, str | None]:
        return await gateway_proofs.read_off(self.store, self.catalogue, self.ports.gateways, self.clock.now())

    async def use_gateway(self) -> None:
        now = self.clock.now()
        flag = Flag("use-gateway-ann", "use-gateway", "ann", "Google is slow", now, now + DAY)
        await flags.trip(self.store, self.signals, flag)

    @property
    def renders(self) -> list[Order]:
        """What the gateway was called for, its logged tests apart."""
        return [call.order for call in self.provider.calls if not call.order.request_id.startswith("proof-")]

    def last(self, request_id: str = "r-1") -> dict[str, Any]:
        return self.attempts(request_id)[-1]


async def an_open_world() -> GatewayWorld:
    world = GatewayWorld(quota="*=rpm:600")
    await world.run(world.prove())
    await world.run(world.use_gateway())
    return world


async def test_a_proven_gateway_renders_at_its_own_price_under_its_own_contract() -> None:
    world = await an_open_world()
    await world.submit("r-1", model=PRO, image_size="4K", allow=CONSENT)
    await world.run_until_quiet()
    status, attempt = world.status(), world.last()
    assert status["status"] == "succeeded"
    assert (status["route"]["lane"], status["cost_micros"], status["cost_basis"]) == ("gateway", 90_000, "listed")
    assert (attempt["contract"], attempt["operating_owner"]) == (f"gateway:{NAME}", "laozhang.ai")
    assert attempt["key_kind"] == "gateway"
    assert attempt["cost_parts"] == {"call": 90_000}
    assert world.lane.calls == []
    assert world.ledger_micros() == 90_000
    (call,) = world.signals.stages(spans.MODEL_CALL)
    assert call.attributes["gen_ai.provider.name"] == NAME


async def test_a_providers_price_is_never_a_saving_on_googles() -> None:
    world = await an_open_world()
    await world.submit("r-1", model=PRO, image_size="4K", allow=CONSENT)
    await world.run_until_quiet()
    (pump,) = world.store.all("pump")
    assert pump.data["routing"]["effects"]["use-gateway-ann"] == {"requests": 1, "saved_micros": 0}


async def test_without_consent_nothing_leaves_google() -> None:
    world = await an_open_world()
    await world.submit("r-1", model=PRO)
    await world.run_until_quiet()
    assert world.status()["route"]["lane"] == "standard"
    assert world.renders == []


async def test_an_item_that_is_missing_keeps_the_gateway_off() -> None:
    for item in ITEMS:
        world = GatewayWorld(quota="*=rpm:600")
        await world.run(world.prove(item))
        await world.run(world.use_gateway())
        await world.submit("r-1", model=PRO, allow=CONSENT)
        await world.run_until_quiet()
        assert world.status()["route"]["lane"] == "standard", item
        off = await world.run(world.off())
        assert off == {NAME: f"gateway {NAME} is off, its proof is incomplete: {item} is missing"}


async def test_a_logged_test_that_brought_no_image_proves_nothing_and_is_on_record() -> None:
    world = GatewayWorld(quota="*=rpm:600")
    world.provider.then(FailureKind.CREDENTIAL)
    await world.run(world.prove())
    proof = (await world.run(gateway_proofs.read_proofs(world.store, [NAME])))[NAME]
    assert proof.items[TEST].facts["outcome"] == "credential: a scripted credential"
    off = (await world.run(world.off()))[NAME]
    assert off is not None
    assert "logged-test of 2026" in off
    assert "failed: credential" in off


async def test_another_model_than_was_asked_for_does_not_pass_the_logged_test() -> None:
    world = GatewayWorld()
    world.provider.then(lambda order: made(order, model="some-other-model"))
    evidence = await world.run(
        gateway_proofs.prove(world.store, world.catalogue, world.provider, world.clock, NAME, PRO, "ann")
    )  # fmt: skip
    assert evidence.facts["passed"] is False
    assert evidence.facts["returned_model"] == "some-other-model"
    assert (evidence.facts["cost_micros"], evidence.facts["cost_basis"]) == (90_000, "listed")


async def test_evidence_grows_old_and_a_running_pump_notices() -> None:
    world = await an_open_world()

    async def again() -> None:
        now = world.clock.now()
        flag = Flag("use-gateway-bob", "use-gateway", "bob", "Google is slow", now, now + DAY)
        await flags.trip(world.store, world.signals, flag)

    await world.submit("r-1", model=PRO, allow=CONSENT)
    await world.run_until_quiet()
    world.clock.advance(31 * DAY)
    await world.run(again())
    await world.submit("r-2", model=PRO, allow=CONSENT)
    await world.run_until_quiet()
    assert [world.status(item)["route"]["lane"] for item in ("r-1", "r-2")] == ["gateway", "standard"]


async def test_a_changed_row_of_the_catalogue_voids_the_proof() -> None:
    world = await an_open_world()
    row = replace(world.catalogue.gateways[NAME], base_url="https://elsewhere.example")
    world.catalogue = replace(world.catalogue, gateways={NAME: row})
    world.boot()
    off = (await world.run(world.off()))[NAME]
    assert off is not None
    assert "is void: the catalogue's row is another one since" in off


async def test_a_google_outage_trips_googles_breaker_and_the_gateway_goes_on() -> None:
    world = GatewayWorld(quota="*=rpm:600")
    await world.run(world.prove())
    began = world.clock.now()
    world.lane.sick = lambda order, _: FailureKind.OVERLOAD if order.model == PRO else None

    async def story() -> None:
        for number in range(40):
            await world.submit(f"r-{number:02d}", model=PRO, floor={"model": PRO}, allow=CONSENT)
            await world.clock.sleep(2)

    await world.run_for(3 * MINUTE, story())
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    tripped = [
        document.data["flag_id"] for document in world.store.all("flag_history") if document.data["action"] == "trip"
    ]
    assert tripped
    assert not any("gateway" in item for item in tripped)
    assert len(world.renders) >= 35, "the ladder's last route, since nothing is wrong with it"
    assert world.clock.now() > began


async def test_a_sick_gateway_trips_its_own_breaker_and_google_goes_on() -> None:
    world = await an_open_world()
    world.provider.sick = lambda _order, _now: FailureKind.SERVER_ERROR

    async def story() -> None:
        for number in range(40):
            await world.submit(f"r-{number:02d}", model=PRO, allow=CONSENT)
            await world.clock.sleep(2)

    await world.run_for(3 * MINUTE, story())
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    history = [
        document.data["flag_id"] for document in world.store.all("flag_history") if document.data["actor"] == "breaker"
    ]
    assert history
    assert all(item.startswith("breaker-gateway-") for item in history)
    assert len(world.renders) < 30


async def test_a_gateway_without_balance_closes_nothing_of_googles_and_its_requests_take_their_next_route() -> None:
    world = await an_open_world()
    world.provider.sick = lambda _order, _now: a_statement(FailureKind.BALANCE)
    await world.submit("consents", model=PRO, allow=CONSENT)
    await world.submit("at-google", model=PRO)
    await world.run_for(20 * SECOND)
    assert set(world.statuses().values()) == {"succeeded"}
    assert [attempt["route"]["lane"] for attempt in world.attempts("consents")] == ["gateway", "standard"]
    first = world.attempts("consents")[0]
    assert (first["cost_micros"], first["cost_basis"]) == (0, "listed"), "only a 200 is charged there"
    reasons = world.status("consents")["receipt"]["reasons"]
    assert reasons == [], "it got what it had asked for"
    (pump,) = world.store.all("pump")
    assert set(Routing.from_json(pump.data["routing"]).conclusions.reached) == {f"balance:gateway:{PRO}"}
    calendars = {document.id: document.data["closed_until"] for document in world.store.all("calendars")}
    assert calendars[PRO] is None
    escalations = world.signals.of(events.ESCALATION)
    assert [item["runbook"] for item in escalations] == ["no-balance"]
    assert str(escalations[0]["what"]).startswith(f"gateway:{PRO} has no balance")
    assert world.store.all("flag_history")[0].data["actor"] == "ann"
    assert len(world.store.all("flag_history")) == 1, "no breaker"


async def test_while_a_gateway_has_no_balance_it_is_asked_ever_more_seldom_and_then_it_is_used_again() -> None:
    world = await an_open_world()
    world.provider.sick = lambda _order, _now: a_statement(FailureKind.BALANCE)

    async def story() -> None:
        for number in range(40):
            await world.submit(f"r-{number:02d}", model=PRO, allow=CONSENT)
            await world.clock.sleep(5)

    await world.run_for(205 * SECOND, story())
    await world.run_until_quiet()
    assert set(world.statuses().values()) == {"succeeded"}
    assert 3 <= len(world.renders) <= 8
    world.provider.sick = lambda _order, _now: None
    world.clock.advance(MINUTE)
    await world.submit("later", model=PRO, allow=CONSENT)
    await world.run_until_quiet()
    assert world.status("later")["route"]["lane"] == "gateway"
    assert world.ledger_micros() == sum(document.data["cost_micros"] for document in world.store.all("requests"))


async def test_a_request_that_only_a_gateway_can_serve_within_its_cap_waits_for_the_balance() -> None:
    world = await an_open_world()
    world.provider.sick = lambda _order, _now: a_statement(FailureKind.BALANCE)
    await world.submit("r-1", **ONLY_THERE)
    await world.run_for(90 * SECOND)
    assert world.status()["status"] == "queued"
    assert 2 <= len(world.renders) <= 6, "ever more seldom, a minute apart in the end"
    world.provider.sick = lambda _order, _now: None
    await world.run_until_quiet()
    assert (world.status()["status"], world.status()["cost_micros"]) == ("succeeded", 90_000)
    assert world.lane.calls == []


async def test_without_a_proof_a_cap_that_is_too_small_for_google_is_rejected_at_intake() -> None:
    world = GatewayWorld(quota="*=rpm:600")
    await world.run(world.prove("price"))
    await world.submit("r-1", **ONLY_THERE)
    await world.run_for(5 * SECOND)
    (event,) = world.results("r-1")
    assert event["status"] == "rejected"
    assert "max_cost_usd" in event["reasons"][0]


async def test_of_several_gateways_the_first_whose_proof_is_complete_serves() -> None:
    world = GatewayWorld(quota="*=rpm:600")
    row = world.catalogue.gateways[NAME]
    second = replace(row, owner="other.example", base_url="https://other.example", prices={PRO: 70_000})
    world.catalogue = replace(world.catalogue, gateways={NAME: row, "second": second})
    world.boot()
    await world.run(world.prove("price"))
    await world.run(world.prove(name="second"))
    await world.run(world.use_gateway())
    await world.submit("r-1", model=PRO, allow=CONSENT)
    await world.run_until_quiet()
    (attempt,) = world.attempts("r-1")
    assert (attempt["contract"], attempt["operating_owner"]) == ("gateway:second", "other.example")
    assert attempt["cost_micros"] == 70_000
    assert [render.gateway for render in world.renders] == ["second"]
    await world.run(gateway_proofs.record(world.store, world.catalogue, NAME, "price", "0.09 in the console", "ann"))
    await world.submit("r-2", model=PRO, allow=CONSENT)
    await world.run_until_quiet()
    assert world.last("r-2")["contract"] == f"gateway:{NAME}", "the catalogue's order, once both are proven"


async def test_a_rejected_google_key_closes_nothing_of_the_gateways() -> None:
    world = await an_open_world()
    world.lane.sick = lambda _order, _now: FailureKind.CREDENTIAL
    await world.submit("at-google", model=PRO)
    await world.run_for(10 * SECOND)
    await world.submit("elsewhere", model=PRO, allow=CONSENT)
    await world.run_for(20 * SECOND)
    assert world.status("elsewhere")["status"] == "succeeded"
    assert world.statuses()["at-google"] == "queued"


async def test_a_failed_call_costs_what_the_provider_says_it_does() -> None:
    cases: list[tuple[Failure, int, str]] = [
        (Failure(FailureKind.REFUSED, "no", http_status=200), 90_000, "listed"),
        (Failure(FailureKind.NO_IMAGE, "text", http_status=200), 90_000, "listed"),
        (Failure(FailureKind.REFUSED, "no", http_status=400), 0, "listed"),
        (Failure(FailureKind.INVALID_REQUEST, "no", http_status=400), 0, "listed"),
        (Failure(FailureKind.SERVER_ERROR, "no", http_status=500), 0, "listed"),
        (Failure(FailureKind.OVERLOAD, "busy", http_status=503), 0, "listed"),
        (Failure(FailureKind.TIMEOUT, "no answer"), 0, "unknown"),
        (Failure(FailureKind.CONNECTION, "no route"), 0, "listed"),
    ]
    for failure, micros, basis in cases:
        world = await an_open_world()
        world.provider.then(failure)
        await world.submit("r-1", model=PRO, allow=CONSENT)
        await world.run_until_quiet()
        first = world.attempts()[0]
        assert (first["cost_micros"], first["cost_basis"]) == (micros, basis), failure


async def test_a_request_comes_back_to_its_models_queue_after_a_gateways_attempt() -> None:
    world = await an_open_world()
    world.provider.sick = lambda _order, _now: FailureKind.QUOTA_MINUTE
    await world.submit("r-1", model=PRO, allow=CONSENT)
    await world.run_for(4 * SECOND)
    assert len(world.attempts()) >= 1
    assert (world.status()["status"], world.status()["model"]) == ("queued", PRO)
    world.provider.sick = lambda _order, _now: None
    await world.run_until_quiet()
    assert world.status()["status"] == "succeeded"


async def test_what_a_gateway_cannot_do_stays_at_google() -> None:
    world = await an_open_world()
    await world.submit("r-1", model=PRO, grounding=True, allow=CONSENT)
    await world.run_until_quiet()
    assert world.status()["route"]["lane"] == "standard"


async def test_the_projects_quota_of_a_model_says_nothing_of_the_gateways() -> None:
    world = GatewayWorld(quota=f"{PRO}=rpm:0;*=rpm:600")
    await world.run(world.prove())
    await world.run(world.use_gateway())
    await world.submit("r-1", model=PRO, allow=CONSENT)
    await world.run_until_quiet()
    assert world.status()["route"]["lane"] == "gateway"


@pytest.mark.parametrize("kind", [FailureKind.CREDENTIAL, FailureKind.PERMISSION])
async def test_a_gateway_that_takes_nothing_from_us_is_left_by_all_its_models_at_once(kind: FailureKind) -> None:
    world = await an_open_world()
    world.provider.sick = lambda _order, _now: a_statement(kind)
    await world.submit("r-1", model=PRO, allow=CONSENT)
    await world.run_for(20 * SECOND)
    await world.submit("r-2", model=NB21, allow=CONSENT)
    await world.run_until_quiet()
    assert [attempt["route"]["lane"] for attempt in world.attempts("r-1")] == ["gateway", "standard"]
    assert world.status("r-1")["avoided"] == {"gateway/*": kind.value}
    assert [attempt["route"]["lane"] for attempt in world.attempts("r-2")] == ["standard"]
    assert [call.order.model for call in world.lane.calls] == [PRO, NB21]


FAR = "https://cdn.example.com/a.png?signature=abc"


def unfetched(order: Order) -> Failure:
    """Paid, and what was paid for could not be fetched."""
    return Failure(FailureKind.MALFORMED_ANSWER, "HTTP 404", http_status=200, address=FAR)


async def test_a_paid_picture_that_lies_at_an_address_is_looked_at_before_another_is_bought_and_paid_once() -> None:
    world = await an_open_world()

    def picture(order: Order) -> Made:
        assert order.paid_at == FAR
        return replace(made(order), paid_before=True)

    world.provider.then(unfetched, picture)
    await world.submit("r-1", model=PRO, image_size="4K", allow=CONSENT)
    await world.run_until_quiet()
    first, second = world.attempts()
    status = world.status()
    assert (first["image_address"], first["cost_micros"]) == (FAR, 90_000)
    assert (second["cost_micros"], status["cost_micros"], world.ledger_micros()) == (0, 90_000, 90_000)
    assert status["status"] == "succeeded"
    assert any("earlier attempt paid" in reason for reason in status["receipt"]["reasons"])


async def test_an_old_address_is_looked_at_once_more_and_no_more() -> None:
    world = await an_open_world()
    orders: list[Order] = []

    def noted(order: Order) -> Failure:
        orders.append(order)
        return Failure(FailureKind.OVERLOAD, "busy", http_status=503)

    world.provider.then(unfetched, noted)
    await world.submit("r-1", model=PRO, image_size="4K", allow=CONSENT)
    await world.run_until_quiet()
    assert [order.paid_at for order in orders] == [FAR]
    assert world.renders[-1].paid_at == ""


def test_a_packet_names_where_a_paid_picture_lies_without_what_is_secret() -> None:
    address = "https://user:secret@cdn.example.com/a.png?signature=abc#x"
    assert shown_address(address, "a red cube", with_prompt=False) == "https://cdn.example.com/a.png"
    text = "https://img.example.com/prompt/a%20red%20cube%20on%20a%20table?seed=1"
    assert shown_address(text, "A red cube, on a table", with_prompt=False) == "https://img.example.com/…"
    assert shown_address(None, "a", with_prompt=True) is None
