"""When requests are published: backlogs, Poisson streams, bursts and day curves, as sorted arrivals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from random import Random

from msgspec import Struct

from scripts.virtual_time.request import Priority, PublishedRequest

MINUTE = 60.0


class Source(Struct, frozen=True):
    """An upstream app: what its requests have in common. Names are unique within a rehearsal."""

    name: str
    model: str
    tenant: str = "default"
    priority: Priority = "normal"
    tokens: int = 200
    """Input tokens of each request."""
    deadline_after: float | None = None
    """Seconds from publication within which a request has to begin."""

    def at(self, instants: Iterable[float]) -> list[PublishedRequest]:
        return [
            PublishedRequest(
                request_id=f"{self.name}-{number}",
                at=at,
                tenant=self.tenant,
                priority=self.priority,
                model=self.model,
                tokens=self.tokens,
                deadline=None if self.deadline_after is None else at + self.deadline_after,
            )
            for number, at in enumerate(instants)
        ]


def backlog(source: Source, count: int, at: float = 0.0) -> list[PublishedRequest]:
    """So many at one instant."""
    return source.at([at] * count)


def poisson(source: Source, per_minute: float, *, begins: float, ends: float, chance: Random) -> list[PublishedRequest]:
    """Independent arrivals at an even mean rate."""
    instants, at = [], begins
    while (at := at + chance.expovariate(per_minute / MINUTE)) < ends:
        instants.append(at)
    return source.at(instants)


def bursts(source: Source, count: int, *, every: float, begins: float, ends: float) -> list[PublishedRequest]:
    """`count` at once, every so many seconds."""
    times = math.ceil((ends - begins) / every)
    return source.at([begins + number * every for number in range(times) for _ in range(count)])


def merged(*streams: Sequence[PublishedRequest]) -> tuple[PublishedRequest, ...]:
    """In the order of publication; at one instant in the order of the streams."""
    return tuple(sorted((arrival for stream in streams for arrival in stream), key=lambda arrival: arrival.at))
