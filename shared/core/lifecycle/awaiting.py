"""A request that waits for its interaction at the provider: when to look, and what a look means. Pure.

Webhooks make a look at the right moment likely, never certain: calls without a webhook are found by polling, at
intervals that grow with the age of the call.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from shared.core.provider.call import Answer, Made
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.interaction import Finished, Gone, InProgress, Looked, Unread
from shared.core.records.request import Stopping, StopReason

ASSUMED_TIME = timedelta(seconds=15)
"""How long a call is assumed to take until one was observed."""
FIRST_SHARE, FIRST_SHARE_TOLD = 0.5, 1.5
"""Share of the usual time before the first look: without webhooks, and with them, when most calls have been
announced."""
LEAST_SPACING, LONGEST_SPACING = timedelta(seconds=1.5), timedelta(minutes=1)
SPACING_SHARE, LATE_SPACING_SHARE = 0.06, 0.2
"""Share of the usual time between two looks, and of the call's age once it takes more than twice the usual time."""
VISIBLE_WITHIN = timedelta(seconds=30)
"""A new interaction may not be found at once; an older one that is not found is lost."""
STOPPED_WITHIN = timedelta(minutes=1)
"""From a cancellation until the interaction must confirm it."""
UNREAD_FOR = timedelta(hours=24)
"""How long an interaction that cannot be looked at is waited for: its image is paid for and kept there."""
UNREADABLE_FOR = timedelta(minutes=10)
"""The same for looks whose answer cannot be read."""
USUAL_TIMES, REPEATED_WITHIN = 2, timedelta(seconds=30)
"""A webhook may name an attempt whose id was lost with its worker: until this many usual times after its start, plus
the time for a webhook that was sent while nothing listened and is repeated."""
UNNAMED = "its worker died while its call left; a webhook may name it"
"""The reason shown on such a request."""


class Awaited(Struct, frozen=True):
    """What is known about the call before a look."""

    started_at: datetime
    time_out: timedelta
    stopping: Stopping | None = None
    is_cancelled: bool = False
    """Cancelled by its caller."""
    is_canary: bool = False

    @property
    def ends_at(self) -> datetime:
        return self.started_at + self.time_out


class Wait(Struct, frozen=True):
    """Look again later."""


class Stop(Struct, frozen=True):
    """Ask the provider to stop, then look again."""

    why: StopReason


class Over(Struct, frozen=True):
    """The attempt ends with this."""

    answer: Answer
    ended_at: datetime | None = None


Step: TypeAlias = Wait | Stop | Over


def first_look(started_at: datetime, usual: timedelta | None, *, has_webhooks: bool) -> datetime:
    """When a look is worthwhile: most calls have ended by then, or their webhooks have arrived."""
    share = FIRST_SHARE_TOLD if has_webhooks else FIRST_SHARE
    return started_at + max(LEAST_SPACING, (usual or ASSUMED_TIME) * share)


def spacing(age: timedelta, usual: timedelta | None, *, has_webhooks: bool) -> timedelta:
    """The time until the next look. With webhooks, polling is only a safety net, so it is longer."""
    usual = usual or ASSUMED_TIME
    is_late = has_webhooks or age > 2 * usual
    return min(LONGEST_SPACING, max(LEAST_SPACING, age * LATE_SPACING_SHARE if is_late else usual * SPACING_SHARE))


def named_by(started_at: datetime, usual: timedelta | None) -> datetime:
    """Until when a webhook may name an attempt whose id was lost with its worker. After that it counts as crashed."""
    return started_at + USUAL_TIMES * (usual or ASSUMED_TIME) + REPEATED_WITHIN


def after_look(looked: Looked, awaited: Awaited, now: datetime) -> Step:
    """What to do next."""
    match looked:
        case Finished(answer, ended_at):
            return Over(_meant(answer, awaited), ended_at)
        case InProgress() as state:
            return _while_in_progress(state, awaited, now)
        case Gone():
            if now - awaited.started_at < VISIBLE_WITHIN:
                return Wait()
            return Over(_lost("the provider has no record of the interaction any more (HTTP 404)", 404))
        case Unread(failure):
            return _while_unread(failure, awaited, now)


def _while_in_progress(looked: InProgress, awaited: Awaited, now: datetime) -> Step:
    stopping = awaited.stopping
    if stopping is not None:
        if now - stopping.at < STOPPED_WITHIN:
            return Wait()
        message = f"the interaction was cancelled and is still {looked.state}"
        return Over(_stopped(Failure(FailureKind.NO_IMAGE, message, http_status=200), awaited))
    if awaited.is_cancelled:
        return Stop("caller")
    return Stop("time") if now >= awaited.ends_at else Wait()


def _while_unread(failure: Failure, awaited: Awaited, now: datetime) -> Step:
    is_readable = failure.kind is not FailureKind.MALFORMED_ANSWER
    if now - awaited.ends_at < (UNREAD_FOR if is_readable else UNREADABLE_FOR):
        return Wait()
    if not is_readable:
        return Over(failure)
    return Over(_lost(f"the interaction could not be looked at ({failure.kind.value})", failure.http_status))


def _meant(answer: Answer, awaited: Awaited) -> Answer:
    """A call that we stopped ends for our reason; an image that arrived nevertheless is an image."""
    if isinstance(answer, Made) or awaited.stopping is None:
        return answer
    is_stopped = answer.kind is FailureKind.NO_IMAGE and answer.code in ("cancelled", "incomplete", "failed")
    return _stopped(answer, awaited) if is_stopped else answer


def _stopped(failure: Failure, awaited: Awaited) -> Failure:
    assert awaited.stopping is not None
    if awaited.stopping.why == "caller":
        return replace(failure, kind=FailureKind.CANCELLED, code="", message="cancelled by its caller while it ran")
    seconds = round(awaited.time_out.total_seconds())
    message = f"no image within {seconds} s; the interaction was cancelled"
    if awaited.is_canary:
        message = f"the canary of background calls had not finished within {seconds} s and was cancelled"
        return replace(failure, kind=FailureKind.BACKGROUND_REFUSED, code="", message=message, may_be_billed=True)
    return replace(failure, kind=FailureKind.NOT_FINISHED, code="", message=message)


def _lost(message: str, http_status: int | None) -> Failure:
    return Failure(FailureKind.CONNECTION_LOST, message, http_status=http_status)
