"""What routes are chosen by, as stored: flags, breakers, conclusions, which models are closed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from msgspec import Struct, field

from shared.core.admission import model_state
from shared.core.admission.model_state import ModelState
from shared.core.admission.outlook import denials, denied_apart, offers, outlook
from shared.core.admission.route_memory import Routing
from shared.core.admission.slot_calendar import Blocked
from shared.core.catalogue.catalogue import Catalogue
from shared.core.records.pump import PumpRecord
from shared.core.routing import flag_board
from shared.core.routing.context import Offer, RoutingContext
from shared.core.routing.flag import BREAKER, Flag
from shared.core.routing.flag_board import Board
from shared.core.routing.gateway import serving
from shared.core.routing.vertex import VERTEX_USES, VertexUse
from shared.core.values.documents import Document, Fields
from shared.core.values.lanes import VERTEX
from shared.core.values.route import GATEWAY, pool
from shared.flows.operations.gateway_proofs import read_off
from shared.flows.pump_status import PUMP
from shared.ports.flags import FlagSource
from shared.ports.store import Store


class RoutingSnapshot(Struct, frozen=True):
    """The state at one look; empty if nothing was ever started."""

    now: datetime
    own: Board = field(default_factory=Board)
    """Our own flags, which can be changed here."""
    board: Board = field(default_factory=Board)
    """Including those of the team's flag system, if RENDERLANE_FLAG_PROVIDER names it in this environment too."""
    routing: Routing = field(default_factory=Routing)
    """What the pump remembers about routes and flags."""
    opens: Mapping[str, datetime] = field(default_factory=dict)
    """Until when models start nothing, by model id."""
    offers: Mapping[str, Offer] = field(default_factory=dict)
    """Gateways by model id: those in use here, or where the pump runs."""
    blocked: Mapping[str, Fields] = field(default_factory=dict)
    """Why the pump blocks queues, by model id; reasons that are over are left out."""
    leader: str | None = None
    """The process whose pump leads, or led last."""
    led_until: datetime | None = None
    vertex: VertexUse | None = None
    """Which requests the Vertex lane takes; None if there is none, here or where the pump runs."""

    def lanes(self, built: Collection[str]) -> tuple[str, ...]:
        """Lanes that a route may take, of those built."""
        here = () if self.vertex == "only" else built
        more = [*([VERTEX] if self.vertex else []), *([GATEWAY] if self.offers else [])]
        return (*here, *(lane for lane in more if lane not in here))

    def context(self, catalogue: Catalogue, built: Collection[str]) -> RoutingContext:
        """The context in which the pump would plan now, with these lanes built."""
        return RoutingContext(
            catalogue=catalogue,
            lanes=self.lanes(built),
            flags=tuple(flag for flag in self.board.in_force(self.now) if not flag.shadow),
            opens=self.opens,
            lacking=self.routing.lacking,
            offers=self.offers,
            now=self.now,
            denied=denied_apart(self.routing),
            vertex=self.vertex or "fallback",
        )

    @property
    def tripped(self) -> list[Flag]:
        """Flags in force, including shadow flags: the oldest first, breakers' after all others."""
        in_force = self.board.in_force(self.now)
        return sorted(in_force, key=lambda flag: (flag.actor == BREAKER, flag.tripped_at, flag.id))

    @property
    def kept_elsewhere(self) -> tuple[str, ...]:
        """Ids of flags that the pump observes and that are not visible here."""
        ids = (name.rpartition("@")[0] for name in self.routing.in_force)
        return tuple(name for name in ids if "@" in name and name not in self.board.flags)


async def read(
    store: Store,
    flag_source: FlagSource,
    catalogue: Catalogue,
    gateways: frozenset[str] = frozenset(),
    vertex: VertexUse | None = None,
) -> RoutingSnapshot:
    """Needs no running worker. `gateways` are those in use here, `vertex` as it is configured here."""
    own, pump, *calendars = await store.get_all([flag_board.PATH, PUMP, *map(model_state.path, catalogue.models)])
    now, leading = pump.read_at, PumpRecord.of(pump)
    flags = Board.from_json(own.data) if isinstance(own, Document) else Board()
    offering = serving(catalogue, gateways | frozenset(leading.gateways))
    apart = [pool(GATEWAY, model) for model in offering]
    vertex = _vertex(leading) or vertex
    if vertex is not None:
        apart += [pool(VERTEX, model.id) for model in catalogue.models.values() if VERTEX in model.lanes]
    calendars += await store.get_all([model_state.path(name) for name in apart])
    standings = {
        calendar.id: ModelState.from_json(calendar.data) for calendar in calendars if isinstance(calendar, Document)
    }
    blocked = leading.blocked or {}
    full = {model: Blocked(why["reason"], why["until"]) for model, why in blocked.items()}
    routing = Routing.from_json(leading.routing)
    return RoutingSnapshot(
        now=now,
        own=flags,
        board=await flag_source.beside(flags, now),
        routing=routing,
        opens=outlook(standings, {}, full, routing, now),
        offers=offers(catalogue, offering, await read_off(store, catalogue, offering, now), denials(routing)),
        blocked={model: why for model, why in blocked.items() if why["until"] is None or why["until"] > now},
        leader=leading.lead_holder,
        led_until=leading.lead_until,
        vertex=vertex,
    )


def _vertex(pump: PumpRecord) -> VertexUse | None:
    """As it is configured where the pump runs."""
    return next((name for name in VERTEX_USES if name == pump.vertex), None)
