"""What happens after a failed attempt: another one at a given moment, or the end. A decision is a value."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shared.core.provider.failure import RULES, Failure, FailureKind, Next
from shared.core.provider.outcome import EXPIRED, Outcome, of_failure
from shared.core.provider.outcome_code import PlainEnd
from shared.core.values.lanes import SHEDDING, is_apart
from shared.core.values.status import FinalStatus

CAPACITY = frozenset({kind for kind, rule in RULES.items() if rule.sick_route} | {FailureKind.QUOTA_UNKNOWN})
"""The provider is short of capacity: its hint is an estimate, not the end of a quota's window."""
MAX_FAILURES = 5
"""Counted failures (those of kind AGAIN) per round before the request ends."""
MAX_SICK_ON_ONE_ROUTE = 2
"""One retry on the same route, then the next route."""
MAX_DENIED = 3
"""Answers that the project may not make this very call: after this many, the request is to blame, not the project. A
plain statement, a rejected key or an empty account counts only if others were served since."""
MAX_PROBES = 24
"""Failed probes of a sick route by one request: the outage is not its fault, but nothing may repeat forever."""
MAX_AMBIGUOUS_REPEATS = 2
"""Repeats of attempts that may have been billed, if no cost cap limits them."""
MAX_NO_IMAGE = 2
"""Answers without a readable image: they are charged."""
BASE_BACKOFF = timedelta(seconds=1)
MAX_BACKOFF = timedelta(seconds=60)
MAX_PROBE_BACKOFF = timedelta(minutes=5)
"""A request whose probes fail leaves the next ones to others for a while: at least an hour passes before MAX_PROBES."""
LONG_HINT = timedelta(minutes=1)
"""If a server without capacity asks for a longer wait than this, the request leaves the route, if the ladder has
another."""
LONGEST_PARKING = timedelta(hours=1)
"""One answer of a server without capacity delays a request by at most this, even if it asks for more."""
LONGEST_PARKING_INTERACTIVE = timedelta(minutes=5)
QUOTA_BACKOFF = timedelta(seconds=5)
"""After a 429 without a hint."""
MAX_DAY_BACKOFF = timedelta(minutes=30)
"""The longest interval at which a lone request retries a used-up day, as long as no conclusion is drawn."""


class Tally(Struct, frozen=True):
    """The history of this round of a request, including the new failure."""

    failures: int
    ambiguous: int
    no_image: int
    waits: int
    """Answers that the quota is used up; they end nothing, but space out the next attempts."""
    spent_micros: int
    """Known cost of all attempts, plus the estimate for each whose cost is unknown."""
    next_estimate_micros: int
    max_cost_micros: int | None
    deadline: datetime | None
    denied: int = 0
    is_own: bool = False
    """Others are served by the same key and project: the denial is about this request."""
    elsewhere: bool = False
    """This request is done with this route."""
    fallback: bool = False
    """The ladder has another route."""
    probes: int = 0
    """Failed probes of sick routes, except those that were probably paid: these count as failures."""
    interactive: bool = False
    by_uri: bool = False
    """Its references were sent as addresses."""


class Again(Struct, frozen=True):
    """Back to the queue until `wake_at`."""

    wake_at: datetime
    reason: str


class End(Struct, frozen=True):
    status: FinalStatus
    outcome: Outcome


Decision: TypeAlias = Again | End


def after_failure(failure: Failure, tally: Tally, *, now: datetime, jitter: float) -> Decision:
    """`jitter` in [0, 1). On one route never earlier than its server asked for; never past the deadline or the cost
    cap."""
    ending = End(failure.rule.status, of_failure(failure))
    if refuses_addresses(failure, tally):
        return Again(now, AS_BYTES)
    next_route = tally.fallback and tally.elsewhere
    match failure.rule.next:
        case Next.END:
            return ending
        case Next.ELSEWHERE:
            if not next_route:
                return ending
            ceiling = timedelta(0)
        case Next.AGAIN:
            if tally.failures >= MAX_FAILURES or tally.no_image >= MAX_NO_IMAGE:
                return ending
            if tally.probes >= MAX_PROBES or (failure.limits_repeats and not _may_repeat_ambiguous(tally)):
                return ending
            ceiling = _backoff(tally)
        case Next.WAIT:
            if tally.denied >= MAX_DENIED:
                return _own(ending) if tally.is_own else ending
            longest = MAX_DAY_BACKOFF if failure.kind is FailureKind.QUOTA_DAY else MAX_BACKOFF
            ceiling = min(longest, QUOTA_BACKOFF * 2 ** min(max(tally.waits - 1, 0), 10))
            if failure.kind is FailureKind.BACKGROUND_REFUSED:
                ceiling = timedelta(0)
    if tally.max_cost_micros is not None and tally.spent_micros + tally.next_estimate_micros > tally.max_cost_micros:
        message = f"{ending.outcome.message} Another attempt could exceed the cap."
        return End(ending.status, Outcome.of(PlainEnd.COST_CAP, message, "Raise max_cost_usd under a new id."))
    if next_route:
        return Again(now + min(ceiling, BASE_BACKOFF) * jitter, f"next route after {failure.kind.value}")
    hint = _waited_for(failure, tally)
    wake_at = now + hint + ceiling * jitter
    if tally.deadline is not None and wake_at >= tally.deadline:
        if tally.fallback:  # the ladder has a route with a shorter wait
            return Again(now + BASE_BACKOFF * jitter, _reason(failure))
        return End("expired", replace(EXPIRED, message=f"{ending.outcome.message} {EXPIRED.message}"))
    return Again(wake_at, _reason(failure))


AS_BYTES = "again with the bytes of its references: the provider refused their addresses"


def refuses_addresses(failure: Failure, tally: Tally) -> bool:
    """Whether a call may have been refused because of the addresses in it: nothing was made, and bytes may work."""
    if not tally.by_uri:
        return False
    return failure.kind in (FailureKind.INVALID_REQUEST, FailureKind.REFERENCE) or (
        failure.kind is FailureKind.PERMISSION and not failure.explicit
    )


def _own(ending: End) -> End:
    """The denial is about a key, a project or an account that serves others."""
    outcome = ending.outcome
    message = f"{outcome.message} Other requests are served by the same key and project: it is about this one."
    return End(ending.status, replace(outcome, message=message))


def _backoff(tally: Tally) -> timedelta:
    """The longest pause before the next attempt."""
    if tally.probes:
        return min(MAX_PROBE_BACKOFF, BASE_BACKOFF * 2.0 ** min(tally.failures + tally.probes, 20))
    return min(MAX_BACKOFF, BASE_BACKOFF * 2.0**tally.failures)


def _waited_for(failure: Failure, tally: Tally) -> timedelta:
    """How much of the server's requested wait is observed on the same route."""
    hint = failure.retry_after or timedelta(0)
    if failure.kind not in CAPACITY:
        return hint
    return min(hint, LONGEST_PARKING_INTERACTIVE if tally.interactive else LONGEST_PARKING)


def _may_repeat_ambiguous(tally: Tally) -> bool:
    if tally.max_cost_micros is not None:
        return True  # the cap decides, below
    return tally.ambiguous <= MAX_AMBIGUOUS_REPEATS


def _reason(failure: Failure) -> str:
    match failure.kind:
        case FailureKind.BACKGROUND_REFUSED:
            return "again in the foreground"
        case FailureKind.QUOTA_MINUTE | FailureKind.QUOTA_DAY | FailureKind.QUOTA_SPEND | FailureKind.QUOTA_UNKNOWN:
            return f"quota: {failure.kind.value}"
        case _:
            return f"again after {failure.kind.value}"


def _is_silent(failure: Failure) -> bool:
    """Another call would probably take as long again."""
    if failure.kind is FailureKind.NOT_FINISHED:
        return True
    return failure.kind is FailureKind.TIMEOUT and failure.http_status is None


def is_done_with(failure: Failure, sick_before: int, lane: str) -> bool:
    """Whether the request should leave this route. Yes for: a silent route, at once (another call would take as long
    again); one that lacks the model or the lane; Flex that sheds load; a separate lane that refuses us (no balance, a
    rejected key: another contract may work); a bare 403 (it may be about this call); a route without capacity for more
    than a minute; any other sick route after one retry. A key and an account are the same on all routes of the Gemini
    API: such a request waits."""
    if failure.kind in CAPACITY and (failure.retry_after or timedelta(0)) > LONG_HINT:
        return True
    if failure.rule.lacking or _is_silent(failure):
        return True
    if failure.kind is FailureKind.OVERLOAD and lane in SHEDDING:
        return True
    if is_apart(lane) and failure.rule.denied:
        return True
    if failure.kind is FailureKind.PERMISSION and not failure.explicit:
        return True
    return failure.rule.sick_route and sick_before + 1 >= MAX_SICK_ON_ONE_ROUTE
