"""A tick is a pipeline of values: its stages come in one order, change nothing of each other, and end in one state."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from shared.core.accounting.budget import default_budget
from shared.core.messages.topics import RENDER_RELEASES
from shared.core.values.documents import Create, Document, Update
from shared.flows.pump import stages
from shared.flows.pump import tick as tick_module
from shared.flows.pump.lead import LeadLost, take_lead
from shared.flows.pump.stages.hand_out import hand_out
from shared.flows.pump.tick import TickRunner
from shared.flows.pump_status import PUMP
from tests.builders import a_record, a_request
from tests.world import World

STAGES = ("sweep", "observe", "plan", "afford", "decide", "persist", "hand_out", "park")
BEFORE_THE_WRITE = STAGES[: STAGES.index("persist")]
WRITTEN_BY_THEN = ("hand_out", "park")
IN_BATCH = {
    "model": "nano-banana-pro",
    "lane": "batch",
    "allow": {"batch": True},
    "floor": {"model": "nano-banana-pro"},
    "priority": "bulk",
}


async def queue(world: World, request_id: str, **fields: Any) -> None:
    """As intake does; the message that told of it has long been taken."""
    await world.store.commit(Create(f"requests/{request_id}", a_record(a_request(request_id=request_id, **fields))))


async def a_world() -> World:
    """With requests of two tenants and two models, for slots and for a batch; one tenant has little money."""
    world = World("*=rpm:60")
    world.ports = replace(world.ports, default_budget=default_budget(300_000))
    for number in range(3):
        await queue(world, f"pro-{number}", model="gemini-3-pro-image")
    await queue(world, "other", model="gemini-nano-banana-2.1", tenant="shop")
    await queue(world, "in-batch", tenant="shop", **IN_BATCH)
    return world


async def a_runner(world: World) -> TickRunner:
    lead = await take_lead(world.ports)
    assert lead is not None
    return TickRunner(world.ports, lead)


def after_each(monkeypatch: pytest.MonkeyPatch, call: Callable[[str, Any], None]) -> None:
    """Have each stage call this with its name and value."""
    for name in STAGES:
        _wrap(monkeypatch, name, call)


def _wrap(monkeypatch: pytest.MonkeyPatch, name: str, call: Callable[[str, Any], None]) -> None:
    real = getattr(tick_module, name)

    async def stage(*values: Any, **named: Any) -> Any:
        value = await real(*values, **named)
        call(name, value)
        return value

    monkeypatch.setattr(tick_module, name, stage)


async def dies_in(runner: TickRunner, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick of it that fails when the stage has done its work. The next one does not."""
    failures = iter([ValueError("negative shift count")])

    def fail(*_: object) -> None:
        for error in failures:
            raise error

    _wrap(monkeypatch, name, fail)
    with pytest.raises(ValueError, match="negative shift count"):
        await runner.tick(None)


def structs(value: Any) -> Iterator[Struct]:
    """Every struct of ours in a value."""
    match value:
        case Struct():
            yield value
            for name in value.__struct_fields__:
                yield from structs(getattr(value, name))
        case Mapping():
            for pair in value.items():
                yield from structs(pair)
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from structs(item)
        case _:
            pass


def released(world: World) -> list[str]:
    return sorted(name for name, status in world.statuses().items() if status == "released")


# -- the order --------------------------------------------------------------------------------------------------------


async def test_the_stages_run_once_each_in_the_documented_order(monkeypatch: pytest.MonkeyPatch) -> None:
    world, run = await a_world(), []
    after_each(monkeypatch, lambda name, _: run.append(name))
    runner = await a_runner(world)
    assert await runner.tick(None)
    assert tuple(run) == STAGES


def test_package_and_page_name_the_stages_in_this_order() -> None:
    names = [name.replace("_", " ") for name in STAGES]
    assert stages.__doc__ is not None
    assert ", ".join(names) in stages.__doc__
    page = Path("docs/data-flow.md").read_text("utf-8")
    rows = re.findall(r"^\| \d \| `shared/flows/pump/stages/(\w+)\.py` \|", page, re.MULTILINE)
    assert tuple(rows) == STAGES


# -- values -----------------------------------------------------------------------------------------------------------


async def test_whatever_a_stage_returns_is_frozen_through_and_through(monkeypatch: pytest.MonkeyPatch) -> None:
    world, values = await a_world(), []
    after_each(monkeypatch, lambda _, value: values.append(value))
    runner = await a_runner(world)
    await runner.tick(None)
    kinds = {type(item) for item in structs([*values, runner.state])}
    assert {type(value) for value in values} <= kinds
    assert len(kinds) > 30
    assert sorted(kind.__name__ for kind in kinds if not kind.__struct_config__.frozen) == []


async def test_no_stage_changes_what_another_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mappings inside of frozen values could be changed: they are compared as they were when their stage ended."""
    world, values = await a_world(), []
    after_each(monkeypatch, lambda name, value: values.append((name, value, repr(value))))
    runner = await a_runner(world)
    state = runner.state
    before = repr(state)
    for _ in range(3):
        await runner.tick(None)
        world.clock.advance(timedelta(seconds=1))
    assert len(values) == 3 * len(STAGES)
    assert [name for name, value, shown in values if repr(value) != shown] == []
    assert repr(state) == before


# -- the state --------------------------------------------------------------------------------------------------------


async def test_the_state_is_replaced_once_a_tick_and_after_all_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await a_world()
    runner = await a_runner(world)
    first, is_first = runner.state, []
    after_each(monkeypatch, lambda *_: is_first.append(runner.state is first))
    await runner.tick(None)
    assert all(is_first)
    assert runner.state is not first
    assert (first.ticks, runner.state.ticks) == (0, 1)
    pump = world.store.all("pump")[0]
    assert isinstance(runner.state.documents.pump, Document)
    assert runner.state.documents.pump.version == pump.version, "the state is what is on record"
    assert Path("shared/flows/pump/tick.py").read_text("utf-8").count("self.state =") == 2, "here, and at the beginning"


async def test_requests_for_slots_and_for_a_batch_are_in_the_state_after_it() -> None:
    world = await a_world()
    runner = await a_runner(world)
    await runner.tick(None)
    statuses = world.statuses()
    assert statuses["in-batch"] == "batched"
    assert statuses["other"] == "released"
    assert runner.state.sight.in_flight.running["gemini-3-pro-image"] == len(released(world)) - 1
    world.clock.advance(timedelta(seconds=1))
    await runner.tick()
    state = runner.state
    assert state.budgets.over_budget == ("default",), "the money is not enough for the last one"
    assert (await world.store.get(PUMP)).data["over_budget"] == ["default"]  # type: ignore[union-attr]
    assert state.budgets.balances.unwritten == {}
    assert all(balance.account.pending == () for balance in state.budgets.balances.by_tenant.values())
    assert state.context is not None


async def test_a_slot_that_nobody_took_is_in_the_state_and_the_next_tick_gives_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await a_world()
    runner = await a_runner(world)

    async def after_a_change(*values: Any) -> Any:
        request = world.request("other")
        await world.store.commit(Update(request.path, {"updated_at": world.clock.now()}, request.version))
        return await hand_out(*values)

    monkeypatch.setattr(tick_module, "hand_out", after_a_change)
    await runner.tick(None)
    (slot,) = runner.state.lost
    assert (slot.release, slot.model) == ("other:1", "gemini-nano-banana-2.1")
    assert "other" not in released(world)
    monkeypatch.undo()
    world.clock.advance(timedelta(seconds=1))
    await runner.tick(None)
    assert runner.state.lost == ()
    assert slot.release in runner.state.memory.standings[slot.model].calendar.refunded


@pytest.mark.parametrize("name", STAGES)
async def test_an_error_in_a_stage_leaves_the_state_as_it_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await a_world()
    runner = await a_runner(world)
    before = runner.state
    shown = repr(before)
    await dies_in(runner, name, monkeypatch)
    assert runner.state is before
    assert repr(before) == shown


@pytest.mark.parametrize("name", BEFORE_THE_WRITE)
async def test_an_error_before_the_write_hands_nothing_out_and_the_next_tick_does(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await a_world()
    runner = await a_runner(world)
    await dies_in(runner, name, monkeypatch)
    assert released(world) == []
    await runner.tick(None)
    assert len(released(world)) == len(world.topics.on(RENDER_RELEASES)) > 1


@pytest.mark.parametrize("name", ["persist", *WRITTEN_BY_THEN])
async def test_a_tick_that_dies_after_its_write_can_write_no_second_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would decide by calendars that do not know of the slots that it gave away."""
    world = await a_world()
    runner = await a_runner(world)
    await dies_in(runner, name, monkeypatch)
    handed_out, calendars = released(world), repr(world.store.all("calendars"))
    await queue(world, "late", model="gemini-3-pro-image", tenant="another")
    with pytest.raises(LeadLost):
        await runner.tick(None)
    assert released(world) == handed_out
    assert repr(world.store.all("calendars")) == calendars
    await (await a_runner(world)).tick(None)
    assert "late" in released(world), "a new lead reads everything again"


async def test_a_pump_that_another_has_replaced_writes_and_hands_out_nothing() -> None:
    world = await a_world()
    runner = await a_runner(world)
    before = runner.state
    await a_runner(world)
    with pytest.raises(LeadLost):
        await runner.tick(None)
    assert runner.state is before
    assert released(world) == []


# -- the clock --------------------------------------------------------------------------------------------------------


def test_the_pump_asks_no_other_clock_for_the_time() -> None:
    """`ServerTime` alone: a worker's own clock may differ by seconds. Its monotonic time is for how old a read is."""
    sources = list(Path("shared/flows/pump").rglob("*.py"))
    assert len(sources) > 20
    assert [str(path) for path in sources if re.search(r"\bclock\.now\(", path.read_text("utf-8"))] == []


async def test_what_one_tick_decides_is_decided_at_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await a_world()
    runner = await a_runner(world)
    values: dict[str, Any] = {}
    after_each(monkeypatch, lambda name, value: values.update({name: value}))
    await runner.tick(None)
    decisions = values["decide"]
    assert runner.state.decided_at == decisions.at.monotonic
    assert all(grant.slot_at >= decisions.at.now for grant in decisions.result.grants)
    assert world.store.all("pump")[0].data["fleet"]["seen_at"] == decisions.at.now
