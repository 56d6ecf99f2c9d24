"""Figures of a rehearsal. What never happened is infinite: a lost request has an infinite wait."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from scripts.virtual_time.models.provider_reply import (
    DayFull,
    ImageReply,
    MinuteFull,
    Overloaded,
    Rejection,
    Unexplained,
)
from scripts.virtual_time.request import Priority
from scripts.virtual_time.run import Rehearsal

MINUTE = 60.0
WORST = 10.0
"""Seconds of the span that `hottest_document` judges."""
BACK = 10.0
"""Seconds over which a rate must hold to be called back."""


def renders(rehearsal: Rehearsal) -> int:
    return sum(1 for request in rehearsal.requests if request.status == "succeeded")


def lost(rehearsal: Rehearsal) -> int:
    """Requests that the strategy gave up."""
    return sum(1 for request in rehearsal.requests if request.status == "lost")


def unfinished(rehearsal: Rehearsal) -> int:
    """Requests that had not ended when the rehearsal was broken off."""
    return sum(1 for request in rehearsal.requests if request.ended_at is None)


def starts(rehearsal: Rehearsal) -> list[float]:
    """Instants of the accepted calls, by time."""
    return [call.at for call in rehearsal.calls if isinstance(call.answer, ImageReply)]


def goodput(rehearsal: Rehearsal, per_minute: float, begins: float, ends: float) -> float:
    """Accepted calls in a span with more work than quota, in per cent of what the limit allows; the rest lay idle."""
    accepted = starts(rehearsal)
    return 100 * _within(accepted, begins, ends) / (per_minute * (ends - begins) / MINUTE)


def quota_rejections(rehearsal: Rehearsal) -> float:
    """429 answers of every kind for 1,000 renders."""
    return _rejections(rehearsal, (MinuteFull, DayFull, Unexplained))


def overloads(rehearsal: Rehearsal) -> float:
    """503 answers for 1,000 renders."""
    return _rejections(rehearsal, (Overloaded,))


def _rejections(rehearsal: Rehearsal, kinds: tuple[type[Rejection], ...]) -> float:
    return _per(1000 * sum(1 for call in rehearsal.calls if isinstance(call.answer, kinds)), renders(rehearsal))


def wait(rehearsal: Rehearsal, share: float, priority: Priority, *, published_from: float = 0.0) -> float:
    """Seconds from publication to the first accepted call, which this share of the requests did not exceed."""
    waits = [
        math.inf if request.wait is None else request.wait
        for request in rehearsal.requests
        if request.arrival.priority == priority and request.arrival.at >= published_from
    ]
    return quantile(waits, share)


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that this share of all do not exceed. ValueError without values."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def last_start(rehearsal: Rehearsal, tenant: str | None = None) -> float:
    """Seconds from the first publication until the last request had begun, of one tenant or of all."""
    requests = [request for request in rehearsal.requests if tenant is None or request.arrival.tenant == tenant]
    begun = [math.inf if request.began_at is None else request.began_at for request in requests]
    return max(begun) - min(request.arrival.at for request in requests)


def back_after(rehearsal: Rehearsal, ends: float, per_minute: float) -> float:
    """Seconds from `ends` until calls are accepted at nine tenths of the rate again, over the next 10 s."""
    accepted = starts(rehearsal)
    enough = math.ceil(0.9 * per_minute * BACK / MINUTE)
    first = bisect_left(accepted, ends)
    if _within(accepted, ends, ends + BACK) >= enough:
        return 0.0
    for number in range(first, len(accepted) - enough + 1):
        if accepted[number + enough - 1] - accepted[number] <= BACK:
            return accepted[number] - ends
    return math.inf


def hottest_mean(rehearsal: Rehearsal) -> float:
    """Writes a second of the document written most, over the whole rehearsal."""
    return max((len(instants) for instants in rehearsal.writes.values()), default=0) / rehearsal.ended_at


def hottest_worst(rehearsal: Rehearsal) -> float:
    """Writes a second of any document in its worst 10 s."""
    return max((_most_within(instants, WORST) for instants in rehearsal.writes.values()), default=0) / WORST


def writes_per_render(rehearsal: Rehearsal) -> float:
    """Writes of the strategy's own: releases, calendars, counters, evidence."""
    return _per(sum(len(instants) for instants in rehearsal.writes.values()), renders(rehearsal))


def paid_twice(rehearsal: Rehearsal) -> int:
    """Requests with more than one accepted call."""
    return sum(1 for request in rehearsal.requests if request.accepted > 1)


def _within(instants: Sequence[float], begins: float, ends: float) -> int:
    return bisect_left(instants, ends) - bisect_left(instants, begins)


def _most_within(instants: Sequence[float], seconds: float) -> int:
    """The most of them that lie in any span of that length."""
    return max((bisect_left(instants, at + seconds) - number for number, at in enumerate(instants)), default=0)


def _per(amount: float, count: int) -> float:
    if count:
        return amount / count
    return math.inf if amount else 0.0
