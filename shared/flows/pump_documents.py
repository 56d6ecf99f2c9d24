"""The documents that only the pump writes: its own with the lead, and a calendar for each model.

Correctness rests on their compare-and-sets, never on the lead: a second pump that believes it leads loses its commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from shared.core.admission import FIRST_PACE, Admission
from shared.core.calendar import Calendar, Weight
from shared.core.documents import Absent, Committed, Conflict, Create, Document, Update, Write
from shared.core.quota import Limits
from shared.core.spend import Spend
from shared.flows.kicks import PUMP
from shared.flows.server_time import ServerTime
from shared.ports import Ports

LEAD = timedelta(seconds=10)
RENEW_WITHIN = timedelta(seconds=5)


class LeadLost(Exception):
    """Another pump leads, or has written what this one knew."""


@dataclass(frozen=True, slots=True)
class LostSlot:
    """A slot whose release could not be committed (its request was cancelled in that moment)."""

    release: str
    model: str
    slot_at: datetime
    weight: Weight


@dataclass(slots=True)
class PumpDocuments:
    """As this pump last read or wrote them, with what it remembers between ticks."""

    ports: Ports
    time: ServerTime
    pump: Document | Absent
    evidence_seen: datetime
    overdue_looked: datetime
    calendars: dict[str, Document | Absent] = field(default_factory=dict)
    pace: int = FIRST_PACE
    """Starts that half a second may hold: learned from those that came late."""
    last_429: dict[str, datetime] = field(default_factory=dict)
    first_used: dict[str, datetime] = field(default_factory=dict)
    learned: dict[str, int] = field(default_factory=dict)
    """Requests a minute that a 429 named, by model: that is the limit now."""
    lost: list[LostSlot] = field(default_factory=list)
    ticks: int = 0
    crowded: bool = False
    """The last tick left requests waiting for attempts in flight to end."""

    @classmethod
    async def take_lead(cls, ports: Ports) -> PumpDocuments | None:
        """The documents in the hand of a pump that leads, or None where another does."""
        pump = await ports.store.get(PUMP)
        if isinstance(pump, Document):
            holder, until = pump.data["lead_holder"], pump.data["lead_until"]
            if holder not in (None, ports.boot) and until is not None and until > pump.read_at:
                return None
        time = ServerTime(ports.clock, pump.read_at)
        long_ago = time.now() - timedelta(days=1)
        documents = cls(ports, time, pump, evidence_seen=long_ago, overdue_looked=long_ago)
        committed = await ports.store.commit(documents._pump_write(documents.spend, quiet=False, held={}))
        if isinstance(committed, Conflict):
            return None
        documents.pump = await ports.store.get(PUMP)
        return documents

    async def leave(self) -> None:
        assert isinstance(self.pump, Document)
        changes = {"lead_holder": None, "lead_until": None}
        await self.ports.store.commit(Update(PUMP, changes, self.pump.version))

    @property
    def spend(self) -> Spend:
        return Spend.from_json(self.pump.data["spend"]) if isinstance(self.pump, Document) else Spend()

    def limits(self, model: str) -> Limits:
        """As configured; a 429 that named the limit knows better."""
        configured = self.ports.quota.limits(model)
        named = self.learned.get(model)
        if named is None or (configured.rpm is not None and configured.rpm <= named):
            return configured
        return replace(configured, rpm=named)

    def calendar(self, model: str) -> Calendar:
        found = self.calendars.get(model)
        return Calendar.from_json(found.data) if isinstance(found, Document) else Calendar()

    async def read_calendars(self, models: Sequence[str]) -> None:
        """Read those that are not known yet: nobody else writes them."""
        missing = [model for model in models if model not in self.calendars]
        if missing:
            found = await self.ports.store.get_all([_calendar_path(model) for model in missing])
            self.calendars.update(zip(missing, found, strict=True))

    async def write(self, admission: Admission, *, quiet: bool) -> None:
        """The changed calendars and, with them, the pump's own document. Raises LeadLost; nothing changed: no write."""
        changed = {
            model: calendar
            for model, calendar in admission.calendars.items()
            if calendar.to_json() != self.calendar(model).forget(self.time.now()).to_json()
        }
        held = self._held(admission)
        if not changed and not self._lead_is_due(held, quiet=quiet):
            return
        writes: list[Write] = [self._pump_write(admission.spend, quiet=quiet, held=held)]
        writes += [self._calendar_write(model, calendar) for model, calendar in changed.items()]
        committed = await self.ports.store.commit(*writes)
        if isinstance(committed, Conflict):
            raise LeadLost
        self.time.observe(committed.at)
        for write, version in zip(writes, committed.versions, strict=True):
            found = self._written(write, version, committed)
            if write.path == PUMP:
                self.pump = found
            else:
                self.calendars[found.id] = found

    def _held(self, admission: Admission) -> dict[str, Any]:
        """Why each model's queue waits, for whoever looks at it."""
        return {
            model: {"reason": full.reason, "until": full.until, "why": self.calendar(model).closed_why}
            for model, full in admission.held.items()
        }

    def _lead_is_due(self, held: dict[str, Any], *, quiet: bool) -> bool:
        """Nothing new to say, and a lead that lasts: no write. A full minute is no news, a used-up day is."""
        assert isinstance(self.pump, Document)
        until = self.pump.data["lead_until"]
        news = _lasting(held) != _lasting(self.pump.data["held"])
        return bool(until - self.time.now() < RENEW_WITHIN or self.pump.data["quiet"] != quiet or news)

    def _pump_write(self, spend: Spend, *, quiet: bool, held: dict[str, Any]) -> Write:
        data = {
            "lead_holder": self.ports.boot,
            "lead_until": self.time.now() + LEAD,
            "quiet": quiet,
            "spend": spend.to_json(),
            "held": held,
        }
        match self.pump:
            case Absent():
                return Create(PUMP, data)
            case Document(version=version):
                return Update(PUMP, data, version)

    def _calendar_write(self, model: str, calendar: Calendar) -> Write:
        match self.calendars.get(model):
            case Document(version=version):
                return Update(_calendar_path(model), calendar.to_json(), version)
            case _:
                return Create(_calendar_path(model), calendar.to_json())

    def _written(self, write: Write, version: str, committed: Committed) -> Document:
        """The document as it is after a write of ours, without reading it again."""
        match write:
            case Create(path, data):
                return Document(path, data, version, committed.at)
            case Update(path, changes):
                before = self.pump if path == PUMP else self.calendars[path.rpartition("/")[2]]
                assert isinstance(before, Document)
                return Document(path, {**before.data, **changes}, version, committed.at)
            case _:
                raise AssertionError(f"the pump writes no {type(write).__name__}")


def _lasting(held: dict[str, Any]) -> dict[str, Any]:
    return {model: why for model, why in held.items() if why["reason"] in ("closed", "day")}


def _calendar_path(model: str) -> str:
    return f"calendars/{model}"
