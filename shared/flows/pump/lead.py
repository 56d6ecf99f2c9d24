"""The lead, and the documents that only the leading pump writes: its own, and one for each model.

Correctness depends on their compare-and-sets, never on the lead: a second pump that believes it leads fails to commit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.accounting.budget import BudgetAccount
from shared.core.admission import model_state
from shared.core.admission.clock_rewind import rewound, rewound_routing, set_back_by
from shared.core.admission.fleet_pace import FleetPace
from shared.core.admission.model_state import ModelState
from shared.core.admission.route_memory import Routing
from shared.core.admission.spend_window import Spend
from shared.core.admission.tick import Memory
from shared.core.limits.enforced import Enforced
from shared.core.observability import events
from shared.core.records.pump import PumpRecord
from shared.core.values.codec import Stored, stored_in
from shared.core.values.documents import Absent, Conflict, Create, Delete, Document, Fields, Update, Write
from shared.flows.clock import ServerTime
from shared.flows.pump.budgets import BudgetState
from shared.flows.pump.dormant import wake_from_the_future
from shared.flows.pump.state import PumpDocuments, PumpState
from shared.flows.pump_status import LONGEST_LEAD, PUMP
from shared.ports import Ports

LEADER_LEASE = timedelta(seconds=6)
"""Renewed with every write, and at least when RENEW_WITHIN is left; after a pump dies, nothing is granted for this
long."""
RENEW_WITHIN = timedelta(seconds=3)
UNDISTURBED = timedelta(seconds=10)
"""For this long, a new lead is not passed to another release: with traffic split between two, it would go back and
forth."""
LASTING = ("closed", "day", "zero", "paused", "no route")
"""Reasons to wait whose change is written at once."""


class LeadLost(Exception):
    """Another pump leads, or has written what this one had read."""


class Lead(Struct, frozen=True):
    """As it was taken."""

    time: ServerTime
    """The one clock of this lead."""
    state: PumpState


class PumpEntry(Struct, frozen=True):
    """What the pump's own document is to contain."""

    memory: Memory
    routing: Routing
    blocked: Mapping[str, Any] = field(default_factory=dict)
    """By model, why its queue waits."""
    waiting: Sequence[str] = ()
    """Queues that are known to have waiting requests."""
    over_budget: tuple[str, ...] = ()


class Written(Struct, frozen=True):
    """The documents after a commit."""

    documents: PumpDocuments
    accounts: Mapping[str, Document | Absent]
    """Documents of tenants' budgets that were written, by path."""
    at: datetime


async def take_lead(ports: Ports) -> Lead | None:
    """None if another pump leads."""
    pump = await ports.store.get(PUMP)
    last = PumpRecord.of(pump)
    if isinstance(pump, Document):
        until = last.lead_until
        leads = until is not None and pump.read_at < until <= pump.read_at + LONGEST_LEAD
        if last.lead_holder not in (None, ports.boot) and leads and not _succeeds(ports, pump):
            return None
    time = ServerTime(ports.clock, pump.read_at)
    since = last.lead_since or pump.read_at if last.lead_holder == ports.boot else None
    documents, memory = PumpDocuments(pump, lead_since=since), _memory(pump)
    routing = Routing.from_json(last.routing) if isinstance(pump, Document) else Routing()
    changed: Mapping[str, ModelState] = {}
    by = set_back_by(memory, pump.read_at)
    if by:
        ports.signals.emit(events.CLOCK_SET_BACK, seconds=round(by.total_seconds()))
        documents, memory = await read_standings(ports, documents, memory, {*ports.catalogue.models, *memory.limits})
        unrestricted = {model: item for model, item in memory.standings.items() if item != ModelState()}
        memory = rewound(replace(memory, standings=unrestricted), by)
        routing = rewound_routing(routing, by)
        await wake_from_the_future(ports, time.now())
        changed = memory.standings
    entry = PumpEntry(memory, routing, over_budget=last.over_budget)
    written = await _commit(ports, documents, entry, changed, now=time.now())
    if isinstance(written, Conflict):
        return None
    moment = time.moment()
    state = PumpState(
        documents=written.documents,
        memory=memory,
        routing=routing,
        budgets=BudgetState(over_budget=last.over_budget),
        decided_at=moment.monotonic,
        swept_at=moment.now - timedelta(days=1),
    )
    return Lead(time, state)


async def leave(ports: Ports, documents: PumpDocuments) -> None:
    """Give up the lead, for the next process that is kicked."""
    assert isinstance(documents.pump, Document)
    changes: dict[str, Any] = {"lead_holder": None, "lead_until": None, "lead_since": None, "waiting": []}
    await ports.store.commit(Update(PUMP, changes, documents.pump.version))


async def read_standings(
    ports: Ports, documents: PumpDocuments, memory: Memory, models: Collection[str]
) -> tuple[PumpDocuments, Memory]:
    """With those that were not read yet: only this pump writes them."""
    missing = sorted(set(models) - set(documents.calendars))
    if not missing:
        return documents, memory
    calendars = await ports.store.get_all([model_state.path(model) for model in missing])
    read = {
        model: ModelState.from_json(document.data) if isinstance(document, Document) else ModelState()
        for model, document in zip(missing, calendars, strict=True)
    }
    by_model = {**documents.calendars, **dict(zip(missing, calendars, strict=True))}
    return replace(documents, calendars=by_model), replace(memory, standings={**memory.standings, **read})


async def write(
    ports: Ports, documents: PumpDocuments, before: PumpEntry, after: PumpEntry, *,
    accounts: Sequence[tuple[BudgetAccount, Document | Absent]], done: Sequence[Document], now: datetime,
) -> Written | None:  # fmt: skip
    """Write what changed, all together, with the pump's own document; `done` are deleted. None if nothing changed.

    `before`: memory and routing as the earlier stages had them. `accounts` beside their documents. Raises LeadLost.
    """
    standings = before.memory.standings
    changed = {
        model: standing
        for model, standing in after.memory.standings.items()
        if standing.to_json() != standings.get(model, ModelState()).forget(now).to_json()
    }
    is_routed_anew = _saved_at_once(after.routing) != _saved_at_once(before.routing)
    if not (changed or accounts or done or is_routed_anew or _is_due(documents, before, after, now)):
        return None
    written = await _commit(ports, documents, after, changed, accounts, done, now=now)
    if isinstance(written, Conflict):
        raise LeadLost
    return written


def _is_due(documents: PumpDocuments, before: PumpEntry, after: PumpEntry, now: datetime) -> bool:
    """Whether something is worth writing, or the lead ends soon. A full minute is not, a used-up day is."""
    assert isinstance(documents.pump, Document)
    written = PumpRecord.of(documents.pump)
    if after.over_budget != written.over_budget or tuple(after.waiting) != written.waiting:
        return True
    if after.memory.epoch != before.memory.epoch or _lasting(after.blocked) != _lasting(written.blocked or {}):
        return True
    return written.lead_until is None or written.lead_until - now < RENEW_WITHIN


async def _commit(
    ports: Ports, documents: PumpDocuments, entry: PumpEntry, changed: Mapping[str, ModelState],
    accounts: Sequence[tuple[BudgetAccount, Document | Absent]] = (), done: Sequence[Document] = (), *, now: datetime,
) -> Written | Conflict:  # fmt: skip
    lead_since = documents.lead_since or now
    memory = entry.memory
    pump = {
        "lead_holder": ports.boot,
        "lead_until": now + LEADER_LEASE,
        "lead_since": lead_since,
        "lead_release": ports.release.identity,
        "waiting": list(entry.waiting),
        "held": dict(entry.blocked),
        "spend": memory.spend.to_json(),
        "served": dict(memory.served),
        "fleet": memory.fleet.to_json(),
        "epoch": memory.epoch,
        "limits": {model: dict(numbers) for model, numbers in memory.limits.items()},
        "routing": entry.routing.to_json(),
        "over_budget": list(entry.over_budget),
        "gateways": sorted(ports.gateways_in_use),
        "enforces": Enforced(ports.quota.by_model, ports.capacity, ports.release.name, ports.open_lanes).to_json(),
        "vertex": ports.vertex_in_use,
    }
    writes = [_write(PUMP, pump, documents.pump)]
    for model, standing in changed.items():
        before = documents.calendars.get(model, Absent(model_state.path(model), now))
        writes.append(_write(model_state.path(model), standing.to_json(), before))
    writes += [_write(account.path, account.to_json(), document) for account, document in accounts]
    gone = [Delete(document.path, document.version) for document in done]
    committed = await ports.store.commit(*writes, *gone)
    if isinstance(committed, Conflict):
        return committed
    own, *others = [
        Document(write.path, _data(write), version, committed.at)
        for write, version in zip(writes, committed.versions, strict=False)
    ]
    calendars = {**documents.calendars, **dict(zip(changed, others, strict=False))}
    written = {document.path: document for document in others[len(changed) :]}
    return Written(PumpDocuments(own, calendars, lead_since), written, committed.at)


def _succeeds(ports: Ports, pump: Document) -> bool:
    """Whether this pump takes the lead over from a living one. Kicks arrive where traffic goes, so a kick that reaches
    another release than the leader's means that a release was deployed or rolled back.

    Safe at any time: the leader's next commit fails, and it has handed out nothing that it had not committed.
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
