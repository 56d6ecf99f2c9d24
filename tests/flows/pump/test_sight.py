"""What the pump has read of the world, from look to look."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.core.conclusions.worker_report import WorkerReport
from shared.core.limits.observations import ModelObservations, StartSignal
from shared.core.routing.flag import Flag
from shared.core.values.documents import Create, Document, Update
from shared.flows.clock import ServerTime
from shared.flows.operations.flags import trip
from shared.flows.pump.sight import COUNT_EVERY, FLAGS_EVERY, InFlight, Sight, look
from tests.flows.pump.test_stages import a_world
from tests.world import World

MODEL = "gemini-3-pro-image"
PATH = "evidence/boot-7"


async def report(world: World, *, drift: dict[int, int], late: int = 0) -> None:
    """A worker's whole report, as it stands now."""
    now = world.clock.now()
    observed = ModelObservations(drift=drift)
    for _ in range(late):
        observed = observed.with_sign(StartSignal.LATE, now, now)
    fields = WorkerReport(now, now + timedelta(days=1), {MODEL: observed}).to_json()
    before = await world.store.get(PATH)
    write = Update(PATH, fields, before.version) if isinstance(before, Document) else Create(PATH, fields)
    await world.store.commit(write)


async def looked(world: World, before: Sight, **due: bool) -> Sight:
    clock = ServerTime(world.clock, world.clock.now())
    wanted = {"flags_may_differ": False, "recounts": False, "air": False} | due
    return await look(world.ports, before, [MODEL], clock.moment(), **wanted)


def queries_of(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The queries that are counted from now on."""
    counted: list[Any] = []
    real = world.store.count

    async def count(query: Any) -> int:
        counted.append(query)
        return await real(query)

    monkeypatch.setattr(world.store, "count", count)
    return counted


async def test_the_first_look_counts_what_an_earlier_pump_was_told_and_corrects_nothing_by_it() -> None:
    world = World()
    await report(world, drift={1: 50}, late=1)
    first = (await looked(world, Sight())).reports
    assert first is not None
    assert first.drift == {}
    assert first.late == {MODEL}, "late releases stand in their queues again, under any lead"


async def test_a_later_look_tells_what_was_reported_since_the_one_before() -> None:
    world = World()
    await report(world, drift={1: 50})
    first = await looked(world, Sight())
    await report(world, drift={1: 70, 2: -5}, late=1)
    second = await looked(world, first)
    assert second.reports is not None
    assert second.reports.drift == {MODEL: {1: 20, 2: -5}}
    assert second.reports.late == {MODEL}
    third = (await looked(world, second)).reports
    assert third is not None
    assert (third.drift, third.late) == ({}, frozenset())


async def test_a_look_changes_nothing_of_the_one_before() -> None:
    world = World()
    await report(world, drift={1: 50})
    first = await looked(world, Sight())
    shown = repr(first)
    await report(world, drift={1: 70}, late=2)
    await looked(world, first, recounts=True, air=True, flags_may_differ=True)
    assert repr(first) == shown


async def test_what_is_in_flight_is_counted_when_that_is_due_and_never_too_little_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await a_world()
    counted = queries_of(world, monkeypatch)
    first = await looked(world, Sight())
    assert (len(counted), first.in_flight.running) == (2, {MODEL: 0})
    granted = Sight(in_flight=first.in_flight.plus([MODEL, MODEL, "another"]))
    second = await looked(world, granted)
    assert len(counted) == 2, "not due"
    assert second.in_flight.running == {MODEL: 2, "another": 1}
    await looked(world, granted, recounts=True)
    assert len(counted) == 4
    world.clock.advance(timedelta(seconds=COUNT_EVERY))
    third = await looked(world, granted)
    assert len(counted) == 6
    assert third.in_flight.running == {MODEL: 0}, "what was counted includes the releases before"


def test_what_was_granted_is_added_to_what_was_counted() -> None:
    before = InFlight({MODEL: 3})
    assert before.plus([MODEL]).plus([MODEL, "another"]).running == {MODEL: 5, "another": 1}
    assert before.running == {MODEL: 3}


async def test_flags_are_read_when_they_may_differ_and_now_and_then() -> None:
    world = World()
    first = await looked(world, Sight())
    now = world.clock.now()
    flag = Flag("pause", "pause", "jane", "a test", now, now + timedelta(hours=1))
    await trip(world.store, world.signals, flag)
    assert (await looked(world, first)).flags.board.flags == {}, "read lately"
    assert (await looked(world, first, flags_may_differ=True)).flags.board.flags.keys() == {"pause"}
    world.clock.advance(timedelta(seconds=FLAGS_EVERY))
    assert (await looked(world, first)).flags.board.flags.keys() == {"pause"}
