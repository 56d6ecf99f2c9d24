"""Batch documents are held by one process at a time: claiming one, and changing it under the claimed version."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from shared.core.lifecycle.batch_schedule import HOLD, is_newly_stuck
from shared.core.observability import events
from shared.core.provider.failure import Failure
from shared.core.records.batch import BatchRecord
from shared.core.records.versioned import Batch, committed, update
from shared.core.values.documents import Committed
from shared.ports import Ports

RUNBOOK = "batch-stuck"


async def take(ports: Ports, batch: Batch, now: datetime) -> Batch | None:
    """The batch, claimed by this process for HOLD, or None if another process claimed it. A batch that was stuck too
    long is reported."""
    record = batch.record
    stuck = is_newly_stuck(record, now, ports.catalogue.batch)
    claimed = replace(record, due_at=now + HOLD, escalated_at=now if stuck else record.escalated_at)
    mine = await change(ports, batch, claimed)
    if mine is not None and stuck:
        name, state = record.name or "not handed over", record.provider_state or record.state
        since = record.changed_at.isoformat(timespec="seconds")
        what = f"batch {batch.id} ({name}): {state} without any change since {since}"
        ports.signals.emit(events.ESCALATION, what=what, request_id=None, runbook=RUNBOOK)
    return mine


async def change(ports: Ports, batch: Batch, after: BatchRecord) -> Batch | None:
    """The batch after the change, or None if another process has claimed it."""
    write = update(batch, after)
    answer = await ports.store.commit(write)
    return committed(batch, after, write, answer) if isinstance(answer, Committed) else None


def say_delayed(ports: Ports, batch: Batch, failure: Failure, step: str, until: datetime) -> None:
    ports.signals.emit(
        events.BATCH_DELAYED, batch=batch.id, step=step, kind=failure.kind.value, reason=failure.message, until=until
    )
