"""What a run is judged by, computed from the simulator's record of calls. Times are seconds since 1970."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

from msgspec import Struct

WINDOW = 60.0
"""Seconds in which the provider counts a minute's quota."""

GoalKind: TypeAlias = Literal["at least", "at most", "told only"]


class ObservedCall(Struct, frozen=True):
    """One call as the provider saw it."""

    request_id: str
    at: float
    """Its arrival."""
    status: int
    """HTTP status; 0 while there is no answer."""
    charged: bool
    """An image was made and is paid for."""

    @classmethod
    def of(cls, call: Mapping[str, Any]) -> ObservedCall:
        """From a call of the simulator's /control/calls."""
        at = datetime.fromisoformat(call["received_at"]).timestamp()
        return cls(call["marker"], at, call["status"] or 0, call["charged"])


class SceneFigure(Struct, frozen=True):
    """One figure of a scene, and what it should be."""

    name: str
    value: float
    unit: str
    kind: GoalKind = "told only"
    goal: float = 0.0

    @property
    def met(self) -> bool:
        match self.kind:
            case "at least":
                return self.value >= self.goal
            case "at most":
                return self.value <= self.goal
            case "told only":
                return True

    def to_json(self) -> dict[str, Any]:
        members: dict[str, Any] = {"value": round(self.value, 3), "unit": self.unit}
        return (
            members if self.kind == "told only" else members | {"goal": f"{self.kind} {self.goal:g}", "met": self.met}
        )


def window_use(calls: Sequence[ObservedCall], limit: int, since: float, until: float) -> float:
    """The mean share of `limit` that paid calls took of the provider's last minute, over all moments of the time given.

    It is the goodput as a share of the limit, without the chance of where in a minute the looking begins and ends.
    """
    used = 0.0
    for call in calls:
        if call.charged:
            used += max(0.0, min(until, call.at + WINDOW) - max(since, call.at))
    return used / (limit * (until - since))


def images_within(calls: Sequence[ObservedCall], since: float, until: float) -> int:
    return sum(1 for call in calls if call.charged and since <= call.at < until)


def rejected_per_1000(calls: Sequence[ObservedCall]) -> float:
    """429 for each thousand paid images; every 429 counts a thousand where nothing was rendered."""
    rejected = sum(1 for call in calls if call.status == 429)
    return 1000 * rejected / max(1, sum(1 for call in calls if call.charged))


def start_waits(published: Mapping[str, float], calls: Sequence[ObservedCall]) -> list[float]:
    """Seconds from each publishing to the first call made for it; a request that got none is left out."""
    first: dict[str, float] = {}
    for call in calls:
        if call.request_id in published:
            first[call.request_id] = min(call.at, first.get(call.request_id, call.at))
    return [at - published[request_id] for request_id, at in first.items()]


def ideal_seconds(requests: int, limit: int) -> float:
    """What a backlog takes where a minute holds `limit` calls, as `scripts/bench/run admission` has it.

    A first minute that is free leaves up to a minute less; a call repeated after a kill takes it back.
    """
    return WINDOW * requests / limit


def paid_twice(calls: Sequence[ObservedCall]) -> dict[str, int]:
    """Requests with more than one paid call, and how many each has."""
    paid = Counter(call.request_id for call in calls if call.charged)
    return {request_id: count for request_id, count in sorted(paid.items()) if count > 1}
