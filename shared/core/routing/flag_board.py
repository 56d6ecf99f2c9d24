"""All tripped flags together, as one document keeps them: `flags/board`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Self

from msgspec import field
from msgspec.structs import replace

from shared.core.routing import flag
from shared.core.routing.breaker import OVERRULED
from shared.core.routing.flag import BREAKER, LONGEST_EXPIRY, Flag
from shared.core.routing.flag_kinds import NAMES
from shared.core.values.codec import Stored
from shared.core.values.documents import Fields

PATH = "flags/board"
HISTORY = "flag_history"
HISTORY_KEPT = timedelta(days=90)
MOST_FLAGS = 200
"""Per document."""
RESETS_KEPT = 50


class FlagRefused(Exception):
    """A change of a flag that is not possible. Says what was found, what is allowed, and what to do."""


class Board(Stored, frozen=True):
    flags: Mapping[str, Flag] = field(default_factory=dict)
    """By id; expired ones stay until they are written into the history."""
    overruled: Mapping[str, datetime] = field(default_factory=dict)
    """Until when on-call has forbidden a breaker to trip, by circuit."""
    resets: Mapping[str, datetime] = field(default_factory=dict)
    """When on-call reset conclusions, by id: evidence from before no longer counts."""

    @classmethod
    def from_json(cls, data: Fields) -> Self:
        """Flags that only a newer release knows are ignored: the others keep working after a rollback."""
        flags = {flag_id: fields for flag_id, fields in data.get("flags", {}).items() if fields.get("name") in NAMES}
        return super().from_json({**data, "flags": flags})

    def in_force(self, now: datetime) -> tuple[Flag, ...]:
        """Including shadow flags."""
        return flag.in_force(self.flags.values(), now)

    def expired(self, now: datetime) -> tuple[Flag, ...]:
        return tuple(item for item in self.flags.values() if item.expires_at <= now)

    def tripped(self, new: Flag) -> Board:
        """Raises FlagRefused."""
        if new.id in self.flags:
            raise FlagRefused(f"flag {new.id} is already active; reset or extend it")
        if len(self.flags) >= MOST_FLAGS:
            raise FlagRefused(f"{MOST_FLAGS} flags are active, which is the maximum; reset some first")
        if not timedelta(0) < new.expires_at - new.tripped_at <= LONGEST_EXPIRY:
            raise FlagRefused(
                f"expiry: found {new.expires_at - new.tripped_at}; allowed: up to {LONGEST_EXPIRY.days} days. "
                "Flags expire automatically; extend the flag while it is needed."
            )
        return replace(self, flags={**self.flags, new.id: new})

    def reset(self, flag_id: str, actor: str, now: datetime) -> Board:
        """Without the flag. A breaker's flag that a person resets stays reset for OVERRULED. Raises FlagRefused."""
        flag = self.find(flag_id)
        overruled = {circuit: until for circuit, until in self.overruled.items() if until > now}
        if flag.circuit is not None and actor != BREAKER and flag.expires_at > now:
            overruled[flag.circuit] = now + OVERRULED
        return replace(
            self, flags={name: flag for name, flag in self.flags.items() if name != flag_id}, overruled=overruled
        )

    def restored(self, flag: Flag, now: datetime) -> Board:
        """With a flag as it was before its reset; its breaker may trip again, too. Raises FlagRefused."""
        if flag.id in self.flags:
            raise FlagRefused(f"flag {flag.id} is active again already")
        if flag.expires_at <= now:
            raise FlagRefused(f"flag {flag.id} would have expired by now; trip a new one")
        overruled = {circuit: until for circuit, until in self.overruled.items() if circuit != flag.circuit}
        return replace(self, flags={**self.flags, flag.id: flag}, overruled=overruled)

    def expiring(self, flag: Flag) -> Board:
        """With a flag as it was before it was extended. Raises FlagRefused."""
        self.find(flag.id)
        return replace(self, flags={**self.flags, flag.id: flag})

    def forgotten(self, conclusion: str, now: datetime) -> Board:
        """With a conclusion that on-call resets. The newest RESETS_KEPT are kept."""
        newest = sorted({**self.resets, conclusion: now}.items(), key=lambda pair: pair[1])[-RESETS_KEPT:]
        return replace(self, resets=dict(newest))

    def extended(self, flag_id: str, until: datetime, actor: str, now: datetime) -> Board:
        """Raises FlagRefused."""
        flag = self.find(flag_id)
        if not timedelta(0) < until - now <= LONGEST_EXPIRY:
            raise FlagRefused(f"expiry: found {until - now}; allowed: up to {LONGEST_EXPIRY.days} days from now")
        longer = replace(flag, expires_at=until, held_by=actor if flag.actor == BREAKER else None)
        return replace(self, flags={**self.flags, flag_id: longer})

    def find(self, flag_id: str) -> Flag:
        """Raises FlagRefused."""
        if flag_id not in self.flags:
            tripped = ", ".join(sorted(self.flags)) or "none is active"
            raise FlagRefused(f"flag: found {flag_id!r}; allowed: {tripped}")
        return self.flags[flag_id]
