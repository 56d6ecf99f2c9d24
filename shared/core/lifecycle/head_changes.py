"""What the pump writes on a request of which it has read only the head: fields of RequestRecord, as stored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from shared.core.accounting.budget import Reservation
from shared.core.lifecycle.request_record import Head
from shared.core.lifecycle.transitions import ended_fields
from shared.core.provider.outcome import Outcome
from shared.core.routing.background_proof import Way
from shared.core.routing.ladder import Planned
from shared.core.values.codec import stored_value
from shared.core.values.status import FinalStatus


def released(
    head: Head,
    planned: Planned,
    slot_at: datetime,
    slot_until: datetime,
    now: datetime,
    reservation: Reservation | None = None,
    way: Way = "foreground",
    usual_ms: int | None = None,
    open_slot: str | None = None,
) -> dict[str, Any]:
    """What the pump changes when it grants a slot. No slot is valid beyond its request's deadline. `usual_ms`: how long
    such a background call usually takes. `open_slot`: the open slot that intake had it take."""
    return _stored(
        status="released",
        reason=None,
        release=head.release + 1,
        slot_at=slot_at,
        slot_until=slot_until if head.deadline is None else min(slot_until, head.deadline),
        open_slot=open_slot,
        way=way,
        usual_ms=usual_ms,
        updated_at=now,
        **_planned(planned, reservation),
    )


def batched(head: Head, planned: Planned, now: datetime, reservation: Reservation | None = None) -> dict[str, Any]:
    """What the pump changes when the route goes by batch: the request gets no slot and leaves its queue. A release
    number is allocated too, so that recovery can tell whether the reservation was handed over."""
    return _stored(
        status="batched",
        reason="collected for a batch",
        release=head.release + 1,
        slot_at=None,
        slot_until=None,
        batch=None,
        batched_at=now,
        updated_at=now,
        **_planned(planned, reservation),
    )


def ended(status: FinalStatus, outcome: Outcome, now: datetime) -> dict[str, Any]:
    return _stored(**ended_fields(status, outcome, now))


def suspend(reason: str, wake_at: datetime, epoch: int | None, now: datetime) -> dict[str, Any]:
    """Remove it from its queue while no route is open to it; a new epoch of the limits wakes it earlier, if it names
    one."""
    return _stored(reason=reason, wake_at=wake_at, asleep_epoch=epoch, updated_at=now)


def resume(now: datetime) -> dict[str, Any]:
    """Back to its place in the queue."""
    return _stored(wake_at=None, asleep_epoch=None, updated_at=now)


def _planned(planned: Planned, reservation: Reservation | None) -> dict[str, Any]:
    """The planned route, for the next attempt."""
    return {
        "unused_slot": None,
        "wake_at": None,
        "asleep_epoch": None,
        "model": planned.route.pool,
        "route": planned.route,
        "route_reasons": planned.reasons,
        "thinking": planned.thinking,
        "estimate_micros": planned.estimate_micros,
        "input_tokens": planned.input_tokens,
        "flags": planned.flags,
        "next_route": planned.next.route if planned.next else None,
        "least_estimate_micros": planned.least_estimate_micros,
        "probe": planned.probe,
        "gateway": planned.gateway,
        "budget": reservation,
    }


def _stored(**fields: Any) -> dict[str, Any]:
    return {name: stored_value(value) for name, value in fields.items()}
