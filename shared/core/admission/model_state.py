"""How one model stands with its quota: the document `calendars/{model}` as a value. Only the pump writes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.admission.priority import Turns
from shared.core.admission.rate_control import Pressure
from shared.core.admission.slot_calendar import Calendar
from shared.core.limits.effective import Learned


class Standing(Struct, frozen=True):
    calendar: Calendar = field(default_factory=Calendar)
    turns: Turns = field(default_factory=Turns)
    pressure: Pressure = field(default_factory=Pressure)
    learned: Mapping[str, Learned] = field(default_factory=dict)
    """Limits that 429s named, by dimension."""
    denied_until: datetime | None = None
    """When it is probed next, while a conclusion closes it that a person has to mend: key, project, balance."""

    def forget(self, now: datetime) -> Standing:
        return replace(self, calendar=self.calendar.forget(now), turns=self.turns.forget(now))

    def to_json(self) -> dict[str, Any]:
        return self.calendar.to_json() | {
            "turns": self.turns.to_json(),
            "pressure": self.pressure.to_json(),
            "learned": {dimension: each.to_json() for dimension, each in self.learned.items()},
            "denied_until": self.denied_until,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Standing:
        return cls(
            Calendar.from_json(data),
            Turns.from_json(data["turns"]),
            Pressure.from_json(data["pressure"]),
            {dimension: Learned.from_json(each) for dimension, each in data["learned"].items()},
            data["denied_until"],
        )


def path(model: str) -> str:
    return f"calendars/{model}"
