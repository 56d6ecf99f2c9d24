"""Changes of flags: `flag_history/{time}-{action}-{flag}`, for people and for undoing a change."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from msgspec import field

from shared.core.routing.flag import Flag, Scope
from shared.core.values.codec import Record, Stored
from shared.core.values.documents import Fields

Action: TypeAlias = Literal["trip", "reset", "extend", "expire", "undo"]


class LoggedFlag(Stored, frozen=True):
    """What a line shows of its flag, even one that only a later release knows."""

    actor: str = ""
    scope: Scope = field(default_factory=Scope)
    to: str | None = None
    shadow: bool = False
    expires_at: datetime | None = None


class HistoryLine(Record, frozen=True):
    at: datetime
    action: Action
    flag_id: str
    name: str
    actor: str
    reason: str
    flag: Fields
    """As it was then; see `logged` and `whole_flag`."""
    expire_at: datetime | None = None

    @property
    def logged(self) -> LoggedFlag:
        return LoggedFlag.from_json(self.flag)

    @property
    def whole_flag(self) -> Flag:
        """Raises msgspec.ValidationError for a flag that only a later release knows."""
        return Flag.from_json(self.flag)
