"""Which models and lanes take background calls: learned from one canary at a time, kept in the store. Pure.

No background call of an image model has been published, so only our own observations count. An image with its usage
proves a circuit. A 400 about background calls, or a canary that does not finish in the model's time, refuses it; a
refused circuit is probed again after days, or when an operator resets it. The catalogue is an upper bound: what it
calls `false` is never tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.catalogue.capabilities import Background
from shared.core.values.codec import Stored

PATH = "background/proofs"
Setting: TypeAlias = Literal["auto", "on", "off"]
"""`auto`: where proven, after a canary. `on`: wherever it was not refused. `off`: nowhere."""
Way: TypeAlias = Literal["foreground", "background", "canary"]
"""How an attempt is called. A canary is a background call that proves its circuit."""
State: TypeAlias = Literal["unproven", "proven", "refused"]

PROBE_AFTER = (timedelta(days=1), timedelta(days=3), timedelta(days=7))
"""From a refusal to the next canary: after the first refusal in a row, the second, and any later one."""
CANARY_GRACE = timedelta(minutes=5)
"""Beyond the model's time: how long a canary without news keeps others back."""
NEW_WEIGHT = 0.2
"""Weight of the newest time in the usual time."""


class BackgroundProof(Struct, frozen=True):
    """What is known about one circuit."""

    state: State = "unproven"
    since: datetime | None = None
    why: str = ""
    refusals: int = 0
    """Refusals in a row."""
    probe_at: datetime | None = None
    """When a refused circuit may have its next canary."""
    canary: str | None = None
    """The request that currently is the canary."""
    canary_until: datetime | None = None
    usual_ms: int | None = None
    """How long a background call usually takes, from its start to its end."""
    seen_at: datetime | None = None
    """When `usual_ms` was last corrected."""

    @property
    def usual(self) -> timedelta | None:
        return None if self.usual_ms is None else timedelta(milliseconds=self.usual_ms)

    def has_canary(self, now: datetime) -> bool:
        return self.canary is not None and self.canary_until is not None and now < self.canary_until

    def way(self, hint: Background, setting: Setting, now: datetime) -> Way:
        """How the next attempt is called. `hint` is the catalogue's entry."""
        if setting == "off" or hint == "no":
            return "foreground"
        is_closed = self.state == "refused" and (self.probe_at is None or now < self.probe_at)
        if is_closed:
            return "foreground"
        is_believed = self.state == "proven" or (self.state == "unproven" and hint == "yes")
        if is_believed or (setting == "on" and self.state == "unproven"):
            return "background"
        return "foreground" if self.has_canary(now) else "canary"

    def with_canary(self, request_id: str, until: datetime) -> BackgroundProof:
        return replace(self, canary=request_id, canary_until=until)

    def proven(self, why: str, took: timedelta, now: datetime) -> BackgroundProof:
        """An image arrived, with its usage. A proven circuit keeps the moment since which it is proven."""
        new_ms = round(took.total_seconds() * 1000)
        usual_ms = new_ms if self.usual_ms is None else round((1 - NEW_WEIGHT) * self.usual_ms + NEW_WEIGHT * new_ms)
        if self.state == "proven":
            return replace(self, usual_ms=usual_ms, seen_at=now)
        return BackgroundProof("proven", now, why, usual_ms=usual_ms, seen_at=now)

    def refused(self, why: str, now: datetime) -> BackgroundProof:
        refusals = self.refusals + 1
        probe_at = now + PROBE_AFTER[min(refusals, len(PROBE_AFTER)) - 1]
        return BackgroundProof("refused", now, why, refusals, probe_at, usual_ms=self.usual_ms, seen_at=self.seen_at)

    def inconclusive(self, request_id: str) -> BackgroundProof:
        """This canary ended in a way that says nothing about background calls: another may be sent."""
        return replace(self, canary=None, canary_until=None) if self.canary == request_id else self

    def reset(self, now: datetime) -> BackgroundProof:
        """By hand: the next call is a canary."""
        return BackgroundProof(since=now, why="reset by hand", usual_ms=self.usual_ms, seen_at=self.seen_at)


class Proofs(Stored, frozen=True):
    """The document."""

    by_circuit: Mapping[str, BackgroundProof] = field(default_factory=dict)

    def of(self, circuit: str) -> BackgroundProof:
        return self.by_circuit.get(circuit, UNPROVEN)

    def having(self, circuit: str, proof: BackgroundProof) -> Proofs:
        return Proofs({**self.by_circuit, circuit: proof})


UNPROVEN = BackgroundProof()


def shown(proof: BackgroundProof) -> dict[str, Any]:
    """For commands and pages."""
    return {
        "state": proof.state,
        "since": proof.since,
        "why": proof.why,
        "probe_at": proof.probe_at,
        "canary": proof.canary,
        "usual_seconds": None if proof.usual_ms is None else round(proof.usual_ms / 1000, 1),
    }
