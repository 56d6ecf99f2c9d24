"""A request of a rehearsal: what was asked for, and how far it has come."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from scripts.virtual_time.models.latency import BoundedLatency

Priority = Literal["interactive", "normal", "bulk"]
Status = Literal["queued", "released", "rendering", "succeeded", "lost"]


class PublishedRequest(Struct, frozen=True):
    """One published request. Times are seconds since the start of the rehearsal."""

    request_id: str
    at: float
    tenant: str
    priority: Priority
    model: str
    tokens: int
    """Input tokens."""
    deadline: float | None
    """Not begun by then, it expires; None = no deadline."""
    estimate_micros: int = 0
    """What it takes of a spend window."""
    latency: BoundedLatency | None = None
    """How long its image takes; None = as the model's terms say."""


class ModelledRequest(Struct):
    """Changes as the rehearsal goes on."""

    arrival: PublishedRequest
    status: Status = "queued"
    began_at: float | None = None
    """When the provider accepted its first call."""
    ended_at: float | None = None
    accepted: int = 0
    """Calls that the provider accepted: more than one was paid twice."""

    @property
    def wait(self) -> float | None:
        """Seconds from its publication to its first accepted call; None while there was none."""
        return None if self.began_at is None else self.began_at - self.arrival.at
