"""What a route is chosen by: what holds for every request now, and the history of this one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.catalogue.catalogue import Catalogue, Gateway
from shared.core.routing.flag import Flag
from shared.core.routing.vertex import VertexUse
from shared.core.values.route import GATEWAY, lane_apart


class Offer(Struct, frozen=True):
    """The gateway that serves a model here."""

    name: str
    gateway: Gateway
    off: str | None
    """Why nothing is sent there: its proof is incomplete or expired; None = it is proven."""
    shut: str | None = None
    """Why nothing is sent there for a while although it is proven: no balance, a rejected key."""


class RoutingContext(Struct, frozen=True):
    """What holds for every request at one moment."""

    catalogue: Catalogue
    lanes: Collection[str]
    """Built and configured here."""
    flags: Sequence[Flag] = ()
    """Those in force, including breakers' flags, without shadow flags."""
    opens: Mapping[str, datetime] = field(default_factory=dict)
    """The quota outlook: until when a model starts nothing, by model id."""
    lacking: Mapping[str, str] = field(default_factory=dict)
    """Circuits that conclusions strike for now, with the reason; `*/model` stands for every lane of Google's."""
    offers: Mapping[str, Offer] = field(default_factory=dict)
    """Gateways by model id; empty where none was looked up: at intake."""
    now: datetime | None = None
    """None if time does not matter: at intake."""
    denied: Mapping[str, str] = field(default_factory=dict)
    """Pools of separate lanes that accept nothing from us for now, with the reason."""
    vertex: VertexUse = "fallback"
    """Which requests the Vertex lane takes, if it is among `lanes`."""

    def without(self, gone: Flag) -> RoutingContext:
        return replace(self, flags=tuple(flag for flag in self.flags if flag.id != gone.id))

    def without_lacking(self, circuit_name: str) -> RoutingContext:
        return replace(self, lacking={name: why for name, why in self.lacking.items() if name != circuit_name})

    def without_shut(self, pool_name: str) -> RoutingContext:
        """As if the account of this separate lane accepted calls again."""
        if pool_name in self.denied and lane_apart(pool_name) != GATEWAY:
            return replace(self, denied={name: why for name, why in self.denied.items() if name != pool_name})
        model = pool_name.partition(":")[2]
        if model not in self.offers:
            return self
        return replace(self, offers={**self.offers, model: replace(self.offers[model], shut=None)})

    def with_flag(self, extra: Flag) -> RoutingContext:
        return replace(self, flags=(*self.flags, extra))


class RequestHistory(Struct, frozen=True):
    """A request's history, as far as its next route depends on it."""

    request_id: str = ""
    tenant: str = "default"
    deadline: datetime | None = None
    spent_micros: int = 0
    """Known cost of all attempts, plus the estimate for each whose cost is unknown."""
    avoided: Mapping[str, str] = field(default_factory=dict)
    """Circuits that failed it, with the failure."""
    sick_on: Mapping[str, int] = field(default_factory=dict)
    """How many failures it met on a circuit, by circuit."""
    no_image_count: int = 0
    """Answers of this round that were paid for and held no picture."""


NO_HISTORY = RequestHistory()
"""Nothing has happened to it yet."""
