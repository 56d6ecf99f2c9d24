"""The series in each store: one commit with the summary, a point a minute, marks of what happened."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.core.accounting.ledger import Cell
from shared.core.observability.series import MINUTE, Series, number
from shared.core.observability.status_summary import Summary
from shared.core.routing.flag import Flag
from shared.core.values.documents import Committed, Document, Update
from shared.core.values.release import Release
from shared.flows.operations import flags
from shared.flows.status import series_point, summary
from shared.flows.status.ledger_rows import LedgerRows
from shared.ports import Ports
from shared.ports.store import Store
from tests.contract.fake_clock import FakeClock
from tests.world import World

PRO = "gemini-3-pro-image"


async def booked(store: Store, attempts: int, now: datetime, **amounts: int) -> None:
    cell = Cell(now.date().isoformat(), "web", PRO, "standard", ())
    done = await store.commit(cell.increment({"attempts": attempts, **amounts}, 0, now))
    assert isinstance(done, Committed)


async def now_of(store: Store) -> datetime:
    return (await store.get("summary/summary")).read_at


def ports_on(store: Store, **changes: Release) -> Ports:
    return replace(World().ports, store=store, **changes)


async def points(store: Store) -> Series:
    document = await store.get("series/series")
    assert isinstance(document, Document)
    return Series.from_json(document.data)


async def _a_minute_later(store: Store, clock: FakeClock) -> None:
    """The emulator has a time of its own: there the last point is set back instead."""
    clock.advance(MINUTE)
    document = await store.get("summary/summary")
    assert isinstance(document, Document)
    result = Summary.from_json(document.data)
    assert result.meter.point_at is not None
    if number(result.meter.point_at, MINUTE) == number(document.read_at, MINUTE):
        earlier = replace(result.meter, point_at=result.meter.point_at - MINUTE)
        data = replace(result, meter=earlier).to_json()
        await store.commit(Update(document.path, data, document.version))


async def test_what_came_between_two_points_is_in_the_second_and_a_release_and_a_flag_are_marked(
    store: Store, clock: FakeClock
) -> None:
    ports = ports_on(store, release=Release("1a2b3c"))
    rows = LedgerRows(store)
    await booked(store, 5, await now_of(store), images=5, cost_micros=500)
    await summary.write(ports, rows)
    now = await now_of(store)
    flag = Flag("pause-1a2b", "pause", "ann", "a test", now, now + timedelta(hours=1))
    await flags.trip(store, ports.signals, flag)
    await booked(store, 4, now, images=1, cost_micros=70, failed_overload=3, model_6=1, wait_2=4)
    await _a_minute_later(store, clock)
    await summary.write(ports_on(store, release=Release("4d5e6f")), rows)
    result = await points(store)
    assert result.at is not None
    last = number(result.at, MINUTE)
    assert result.minutes.column("images", last, 1)[0] == 1
    assert result.minutes.column("failed", last, 1) == [3]
    assert result.minutes.column("cost_micros", last, 1) == [70]
    assert result.minutes.column(f"failed standard/{PRO}", last, 1) == [3]
    assert result.minutes.column("wait_50", last, 1) == [8]  # between 0.5 and 1 s
    assert [(item.kind, item.text) for item in result.marks] == [
        ("flag", "pause on: a test"), ("deploy", "release 0.1.0+4d5e6f"),
    ]  # fmt: skip


async def test_another_pump_goes_on_where_the_last_one_ended_and_reads_only_what_changed(
    store: Store, clock: FakeClock
) -> None:
    ports = ports_on(store)
    await booked(store, 5, await now_of(store), images=5)
    await summary.write(ports)
    await booked(store, 2, await now_of(store), images=2)
    first = await summary.write(ports)
    assert first is not None
    rows = LedgerRows(store)
    again = await summary.write(ports, rows)
    clock.advance(timedelta(seconds=1))
    await booked(store, 1, await now_of(store), failed_timeout=1)
    after = await summary.write(ports, rows)
    assert again is not None
    assert after is not None
    assert attempts(again) == attempts(first)
    assert attempts(after) - attempts(again) == 1


def attempts(result: Summary) -> int:
    """Since the last point."""
    return result.meter.minute.get(f"standard/{PRO}", {}).get("attempts", 0)


async def test_a_home_without_series_has_none_to_show(store: Store) -> None:
    assert (await series_point.read_now(ports_on(store)))[0] == Series()


async def test_a_flags_marks_say_when_its_time_begins_and_ends_also_by_an_undo(store: Store, clock: FakeClock) -> None:
    ports = ports_on(store)
    await summary.write(ports)
    now = await now_of(store)
    flag = Flag("pause-1a2b", "pause", "ann", "a test", now, now + timedelta(hours=1))
    await flags.trip(store, ports.signals, flag)
    clock.advance(timedelta(seconds=1))
    await flags.reset(store, ports.signals, flag.id, "ann", "it is well")
    clock.advance(timedelta(seconds=1))
    await flags.undo(store, ports.signals, flag.id, "ann")
    await _a_minute_later(store, clock)
    await summary.write(ports)
    result = await points(store)
    assert [(mark.about, mark.phase) for mark in result.marks] == [
        ("pause-1a2b", "begin"), ("pause-1a2b", "end"), ("pause-1a2b", "begin"),
    ]  # fmt: skip
    assert [band.is_open for band in result.bands(await now_of(store))] == [False, True]
