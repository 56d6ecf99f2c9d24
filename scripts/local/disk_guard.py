"""A disk that fills up stops new work before it stops the books: what is under way can still be stored and settled.

Below LOW_BYTES a flag `pause` by `disk` is tripped, which every screen shows with its reason: the place and what is
free there. A file in the home holds RESERVE_BYTES for that moment, so that the flag, and the end of what is under way,
can be put on record even where another program took the last byte. With ROOM_BYTES free the flag is reset and the file
made again, without a restart. On a disk that is entirely full SQLite takes nothing: no message is acknowledged, and
each comes again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal, TypeAlias

from shared.adapters.process import private_file
from shared.core.observability import events
from shared.core.routing.flag import Flag
from shared.core.routing.flag_board import FlagRefused
from shared.flows.operations import flags
from shared.ports import Ports
from shared.ports.store import StoreUnavailable

ACTOR = "disk"
LOW_BYTES = 32_000_000
ROOM_BYTES = 64_000_000
"""As much as a start demands."""
RESERVE_BYTES = 8_000_000
LOOK_EVERY = 1.0
"""Seconds."""
PAUSED_FOR = timedelta(hours=2)
RENEWED_BEFORE = timedelta(hours=1)
RUNBOOK = "disk-full"

Judgement: TypeAlias = Literal["low", "between", "room"]


def judge(free_bytes: int) -> Judgement:
    """Between the two marks nothing changes."""
    if free_bytes < LOW_BYTES:
        return "low"
    return "room" if free_bytes >= ROOM_BYTES else "between"


class Reserve:
    """A file whose only purpose is that it can be removed. There is none if it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Written in full: a sparse file would reserve no space."""
        if self._size() >= RESERVE_BYTES:
            return
        try:
            with open(self._path, "wb", opener=private_file.opener) as file:
                file.write(b"\0" * RESERVE_BYTES)
        except OSError:
            self.give()

    def give(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0


class DiskGuard:
    """Checks the folders once a second while the home runs."""

    def __init__(
        self,
        ports: Ports,
        places: Mapping[str, Path],
        reserve: Reserve,
        free: Callable[[Path], int | None],
        say: Callable[[str], None],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        """`places`: folders by the setting that names them. `free` returns bytes; None if unknown. `say` informs a
        person at once; `changed` wakes the pump."""
        self._ports = ports
        self._places = places
        self._reserve = reserve
        self._free = free
        self._say = say
        self._changed = changed
        self._low = False
        self._was_well = False
        """False at the start, and whenever space was low: before that, a pause of an earlier start may still be in
        force."""
        self._noted = True
        """The flag in the store matches the state."""

    async def keep_looking(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY)

    async def look(self) -> None:
        free = {name: free for name, folder in self._places.items() if (free := self._free(folder)) is not None}
        judgements = {name: judge(count) for name, count in free.items()}
        lowest = min(free, key=lambda name: free[name], default=None)
        if lowest is not None and judgements[lowest] == "low" and not self._low:
            self._become_low(self._what(lowest, free[lowest]))
        elif all(judgement == "room" for judgement in judgements.values()) and not self._was_well:
            self._become_well()
        if self._low and lowest is not None:
            await self._pause(self._what(lowest, free[lowest]))
        elif not self._noted:
            await self._go_on()

    def _what(self, name: str, free: int) -> str:
        return f"{name}: {free:,} bytes free at {self._places[name]}, {ROOM_BYTES:,} are needed; make room there"

    def _become_low(self, what: str) -> None:
        self._low, self._was_well = True, False
        self._reserve.give()
        self._say(f"no new call starts: {what}")
        self._ports.signals.emit(events.ESCALATION, what=f"the disk is full: {what}", request_id=None, runbook=RUNBOOK)

    def _become_well(self) -> None:
        if self._low:
            self._say("the disk has room again: calls start")
            self._ports.signals.emit(events.DISK_HAS_ROOM, places=sorted(map(str, self._places.values())))
        self._low, self._was_well, self._noted = False, True, False
        self._reserve.fill()

    async def _pause(self, why: str) -> None:
        """Recorded, and renewed before it expires. If the store does not accept it, it is tried again at the next
        look."""
        store, now = self._ports.store, self._ports.clock.now()
        try:
            own = [flag for flag in (await flags.read_own(store)).flags.values() if flag.actor == ACTOR]
            if not own:
                new = Flag(f"pause-disk-{now:%H%M%S%f}", "pause", ACTOR, why, now, now + PAUSED_FOR)
                await flags.trip(store, self._ports.signals, new)
                await self._changed()
            elif own[0].expires_at - now < RENEWED_BEFORE:
                await flags.extend(store, self._ports.signals, own[0].id, now + PAUSED_FOR, ACTOR, why)
        except (StoreUnavailable, FlagRefused):
            return

    async def _go_on(self) -> None:
        """Without this guard's flags, including those of an earlier start."""
        store = self._ports.store
        try:
            for flag in (await flags.read_own(store)).flags.values():
                if flag.actor == ACTOR:
                    await flags.reset(store, self._ports.signals, flag.id, ACTOR, "the disk has room again")
                    await self._changed()
        except (StoreUnavailable, FlagRefused):
            return
        self._noted = True
