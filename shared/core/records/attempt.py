"""One attempt of a request: `requests/{key}/attempts/{number}`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from msgspec import field

from shared.core.accounting.budget import Reservation
from shared.core.catalogue.price import CostBasis
from shared.core.provider.outcome import Outcome
from shared.core.provider.usage import Usage
from shared.core.values.codec import Record
from shared.core.values.documents import Fields
from shared.core.values.parameters import Thinking
from shared.core.values.route import Route

GOOGLE = "google"
UNNAMED_PROBE = "a breaker"


class AttemptRecord(Record, frozen=True):
    number: int
    route: Route
    started_at: datetime
    estimate_micros: int
    round: int = 1
    release: int = 0
    route_reasons: tuple[str, ...] = ()
    """Why its route differs from the requested one."""
    thinking: Thinking | None = None
    """The level that was ordered."""
    changed: tuple[str, ...] = ()
    """How its route differs from that of the attempt before."""
    flags: tuple[str, ...] = ()
    probe: str | None = None
    """The conclusion that it probes."""
    budget: Reservation | None = None
    holder: str = ""
    """The process that made it."""
    key_kind: str = ""
    contract: str = GOOGLE
    operating_owner: str = ""
    model: str | None = None
    """The model that answered, in the provider's words."""
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    """None while it is open."""
    http_status: int | None = None
    provider_request_id: str | None = None
    usage: Usage | None = None
    cost_micros: int = 0
    cost_basis: CostBasis | None = None
    cost_parts: Mapping[str, int] = field(default_factory=dict)
    latency_ms: int | None = None
    image_uri: str | None = None
    image_address: str | None = None
    """Where the provider stored an image that could not be fetched."""

    @classmethod
    def from_json(cls, data: Fields) -> Self:
        return super().from_json(with_named_probe(data))


def with_named_probe(data: Fields) -> Fields:
    """The first releases recorded whether an attempt was a probe, but not of what."""
    probe = data.get("probe")
    return {**data, "probe": UNNAMED_PROBE if probe else None} if isinstance(probe, bool) else data
