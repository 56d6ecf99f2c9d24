"""The legal changes of a request: each makes a new record from an old one; the store's update is the difference.
Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from shared.core.lifecycle.request_record import KEEP_FOR
from shared.core.provider.outcome import Outcome
from shared.core.records.request import Leftover, RequestRecord, UnusedSlot
from shared.core.times.leases import LEASE
from shared.core.values.status import FINAL, FinalStatus

NOT_AWAITING: Mapping[str, Any] = {"collect_at": None, "stopping": None}
"""It waits for no interaction."""


def in_batch(record: RequestRecord, batch_id: str, number: int, now: datetime) -> RequestRecord:
    """Its batch is closed, with attempt `number`: it can no longer be cancelled."""
    return replace(record, reason=f"in batch {batch_id}", batch=batch_id, attempt_count=number, updated_at=now)


def requeued(record: RequestRecord, reason: str, now: datetime, *, wake_at: datetime | None = None) -> RequestRecord:
    """Back to its place in the queue after an attempt."""
    return replace(
        record,
        status="queued",
        reason=reason,
        wake_at=wake_at,
        queued_at=now,
        slot_at=None,
        slot_until=None,
        unused_slot=None,
        lease_holder=None,
        lease_until=None,
        batch=None,
        batched_at=None,
        budget=None,
        interaction_id=None,
        updated_at=now,
        **NOT_AWAITING,
    )


def claimed(record: RequestRecord, holder: str, number: int, now: datetime) -> RequestRecord:
    """A worker claims a release, with attempt `number`."""
    return replace(
        record,
        status="rendering",
        attempt_count=number,
        fetch_count=0,
        unclaimed_count=0,
        start_count=0,
        lease_holder=holder,
        lease_until=now + LEASE,
        interaction_id=None,
        updated_at=now,
        **NOT_AWAITING,
    )


def awaiting(record: RequestRecord, interaction_id: str, collect_at: datetime, now: datetime) -> RequestRecord:
    """The provider has the call: no worker is needed until it has ended, so there is no lease."""
    return replace(
        record,
        reason=None,
        interaction_id=interaction_id,
        collect_at=collect_at,
        lease_holder=None,
        lease_until=None,
        updated_at=now,
    )


def unnamed(record: RequestRecord, reason: str, until: datetime, now: datetime) -> RequestRecord:
    """Its worker died before the interaction's id was on record: until then a webhook may still name it. No worker has
    it."""
    return replace(record, reason=reason, lease_holder=None, lease_until=until, updated_at=now)


def with_leftover(record: RequestRecord, interaction_id: str, attempt: int, due_at: datetime) -> RequestRecord:
    """One more interaction of this request that is no longer needed and that the provider still keeps."""
    kept = tuple(item for item in record.leftovers if item.id != interaction_id)
    return replace(record, leftovers=(*kept, Leftover(interaction_id, attempt)), leftovers_at=due_at)


def without_leftovers(record: RequestRecord, gone: Collection[str], due_at: datetime) -> RequestRecord:
    """The interactions with these ids are deleted; the others are due again at `due_at`."""
    kept = tuple(item for item in record.leftovers if item.id not in gone)
    return replace(record, leftovers=kept, leftovers_at=due_at if kept else None)


def return_to_queue(record: RequestRecord, reason: str, now: datetime) -> RequestRecord:
    """Back to the front of the queue: its slot passed unused, and is kept here for the pump to give back."""
    assert record.slot_at is not None, "a release has a slot"
    return replace(
        requeued(record, reason, now),
        model=record.route.model,
        unused_slot=UnusedSlot(record.route.pool, record.slot_at, record.release, record.input_tokens),
        late_count=record.late_count + 1,
        paid_at=None,  # the last look at it may have taken that long
    )


def ended_fields(status: FinalStatus, outcome: Outcome, now: datetime) -> dict[str, Any]:
    """What every final commit changes; the announcement is still to come."""
    assert status in FINAL, status
    return {
        "status": status,
        "reason": None,
        "outcome": outcome,
        "announce": "pending",
        "wake_at": None,
        "lease_holder": None,
        "lease_until": None,
        "budget": None,
        **NOT_AWAITING,
        "updated_at": now,
        "finished_at": now,
        "expire_at": now + KEEP_FOR,
    }


def finished(record: RequestRecord, status: FinalStatus, outcome: Outcome, now: datetime) -> RequestRecord:
    return replace(record, **ended_fields(status, outcome, now))
