"""Named switches that change routing: what they are, whom they concern, and which routes they leave. Pure.

A flag changes a request's route only as far as floor, cap and consent allow: if no route would be left, it has no
effect and says so. Only `pause` always applies. A flag whose actor is the breaker also closes its route outright.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import asdict

from shared.core.routing.flag_kinds import NAMES, FlagName
from shared.core.values.codec import Stored

BREAKER = "breaker"
"""The actor of flags that a breaker tripped."""
DEFAULT_EXPIRY = timedelta(hours=2)
LONGEST_EXPIRY = timedelta(days=7)


class Scope(Stored, frozen=True):
    """Whom a flag concerns; None = all."""

    tenant: str | None = None
    purpose: str | None = None
    model: str | None = None
    """The id of the requested model, whether named or chosen by purpose."""
    lane: str | None = None
    """The requested lane."""
    share: int = 100
    """Percentage of the requests in scope, always the same ones."""

    def __str__(self) -> str:
        named = [f"{name}={value}" for name, value in asdict(self).items() if value not in (None, 100)]
        return " ".join(named) or "everybody"


class Flag(Stored, frozen=True):
    """One tripped flag."""

    id: str
    name: FlagName
    actor: str
    """Who tripped it: a person, `breaker`, or a flag system of the team's own."""
    reason: str
    tripped_at: datetime
    expires_at: datetime
    """It expires automatically then."""
    to: str | None = None
    """The largest size that `lower-resolution` leaves; None for a flag that takes no `to`."""
    scope: Scope = field(default_factory=Scope)
    shadow: bool = False
    """Counts what it would change, and changes nothing."""
    held_by: str | None = None
    """Who of on-call extended a breaker's flag: it stays until it expires."""

    @property
    def circuit(self) -> str | None:
        """The route that a breaker's flag closes."""
        return f"{self.scope.lane}/{self.scope.model}" if self.actor == BREAKER else None

    @property
    def because(self) -> str:
        """For receipts: which flag, by whom, why."""
        return f"flag {self.name} by {self.actor}: {self.reason}"


class Subject(Struct, frozen=True):
    """What a flag's scope is compared with."""

    request_id: str
    tenant: str
    purpose: str
    model: str
    lane: str


def concerning(flags: Iterable[Flag], subject: Subject) -> tuple[Flag, ...]:
    """Flags whose scope contains the request, in the order in which they apply: by name, then the oldest first."""
    concerned = [flag for flag in flags if flag.actor != BREAKER and _is_in(flag.scope, subject, flag.name)]
    return tuple(sorted(concerned, key=lambda flag: (NAMES.index(flag.name), flag.tripped_at, flag.id)))


def in_force(flags: Iterable[Flag], now: datetime) -> tuple[Flag, ...]:
    return tuple(flag for flag in flags if now < flag.expires_at)


def _is_in(scope: Scope, subject: Subject, name: str) -> bool:
    return (
        scope.tenant in (None, subject.tenant)
        and scope.purpose in (None, subject.purpose)
        and scope.model in (None, subject.model)
        and scope.lane in (None, subject.lane)
        and (scope.share >= 100 or hundredth(subject.request_id, name) < scope.share)
    )


def hundredth(request_id: str, name: str) -> int:
    """0 to 99, evenly distributed and always the same: a wider share keeps the requests it already had."""
    digest = hashlib.sha256(f"{name}:{request_id}".encode()).digest()
    return int.from_bytes(digest[:8]) % 100
