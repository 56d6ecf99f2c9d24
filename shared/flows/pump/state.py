"""The documents that only the pump writes: its own with the lead, and one for each model.

Correctness rests on their compare-and-sets, never on the lead: a second pump that believes it leads loses its commit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.accounting.budget import BudgetAccount
from shared.core.admission import model_state
from shared.core.admission.clock_rewind import fell_by, rewound, rewound_routing
from shared.core.admission.fleet_pace import FleetPace
from shared.core.admission.model_state import ModelState
from shared.core.admission.route_memory import Routing
from shared.core.admission.spend_window import Spend
from shared.core.admission.tick import Memory
from shared.core.limits.enforced import Enforced
from shared.core.observability import events
from shared.core.records.pump import PumpRecord
from shared.core.values.codec import Stored, stored_in
from shared.core.values.documents import Absent, Committed, Conflict, Create, Delete, Document, Fields, Update, Write
from shared.flows.clock import ServerTime
from shared.flows.pump.dormant import wake_from_the_future
from shared.flows.pump_status import LONGEST_LEAD, PUMP
from shared.ports import Ports

LEADER_LEASE = timedelta(seconds=6)
"""Renewed with every write, and at least while RENEW_WITHIN is left; so long nobody grants when a pump dies."""
RENEW_WITHIN = timedelta(seconds=3)


UNDISTURBED = timedelta(seconds=10)
"""For so long a new lead passes to no other release: with traffic split between two, it would go back and forth."""


LASTING = ("closed", "day", "zero", "paused", "no route")


class LeadLost(Exception):
    """Another pump leads, or has written what this one knew."""


class PumpDocuments(Struct):
    """As this pump last read or wrote them."""

    ports: Ports
    time: ServerTime
    pump: Document | Absent
    memory: Memory
    routing: Routing = field(default_factory=Routing)
    calendars: dict[str, Document | Absent] = field(default_factory=dict)
    """By model."""
    accounts: dict[str, Document | Absent] = field(default_factory=dict)
    """Of tenants' budgets, by path."""
    over_budget: tuple[str, ...] = ()
    """Tenants of whom requests wait for money."""
    lead_since: datetime | None = None

    @classmethod
    async def take_lead(cls, ports: Ports) -> PumpDocuments | None:
        """The documents in the hand of a pump that leads, or None where another does."""
        pump = await ports.store.get(PUMP)
        last = PumpRecord.of(pump)
        if isinstance(pump, Document):
            until = last.lead_until
            leads = until is not None and pump.read_at < until <= pump.read_at + LONGEST_LEAD
            if last.lead_holder not in (None, ports.boot) and leads and not _succeeds(ports, pump):
                return None
        routing = Routing.from_json(last.routing) if isinstance(pump, Document) else Routing()
        documents = cls(ports, ServerTime(ports.clock, pump.read_at), pump, _memory(pump), routing)
        if last.lead_holder == ports.boot:
            documents.lead_since = last.lead_since or pump.read_at
        documents.over_budget = last.over_budget
        by = fell_by(documents.memory, pump.read_at)
        if by:
            await documents._rewind(by)
        changed = documents.memory.standings if by else {}
        committed = await documents._commit(documents.memory, documents.routing, changed, blocked={}, waiting=[])
        return documents if isinstance(committed, Committed) else None

    async def _rewind(self, by: timedelta) -> None:
        """Everything remembered, as the clock tells it that was set back by so much; and its sleepers awake."""
        self.ports.signals.emit(events.CLOCK_SET_BACK, seconds=round(by.total_seconds()))
        await self.read_standings({*self.ports.catalogue.models, *self.memory.limits})
        unrestricted = {model: item for model, item in self.memory.standings.items() if item != ModelState()}
        self.memory = rewound(replace(self.memory, standings=unrestricted), by)
        self.routing = rewound_routing(self.routing, by)
        await wake_from_the_future(self.ports, self.time.now())

    async def leave(self) -> None:
        """Give up the lead, for the next process that is kicked."""
        assert isinstance(self.pump, Document)
        changes: dict[str, Any] = {"lead_holder": None, "lead_until": None, "lead_since": None, "waiting": []}
        await self.ports.store.commit(Update(PUMP, changes, self.pump.version))

    async def read_standings(self, models: Collection[str]) -> None:
        """Read those that are not known yet: nobody else writes them."""
        missing = sorted(set(models) - set(self.calendars))
        if not missing:
            return
        documents = await self.ports.store.get_all([model_state.path(model) for model in missing])
        self.calendars.update(zip(missing, documents, strict=True))
        read = {
            model: ModelState.from_json(document.data) if isinstance(document, Document) else ModelState()
            for model, document in zip(missing, documents, strict=True)
        }
        self.memory = replace(self.memory, standings={**self.memory.standings, **read})

    async def write(
        self,
        after: Memory,
        routing: Routing,
        *,
        blocked: Mapping[str, Any],
        waiting: list[str],
        accounts: Sequence[BudgetAccount] = (),
        done: Sequence[Document] = (),
    ) -> None:
        """What changed, all together, with the pump's own document; `done` go. Raises LeadLost; nothing changed: no
        write.
        """
        now = self.time.now()
        before = self.memory.standings
        changed = {
            model: standing
            for model, standing in after.standings.items()
            if standing.to_json() != before.get(model, ModelState()).forget(now).to_json()
        }
        is_routed_anew = _saved_at_once(routing) != _saved_at_once(self.routing)
        if changed or accounts or done or is_routed_anew or self._is_due(after, blocked, waiting):
            committed = await self._commit(after, routing, changed, accounts, done, blocked=blocked, waiting=waiting)
            if isinstance(committed, Conflict):
                raise LeadLost
            self.time.observe(committed.at)
        self.memory, self.routing = after, routing

    def _is_due(self, after: Memory, blocked: Mapping[str, Any], waiting: list[str]) -> bool:
        """Something to say, or a lead that ends soon. A full minute is no news, a used-up day is."""
        assert isinstance(self.pump, Document)
        written = PumpRecord.of(self.pump)
        if self.over_budget != written.over_budget or tuple(waiting) != written.waiting:
            return True
        if after.epoch != self.memory.epoch or _lasting(blocked) != _lasting(written.blocked or {}):
            return True
        return written.lead_until is None or written.lead_until - self.time.now() < RENEW_WITHIN

    async def _commit(
        self,
        after: Memory,
        routing: Routing,
        changed: Mapping[str, ModelState],
        accounts: Sequence[BudgetAccount] = (),
        done: Sequence[Document] = (),
        *,
        blocked: Mapping[str, Any],
        waiting: list[str],
    ) -> Committed | Conflict:
        self.lead_since = self.lead_since or self.time.now()
        ports = self.ports
        pump = {
            "lead_holder": self.ports.boot,
            "lead_until": self.time.now() + LEADER_LEASE,
            "lead_since": self.lead_since,
            "lead_release": self.ports.release.identity,
            "waiting": waiting,
            "held": dict(blocked),
            "spend": after.spend.to_json(),
            "served": dict(after.served),
            "fleet": after.fleet.to_json(),
            "epoch": after.epoch,
            "limits": {model: dict(numbers) for model, numbers in after.limits.items()},
            "routing": routing.to_json(),
            "over_budget": list(self.over_budget),
            "gateways": sorted(self.ports.gateways_in_use),
            "enforces": Enforced(ports.quota.by_model, ports.capacity, ports.release.name).to_json(),
            "vertex": self.ports.vertex_in_use,
        }
        writes = [_write(PUMP, pump, self.pump)]
        for model, standing in changed.items():
            before = self.calendars.get(model, Absent(model_state.path(model), self.time.now()))
            writes.append(_write(model_state.path(model), standing.to_json(), before))
        writes += [_write(account.path, account.to_json(), self.accounts[account.path]) for account in accounts]
        gone = [Delete(document.path, document.version) for document in done]
        committed = await self.ports.store.commit(*writes, *gone)
        if isinstance(committed, Committed):
            written = [
                Document(write.path, _data(write), version, committed.at)
                for write, version in zip(writes, committed.versions, strict=False)
            ]
            self.pump = written[0]
            self.calendars.update(zip(changed, written[1:], strict=False))
            self.accounts.update({document.path: document for document in written[1 + len(changed) :]})
        return committed


def _succeeds(ports: Ports, pump: Document) -> bool:
    """Whether this pump takes the lead over from one that is alive: kicks come where traffic goes, so a kick that
    reaches another release than the leader's was deployed, or rolled back to, meanwhile. Safe at any time: the
    leader's next commit fails, and it has handed out nothing that it had not committed.
    """
    record = PumpRecord.of(pump)
    leader, since = record.lead_release, record.lead_since
    ours = ports.release.identity
    if not ours or not leader or ours == leader:
        return False
    return since is None or pump.read_at - since >= UNDISTURBED


class _Kept(Stored, frozen=True):
    """What the pump's document keeps from tick to tick, beside what others read of it: see Memory."""

    spend: Mapping[int, int]
    served: Mapping[str, float]
    fleet: FleetPace
    epoch: int
    limits: Mapping[str, Mapping[str, int | None]]


def _memory(pump: Document | Absent) -> Memory:
    if isinstance(pump, Absent):
        return Memory()
    kept = stored_in(pump, _Kept)
    return Memory(spend=Spend(kept.spend), served=kept.served, fleet=kept.fleet, epoch=kept.epoch, limits=kept.limits)


def _write(path: str, data: Fields, before: Document | Absent) -> Write:
    return Update(path, data, before.version) if isinstance(before, Document) else Create(path, data)


def _data(write: Write) -> Fields:
    """What the document holds after a write of all its fields."""
    match write:
        case Create(_, data) | Update(_, data, _):
            return data
        case _:
            raise AssertionError(f"the pump writes no {type(write).__name__}")


def _saved_at_once(routing: Routing) -> Any:
    """The part of the routing whose change is written at once; starts are written together with the calendars."""
    probed = {name: (circuit.tripped_at, circuit.probed_at) for name, circuit in routing.circuits.items()}
    conclusions = {
        name: (case.conclusion, tuple(case.fresh)) for name, case in routing.conclusions.cases.items() if case.fresh
    }
    return routing.in_force, conclusions, probed


def _lasting(blocked: Mapping[str, Any]) -> dict[str, Any]:
    return {model: why for model, why in blocked.items() if why["reason"] in LASTING}
