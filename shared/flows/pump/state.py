"""What the pump carries from one tick to the next. TickRunner owns it, and replaces it in one place.

All of it is one frozen value. What a stage reads more often than once a tick is cached beside it (the fronts of the
queues, plans, proofs of background calls): losing a cache costs reads, and changes no decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field

from shared.core.admission.route_memory import Routing
from shared.core.admission.slot_calendar import Blocked
from shared.core.admission.tick import LostSlot, Memory
from shared.core.routing.context import RoutingContext
from shared.core.values.documents import Absent, Document
from shared.flows.pump.budgets import BudgetState
from shared.flows.pump.rerouted import RerouteSearch
from shared.flows.pump.sight import Sight


class PumpDocuments(Struct, frozen=True):
    """The documents as this pump last read or wrote them: because of their versions, each commit is a
    compare-and-set."""

    pump: Document | Absent
    calendars: Mapping[str, Document | Absent] = field(default_factory=dict)
    """By model."""
    lead_since: datetime | None = None
    """None before the first commit of this lead."""


class PumpState(Struct, frozen=True):
    """After a tick, and before the next."""

    documents: PumpDocuments
    memory: Memory
    routing: Routing
    budgets: BudgetState
    decided_at: float
    """When the last tick decided, by the monotonic clock; before the first tick, when the lead was taken."""
    swept_at: datetime
    """When lost releases and passed deadlines were last looked for."""
    sight: Sight = Sight()
    context: RoutingContext | None = None
    """The context of the last tick; None before the first."""
    reroutes: RerouteSearch = RerouteSearch()
    blocked: Mapping[str, Blocked] = field(default_factory=dict)
    """Models that were full at the last tick, and why."""
    lost: tuple[LostSlot, ...] = ()
    """Slots that no worker took: the next tick gives them back."""
    shut_since: Mapping[str, datetime] = field(default_factory=dict)
    """By model that opens to nothing for a while: see Dormant."""
    woken_epoch: int = -1
    """Requests that were suspended in an older epoch are all awake."""
    stuck: frozenset[str] = frozenset()
    """Models whose requests had no route left, because of breakers or otherwise; reported."""
    suspected: frozenset[str] = frozenset()
    """Cases of too few requests for a conclusion; reported."""
    crowded: bool = False
    """Requests wait for attempts in flight to end."""
    recounts: bool = False
    """A concurrency limit blocks a queue: what is in flight is counted at each tick."""
    ticks: int = 0
    """Ticks that succeeded."""
