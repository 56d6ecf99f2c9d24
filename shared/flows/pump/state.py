"""What the pump carries from one tick to the next. TickRunner owns it, and replaces it in one place.

All of it is one frozen value. What a stage reads faster than once a tick is kept in caches beside it (the fronts of
the queues, plans, proofs of background calls): losing one costs a read, and changes no decision.
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
    """The documents as this pump last read or wrote them: with their versions, each commit is a compare-and-set."""

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
    """What the last tick planned under; None before the first."""
    reroutes: RerouteSearch = RerouteSearch()
    blocked: Mapping[str, Blocked] = field(default_factory=dict)
    """Models that the last tick found full, and why."""
    lost: tuple[LostSlot, ...] = ()
    """Slots that nobody took up: the next tick gives them back."""
    shut_since: Mapping[str, datetime] = field(default_factory=dict)
    """By model that opens to nothing for a while: see Dormant."""
    woken_epoch: int = -1
    """Requests that fell asleep in an older epoch are all awake."""
    stuck: frozenset[str] = frozenset()
    """Models whose requests had no route left, breakers and all; reported."""
    suspected: frozenset[str] = frozenset()
    """Cases of too few requests for a conclusion; reported."""
    crowded: bool = False
    """Requests wait for attempts in flight to end."""
    recounts: bool = False
    """A limit of concurrency holds a queue: what is in flight is counted at each tick."""
    ticks: int = 0
    """That went well."""
