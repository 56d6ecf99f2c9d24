"""When the guard of the disk stops new work, what it says, and how it ends."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from scripts.local.disk_guard import ACTOR, LOW_BYTES, RESERVE_BYTES, ROOM_BYTES, DiskGuard, Reserve, judge
from shared.core.routing.flag import Flag
from shared.flows.operations import flags
from tests.chaos.chaos_world import ChaosWorld

HOME = Path("/srv/renderlane")


class _Disk:
    """A guard, and what it looks at."""

    def __init__(self, tmp_path: Path) -> None:
        self.world = ChaosWorld()
        self.free: dict[str, int | None] = {"RENDERLANE_HOME": ROOM_BYTES, "RENDERLANE_IMAGES": ROOM_BYTES}
        self.remarks: list[str] = []
        self.kicks = 0
        self.reserve = tmp_path / "disk-reserve"
        self.boot()

    def boot(self) -> None:
        places = {name: HOME / name.lower() for name in self.free}
        by_place = {folder: name for name, folder in places.items()}
        self.guard = DiskGuard(
            self.world.ports, places, Reserve(self.reserve), lambda place: self.free[by_place[place]],
            self.remarks.append, self._kicked,
        )  # fmt: skip

    async def _kicked(self) -> None:
        self.kicks += 1

    async def look(self, **free: int | None) -> list[Flag]:
        """With so much free at the home; the flags of the guard then."""
        self.free |= {f"RENDERLANE_{name.upper()}": count for name, count in free.items()}
        await self.guard.look()
        return [flag for flag in (await flags.read_own(self.world.store)).flags.values() if flag.actor == ACTOR]


@pytest.fixture
def disk(tmp_path: Path) -> _Disk:
    return _Disk(tmp_path)


def test_between_the_marks_things_stay_as_they_are() -> None:
    assert [judge(count) for count in (0, LOW_BYTES - 1, LOW_BYTES, ROOM_BYTES - 1, ROOM_BYTES)] == [
        "low", "low", "between", "between", "room",
    ]  # fmt: skip


async def test_a_low_disk_pauses_once_names_the_place_and_goes_on_with_room(disk: _Disk) -> None:
    assert await disk.look() == []
    assert disk.reserve.stat().st_size == RESERVE_BYTES

    (flag,) = await disk.look(images=LOW_BYTES - 1)
    assert flag.name == "pause"
    assert flag.reason.startswith(f"RENDERLANE_IMAGES: {LOW_BYTES - 1:,} bytes free at {HOME}/renderlane_images")
    assert not disk.reserve.exists(), "its room is needed now"
    assert await disk.look(images=LOW_BYTES) == [flag], "between the marks it stays"
    assert await disk.look(images=ROOM_BYTES) == []
    assert disk.reserve.stat().st_size == RESERVE_BYTES
    assert len(disk.remarks) == 2
    assert disk.kicks == 2, "the pump is told of both"
    escalation, room = (
        event for event in disk.world.signals.emitted if event[0].name in ("escalation", "disk_has_room")
    )
    assert escalation[1]["runbook"] == "disk-full"
    assert "RENDERLANE_IMAGES" in str(escalation[1]["what"])
    assert room[0].name == "disk_has_room"


async def test_a_store_that_takes_nothing_is_asked_again_at_each_look(disk: _Disk) -> None:
    disk.world.faults.away("store", timedelta(seconds=60))
    await disk.world.run(disk.guard.look())
    disk.free["RENDERLANE_HOME"] = 0
    await disk.world.run(disk.guard.look())
    assert len(disk.remarks) == 1
    disk.world.clock.advance(timedelta(seconds=61))
    (flag,) = await disk.look(home=0)
    assert "RENDERLANE_HOME: 0 bytes free" in flag.reason
    assert len(disk.remarks) == 1, "told once"


async def test_a_pause_of_an_earlier_boot_ends_where_there_is_room_and_others_stay(disk: _Disk) -> None:
    await disk.look(home=0)
    now = disk.world.clock.now()
    ours = Flag("pause-0001", "pause", "alice", "an incident", now, now + timedelta(hours=1))
    await flags.trip(disk.world.store, disk.world.signals, ours)
    disk.boot()
    assert len(await disk.look(home=LOW_BYTES)) == 1, "not reported yet"
    assert await disk.look(home=ROOM_BYTES) == []
    assert list((await flags.read_own(disk.world.store)).flags) == [ours.id]


async def test_a_pause_is_renewed_before_it_expires(disk: _Disk) -> None:
    (flag,) = await disk.look(home=0)
    disk.world.clock.advance(timedelta(minutes=90))
    (longer,) = await disk.look(home=0)
    assert longer.id == flag.id
    assert longer.expires_at > flag.expires_at


async def test_a_disk_that_cannot_be_asked_is_left_alone(disk: _Disk) -> None:
    assert await disk.look(home=None, images=None) == []
    assert disk.remarks == []
