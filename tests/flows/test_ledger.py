"""A day of mixed traffic on the simulator: the ledger is its bill, to the micro-dollar, however each call ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from scripts.simulator.provider.accepted_request import SERVICE_TIERS
from scripts.simulator.provider.bill import RecordedCall
from scripts.simulator.provider.faults import Fault
from scripts.simulator.provider.models import Tier, load
from shared.core.accounting.cost_report import Total, bills
from shared.core.accounting.ledger import DIMENSIONS, PARTS, REPEATS, WHYS, LedgerRow
from shared.core.accounting.reconciliation import read_export, reconcile
from shared.core.catalogue.gateway_proof import TEST_PROMPT
from shared.core.routing.flag import Flag, Scope
from shared.flows.operations.flags import trip
from tests.fakes.simulated_batches import SimulatedBatches
from tests.fakes.simulated_lane import SimulatedGateway, SimulatedLane
from tests.flows.operations.test_gateway_proofs import NAME, GatewayWorld
from tests.world import World

KINDS: tuple[dict[str, Any], ...] = (
    {"purpose": "final", "image_size": "4K"},
    {"purpose": "final", "image_size": "2K", "aspect_ratio": "16:9", "grounding": True, "tenant": "web"},
    {"image_size": "2K", "tenant": "web"},
    {"image_size": "4K", "lane": "priority"},
    {"purpose": "draft", "priority": "bulk", "tenant": "batchers"},
    {"model": "nano-banana-pro", "lane": "flex", "priority": "bulk", "tenant": "batchers"},
    {"model": "nano-banana", "grounding": True},
    {"model": "nano-banana-pro", "lane": "batch", "allow": {"batch": True}, "tenant": "press"},
    {"model": "nano-banana-pro", "allow": {"gateway": True}, "tenant": "elsewhere"},
    {"thinking": "high", "grounding": "image", "tenant": "web"},
    {"thinking": "minimal", "safety": {"image_hate": "block_only_high"}, "system_instruction": "Flat colours only."},
    {"purpose": "draft", "thinking": "medium"},
    {"thinking": "low", "lane": "batch", "allow": {"batch": True}, "safety": {"harassment": "off"}, "tenant": "press"},
    {"purpose": "final", "thinking": "high", "system_instruction": "One light from the left."},
)
PRICED = (
    Fault(kind="refusal", chance=0.06),
    Fault(kind="refusal", chance=0.03, usage=False, form="http_400"),
    Fault(kind="no_image", chance=0.05, form="text_only"),
    Fault(kind="no_image", chance=0.03, form="incomplete"),
    Fault(kind="requires_continuation", chance=0.02),
    Fault(kind="corrupt_image", chance=0.04),
    Fault(kind="wrong_size", chance=0.06),
    Fault(kind="served_by", served_by="gemini-nano-banana-2.1", model="gemini-3-pro-image", chance=0.1),
    Fault(kind="tier_downgraded", tier="priority", chance=0.3),
    Fault(kind="tier_downgraded", tier="flex", chance=0.2),
    Fault(kind="overload", chance=0.02),
    Fault(kind="internal", chance=0.02),
    Fault(kind="quota", chance=0.01, seconds=5.0),
    Fault(kind="other_tokens", chance=0.03),
    Fault(kind="duplicate_key", chance=0.4, copies=3),
)
"""Every way to end after which the provider either charges nothing or says what it counted."""
UNTOLD = (
    Fault(kind="hang", chance=0.06, charged=True),
    Fault(kind="reset", chance=0.04, charged=True),
    Fault(kind="cut", chance=0.08, api="interactions"),
    Fault(kind="malformed", chance=0.03),
    Fault(kind="other_shape", chance=0.06, api="interactions"),
    Fault(kind="missing_key", chance=0.8),
)
"""Charged, and no answer reports it."""
LOST_IN_A_BATCH = "lost"
"""What `hang` and `reset` are on the bill where they meet a line of a batch."""
AT_THE_GATEWAY = (
    Fault(kind="refusal", chance=0.1),
    Fault(kind="no_image", chance=0.1, form="text_only"),
    Fault(kind="corrupt_image", chance=0.1),
    Fault(kind="overload", chance=0.1),
    Fault(kind="rejected", chance=0.05),
)
"""Every 200 is charged, with or without an image; an error is not."""


LEVELS = {
    ("gemini-nano-banana-2.1", "minimal"),
    ("gemini-nano-banana-2.1", "medium"),
    ("gemini-nano-banana-2.1", "high"),
    ("gemini-3.1-flash-lite-image", "minimal"),
    ("gemini-3.1-flash-lite-image", "high"),
}
"""Of thinking, each with thoughts of its own on the bill."""
_DAYS: list[Day] = []


@pytest.fixture(autouse=True)
def _days_end() -> Iterator[None]:
    """Files of batches are let go of."""
    yield
    while _DAYS:
        _DAYS.pop().google.simulation.close()


class Day(GatewayWorld):
    """Google's lanes and batches on one simulator, a proven gateway on another, both in virtual time."""

    def __init__(self) -> None:
        _DAYS.append(self)
        super().__init__(quota="*=rpm:60")
        self.google, self.beside = SimulatedLane(self.clock), SimulatedGateway(self.clock)
        row = self.catalogue.gateways[NAME]
        rows = {NAME: replace(row, form="chat", sizes=("1K",))}
        self.catalogue = replace(self.catalogue, gateways=rows)
        self.lane = self.google  # type: ignore[assignment]
        self.provider = self.beside
        self.batches = SimulatedBatches(self.clock, self.google.simulation)  # type: ignore[assignment]
        self.boot()

    @property
    def gateway_calls(self) -> list[RecordedCall]:
        """Without the logged test of its proof."""
        test = sha256(TEST_PROMPT.encode()).hexdigest()
        return [call for call in self.beside.simulation.ledger.since() if call.prompt_sha256 != test]


async def a_day(*faults: Fault, requests: int = 120) -> tuple[Day, list[RecordedCall]]:
    """A day from midnight to midnight less an hour for what is late. Google's calls."""
    world = Day()
    await world.run(world.prove())
    now = world.clock.now()
    scope = Scope(tenant="elsewhere")
    flag = Flag("use-gateway-ann", "use-gateway", "ann", "Google is slow", now, now + timedelta(days=2), scope=scope)
    await world.run(trip(world.store, world.signals, flag))
    world.google.script(*faults)
    world.beside.script(*(AT_THE_GATEWAY if faults else ()))
    chance = Random(7)
    for number in range(requests):
        await world.submit(f"r-{number}", **KINDS[number % len(KINDS)])
        if chance.random() < 0.3:
            await world.run_for(timedelta(minutes=chance.uniform(0.5, 25)))
    await world.run_until_quiet()
    return world, world.google.simulation.ledger.since()


def rows(world: World) -> list[LedgerRow]:
    return [LedgerRow.from_json(document.data) for document in world.store.all("ledger")]


def billed(calls: list[RecordedCall], by: str) -> dict[str, int]:
    billed_micros: Counter[str] = Counter()
    for call in calls:
        billed_micros[{"model": call.served_model, "lane": call.tier}[by]] += call.cost_micros
    return {name: micros for name, micros in billed_micros.items() if micros}


def booked(world: World, by: str) -> dict[str, int]:
    groups = bills(rows(world), by).google.groups
    return {name: total.micros for name, total in groups.items() if total.micros}


async def test_a_day_whose_every_charge_is_told_is_booked_exactly_in_all_by_model_and_by_tier() -> None:
    world, calls = await a_day(*PRICED)
    assert {call.outcome for call in calls} >= {"image", "wrong_size", "served_by", "tier_downgraded", "no_image"}
    assert world.crashes == []
    total = bills(rows(world), "day").google.total
    assert total.micros == sum(call.cost_micros for call in calls) > 5_000_000
    assert total["attempts"] == len(calls)
    assert total["searches"] == sum(call.usage.searches for call in calls if call.charged)
    assert booked(world, "model") == billed(calls, "model")
    assert booked(world, "lane") == billed(calls, "lane")
    assert total["mismatches"] > 0
    assert total["micros_refused"] > 0
    assert total["micros_no_image"] > 0
    assert total["micros_retry_once"] > 0
    assert total["micros_retry_again"] > 0
    assert 0 < total["attempts_free"] <= sum(not call.cost_micros for call in calls)
    assert total["micros_duplicate"] > 0
    assert total["searches"] > 0
    assert set(booked(world, "lane")) == {"standard", "priority", "flex", "batch"}
    assert {(call.served_model, call.parameters.thinking) for call in calls if call.outcome == "image"} >= LEVELS


async def test_of_a_day_of_all_parameters_no_call_is_one_that_its_model_cannot_answer() -> None:
    world, calls = await a_day(requests=3 * len(KINDS))
    assert {call.outcome for call in calls} == {"image"}
    assert world.crashes == []


async def test_a_gateways_calls_of_that_day_are_a_bill_of_their_own_and_booked_exactly_too() -> None:
    world, _ = await a_day(*PRICED)
    calls = world.gateway_calls
    total = bills(rows(world), "day").gateways.total
    assert {call.outcome for call in calls} >= {"image", "refusal", "no_image"}
    assert total.micros == sum(call.cost_micros for call in calls) > 500_000
    assert total["attempts"] == len(calls)
    assert total["micros_refused"] > 0


async def test_what_was_charged_and_not_told_lies_within_the_range_of_the_attempts_of_unknown_cost() -> None:
    world, calls = await a_day(*PRICED, *UNTOLD)
    kinds = {fault.kind for fault in UNTOLD}
    untold = [call for call in calls if call.charged and call.outcome in {*kinds, LOST_IN_A_BATCH}]
    assert {call.outcome for call in untold} >= kinds
    total = bills(rows(world), "day").google.total
    bill = sum(call.cost_micros for call in calls)
    assert total.micros == bill - sum(call.cost_micros for call in untold)
    assert total["unknown_attempts"] >= len(untold)
    assert total.micros < bill <= total.micros + total["unknown_held_micros"]
    assert total["unknown_held_micros"] <= total["unknown_most_micros"]


async def test_every_split_of_the_bill_adds_up_to_it() -> None:
    world, _ = await a_day(*PRICED, *UNTOLD, requests=60)
    for by in DIMENSIONS:
        bill = bills(rows(world), by).google
        assert sum(group.micros for group in bill.groups.values()) == bill.total.micros
        for total in (bill.total, *bill.groups.values()):
            assert sum(total.by_why.values()) == sum(total.by_use.values()) == total.micros
            assert total.unsplit_micros == 0
            assert sum(total[f"attempts_retry_{repeat}"] for repeat in REPEATS) <= total["attempts_retry"]
            assert sum(total[f"micros_{part}"] for part in PARTS) == total.micros
            assert sum(total[f"attempts_{why}"] for why in WHYS) == total["attempts"]


async def test_a_ledger_has_one_row_a_combination_and_shard_and_no_more() -> None:
    world, calls = await a_day(requests=70)
    combinations = {(row.day, row.tenant, row.model, row.lane, row.flag) for row in rows(world)}
    assert len(rows(world)) <= min(64 * len(combinations), len(calls) + len(world.gateway_calls))
    assert {row.name for row in rows(world)} == {document.id for document in world.store.all("ledger")}


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
async def test_deliveries_that_come_twice_book_nothing_twice(twice: bool) -> None:
    world = World()
    world.deliver_twice = twice
    for number in range(5):
        await world.submit(f"r-{number}", purpose="final")
    await world.run_until_quiet()
    total: Total = bills(rows(world), "day").google.total
    assert (total["attempts"], total["images"]) == (5, 5)
    assert total.micros == sum(document.data["cost_micros"] for document in world.store.all("requests"))


SERVED: dict[str, Tier] = {item: item for item in (*SERVICE_TIERS, "batch")}
SKUS = {
    "gemini-3-pro-image": "Gemini 3 Pro Image",
    "gemini-nano-banana-2.1": "Gemini Nano Banana 2.1",
    "gemini-3.1-flash-lite-image": "Gemini 3.1 Flash Lite Image",
    "gemini-2.5-flash-image": "Gemini 2.5 Flash Native Image Generation",
}


def an_export(calls: list[RecordedCall]) -> str:
    """What Google's bill of these calls would be as a file: a line a call and SKU, by the simulator's own prices."""
    models = load().by_id
    lines = ["usage_start_time,service.description,sku.description,usage.amount,cost,currency"]
    for call in calls:
        if not call.charged or call.finished_at is None:
            continue
        model, usage = models[call.served_model], call.usage
        rates = model.rates[SERVED[call.tier]]
        lane = "" if call.tier == "standard" else f" {call.tier}"
        name = SKUS[call.served_model] + lane
        for sku, amount, nanos in (
            (f"Generate content input token count {name}", usage.total_in, usage.total_in * rates.input),
            (
                f"Generate_content text output token count for {name}",
                usage.text_out + usage.thoughts,
                (usage.text_out + usage.thoughts) * rates.text,
            ),
            (
                f"Generate_content image output token count for {name}",
                usage.image_out,
                usage.image_out * rates.image,
            ),
            (f"Search queries {name}", usage.searches, usage.searches * model.grounding_nanos_per_query),
        ):
            if amount:
                dollars = f"{Decimal(nanos) / 10**9:f}"
                lines.append(f"{call.finished_at:%Y-%m-%d %H:%M:%S} UTC,Gemini API,{sku},{amount},{dollars},USD")
    return "\n".join(lines)


async def test_a_bill_made_of_the_simulators_calls_agrees_with_the_ledger_by_day_and_sku() -> None:
    world, calls = await a_day(*PRICED, requests=60)
    reconciliation = reconcile(read_export(an_export(calls)), rows(world), world.catalogue.billing)
    assert reconciliation.differences == ()
    assert reconciliation.agreeing > 6
    assert abs(reconciliation.billed_micros - reconciliation.booked_micros) <= len(calls)


async def test_a_call_that_nobody_booked_is_found_in_the_bill() -> None:
    world, calls = await a_day(requests=14)
    image = next(call for call in calls if call.served_model == "gemini-3-pro-image" and call.size == "4K")
    reconciliation = reconcile(read_export(an_export([*calls, image])), rows(world), world.catalogue.billing)
    [difference] = reconciliation.differences
    assert (difference.what, difference.micros) == ("gemini-3-pro-image standard image", 240_000)
