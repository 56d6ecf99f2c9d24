"""The quota state of one model: the document `calendars/{model}` as a value. Only the pump writes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from msgspec import field
from msgspec.structs import replace

from shared.core.admission.open_slots import Opening
from shared.core.admission.priority import PriorityState
from shared.core.admission.rate_control import Pressure
from shared.core.admission.slot_calendar import Calendar
from shared.core.limits.effective import Learned
from shared.core.values.codec import Stored
from shared.core.values.documents import Fields


class ModelState(Stored, frozen=True):
    calendar: Calendar = field(default_factory=Calendar)
    turns: PriorityState = field(default_factory=PriorityState)
    pressure: Pressure = field(default_factory=Pressure)
    learned: Mapping[str, Learned] = field(default_factory=dict)
    """Limits that 429s reported, by dimension."""
    denied_until: datetime | None = None
    """When to probe next, while a conclusion closes the model that a person has to fix: key, project, balance."""
    opening: Opening = field(default_factory=Opening)
    """Slots that requests may take as they arrive."""

    def forget(self, now: datetime) -> ModelState:
        return replace(self, calendar=self.calendar.forget(now), turns=self.turns.forget(now))

    def to_json(self) -> dict[str, Any]:
        """The calendar's fields are stored beside the others, as they were before there were others."""
        fields = super().to_json()
        calendar: dict[str, Any] = fields.pop("calendar")
        return calendar | fields

    @classmethod
    def from_json(cls, data: Fields) -> Self:
        return super().from_json({**data, "calendar": dict(data)})


def path(model: str) -> str:
    return f"calendars/{model}"
