"""A week in a minute: day boundaries, the two changes of the clock in California, what is forgotten, what grows."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.sqlite.store import SqliteStore
from shared.core.accounting import cost_report
from shared.core.accounting.ledger import LedgerRow
from shared.core.lifecycle.queries import EXPIRING, INDEXES
from shared.core.times.pacific import next_pacific_midnight, pacific_day
from shared.core.values.documents import Create, Delete, Document
from tests.chaos.reader import Reader
from tests.contract.fake_clock import FakeClock
from tests.fakes.virtual_clock import VirtualClock
from tests.world import World

PRO = "gemini-3-pro-image"
RPD = 24
A_DAY, A_BUSY_DAY = 10, 40
"""Requests of one Pacific day: far below its limit, or as many more as wait for the next day."""
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
WATCH_EVERY = 15 * MINUTE
"""Once a minute, as it is in life, only after each midnight: it is what wakes the pump then."""
LARGEST_DOCUMENT = 200_000
"""Bytes, of a store that takes a million."""


class Week:
    """Seven Pacific days, of which the fourth is the one with the change of the clock, as a person counts them."""

    def __init__(self, change: datetime, before: timedelta, after: timedelta) -> None:
        """`change`: when the clock changes. `before`, `after`: California's distance from UTC on both sides."""
        self.change, self.before, self.after = change, before, after
        first = (change + before).replace(hour=0) - timedelta(days=3)
        self.midnights = [self.utc(first + timedelta(days=number)) for number in range(8)]

    def utc(self, local: datetime) -> datetime:
        """Of a midnight in California."""
        at = local - self.before
        return at if at < self.change else local - self.after

    @property
    def lengths(self) -> list[timedelta]:
        return [until - since for since, until in zip(self.midnights, self.midnights[1:], strict=False)]

    def day(self, at: datetime) -> int:
        """The number of the day, from 0."""
        return sum(at >= midnight for midnight in self.midnights) - 1


AUTUMN = Week(datetime(2026, 11, 1, 9, tzinfo=UTC), timedelta(hours=-7), timedelta(hours=-8))
"""2 o'clock is 1 o'clock again (https://www.nist.gov/pml/time-and-frequency-division/popular-links/daylight-saving-time-dst)."""
SPRING = Week(datetime(2027, 3, 14, 10, tzinfo=UTC), timedelta(hours=-8), timedelta(hours=-7))
BUSY = (2, 3)
"""The day before the change, and the day of it."""


@pytest.mark.parametrize(("week", "length"), [(AUTUMN, 25), (SPRING, 23)], ids=["autumn", "spring"])
def test_the_pacific_day_is_as_long_as_it_is_there(week: Week, length: int) -> None:
    assert week.lengths == [24 * HOUR] * 3 + [length * HOUR] + [24 * HOUR] * 3
    for number, (since, until) in enumerate(zip(week.midnights, week.midnights[1:], strict=False)):
        for at in (since, since + timedelta(microseconds=1), until - timedelta(microseconds=1)):
            assert next_pacific_midnight(at) == until
            assert pacific_day(at) == pacific_day(since)
        assert pacific_day(until) > pacific_day(since), number


@pytest.mark.parametrize("week", [AUTUMN, SPRING], ids=["autumn", "spring"])
async def test_a_week_with_a_change_of_the_clock(week: Week) -> None:
    """Light traffic around the clock, two days over the day's limit, and requests whose 30 days end in that week."""
    started = week.midnights[0] - timedelta(days=27)
    world = World(f"{PRO}=rpm:60,rpd:{RPD};*=rpm:60", clock=VirtualClock(started))
    reader = Reader(world)
    for number in range(5):
        await world.submit(f"old-{number}", model="nano-banana-2")
    await world.run_until_quiet()
    old_ends = {name: world.status(name)["finished_at"] for name in world.statuses()}
    world.clock.advance(week.midnights[0] - world.clock.now())
    accepted: dict[str, datetime] = {}
    sizes: list[dict[str, int]] = []
    forgotten_at: dict[str, datetime] = {}

    async def publish(day: int) -> None:
        count = A_BUSY_DAY if day in BUSY else A_DAY
        since, length = week.midnights[day], week.lengths[day]
        for number in range(count):
            at = since + length * (number + 0.5) / count
            await world.clock.sleep((at - world.clock.now()).total_seconds())
            name = f"d{day}-{number:02}"
            accepted[name] = world.clock.now()
            await world.submit(name, model=PRO, floor="exact", tenant=("web", "print")[number % 2])

    async def look(day: int) -> None:
        """Each hour: what was forgotten, and whether it was time."""
        await world.clock.sleep(5 * 60)
        world.watch_every = WATCH_EVERY
        while world.clock.now() + HOUR < week.midnights[day + 1]:
            await world.clock.sleep(HOUR.total_seconds())
            for name in old_ends.keys() - world.statuses().keys() - forgotten_at.keys():
                forgotten_at[name] = world.clock.now()

    for day in range(7):
        world.watch_every = MINUTE
        await world.run_for(week.midnights[day + 1] - world.clock.now(), publish(day), look(day))
        reader.now()
        sizes.append(_sizes(world))
    await world.run_until_quiet()
    reader.at_the_end()

    _each_day_has_its_limit(world, week)
    _costs_stand_on_their_days(world)
    assert set(world.statuses()) == set(accepted), "what is live was forgotten, or what is over was kept"
    for name, ended in old_ends.items():
        late = forgotten_at[name] - (ended + timedelta(days=30))
        assert timedelta(0) <= late <= HOUR + WATCH_EVERY + MINUTE, (name, late)
    _nothing_grows_but_what_is_counted(sizes, world)


def _each_day_has_its_limit(world: World, week: Week) -> None:
    starts: defaultdict[int, list[datetime]] = defaultdict(list)
    for call in world.lane.calls:
        if call.order.model == PRO:
            starts[week.day(call.at)].append(call.at)
    counts = [len(starts[day]) for day in range(7)]
    assert counts[0] == counts[1] == A_DAY
    assert counts[2] == counts[3] == RPD, "a busy day uses its limit, and no call more"
    assert all(count <= RPD for count in counts), counts
    for day in (3, 4, 5):  # as many waited for midnight as it has room for
        first = min(starts[day]) - week.midnights[day]
        assert first <= 2 * MINUTE, f"day {day} began {first} after its midnight"
    waited = 2 * (A_BUSY_DAY - RPD)
    assert sum(counts[4:]) + len(starts[7]) == waited + 3 * A_DAY


def _costs_stand_on_their_days(world: World) -> None:
    """Of the ledger, which is by UTC days, against the attempts as they ended."""
    ends: Counter[str] = Counter()
    for request in world.store.all("requests"):
        for attempt in world.attempts(request.id):
            ends[f"{attempt['ended_at']:%Y-%m-%d}"] += attempt["cost_micros"]
    rows = [LedgerRow.from_json(row.data) for row in world.store.all("ledger")]
    by_day = {name: bill for name, bill in cost_report.bills(rows, "day").google.groups.items() if name in ends}
    assert {name: total.micros for name, total in by_day.items()} == dict(ends)
    assert len(ends) >= 7


def _sizes(world: World) -> dict[str, int]:
    """Documents by collection."""
    return {collection: len(world.store.all(collection)) for collection in list(world.store._collections)}


def _nothing_grows_but_what_is_counted(sizes: list[dict[str, int]], world: World) -> None:
    """After the second day the rest of the store stands still: only requests, their notes and the ledger are kept."""
    grows = {name for name, count in sizes[-1].items() if count > sizes[1].get(name, 0) + 2 and "/attempts" not in name}
    assert grows <= {"requests", "ledger"}, {name: [size.get(name, 0) for size in sizes] for name in grows}
    for collection in list(world.store._collections):
        for document in world.store.all(collection):
            size = len(json.dumps(document.data, default=str))
            assert size <= LARGEST_DOCUMENT, f"{document.path} has {size:,} bytes"
            expires = document.data.get("expire_at")
            assert expires is None or expires > world.clock.now() - WATCH_EVERY - MINUTE, f"{document.path} is overdue"
            assert expires is None or collection in EXPIRING, f"{collection} is never looked through"


async def test_the_file_of_a_home_is_as_large_after_a_quarter_as_after_a_month(tmp_path: Path) -> None:
    """SQLite uses the room again of what was forgotten: 90 days of the same traffic, 30 of them kept."""
    clock = FakeClock()
    store = SqliteStore(tmp_path / "state.db", clock, INDEXES)
    sizes = []
    for day in range(90):
        await store.commit(*(Create(f"requests/{day}-{number}", _request(day, number)) for number in range(60)))
        if day >= 30:
            old = await store.get_all([f"requests/{day - 30}-{number}" for number in range(60)])
            await store.commit(*(Delete(row.path, row.version) for row in old if isinstance(row, Document)))
        sizes.append(sum(item.stat().st_size for item in tmp_path.iterdir()))
    await store.close()
    assert sizes[-1] <= 1.15 * sizes[32], f"{sizes[32]:,} bytes after a month, {sizes[-1]:,} after a quarter"


def _request(day: int, number: int) -> dict[str, Any]:
    at = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=day, seconds=number)
    return {
        "status": "succeeded", "request_id": f"{day}-{number}", "tenant": "web", "created_at": at, "finished_at": at,
        "updated_at": at, "prompt": "a lighthouse " * 40, "expire_at": at + timedelta(days=30),
    }  # fmt: skip
