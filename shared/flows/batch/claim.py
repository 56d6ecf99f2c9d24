"""Batch documents in one hand at a time: taking one, and changing it under the version that was taken."""

from __future__ import annotations

from datetime import datetime

from shared.core.lifecycle.batch_schedule import HOLD, is_newly_stuck
from shared.core.observability import events
from shared.core.provider.failure import Failure
from shared.core.values.documents import Committed, Document, Fields, Update
from shared.ports import Ports

RUNBOOK = "batch-stuck"


async def take(ports: Ports, batch: Document, now: datetime) -> Document | None:
    """The batch in this process's hand for HOLD, or None where another took it. Who was stuck too long is reported."""
    stuck = is_newly_stuck(batch.data, now, ports.catalogue.batch)
    changes = {"due_at": now + HOLD} | ({"escalated_at": now} if stuck else {})
    held = await change(ports, batch, changes)
    if held is not None and stuck:
        name, state = batch.data["name"] or "not handed over", batch.data["provider_state"] or batch.data["state"]
        since = batch.data["changed_at"].isoformat(timespec="seconds")
        what = f"batch {batch.id} ({name}): {state} without any change since {since}"
        ports.signals.emit(events.ESCALATION, what=what, request_id=None, runbook=RUNBOOK)
    return held


async def change(ports: Ports, held: Document, changes: Fields) -> Document | None:
    """The batch as it is after `changes`, or None where it was taken from us."""
    committed = await ports.store.commit(Update(held.path, changes, held.version))
    if not isinstance(committed, Committed):
        return None
    return Document(held.path, {**held.data, **changes}, committed.versions[0], committed.at)


def say_delayed(ports: Ports, held: Document, failure: Failure, step: str, until: datetime) -> None:
    ports.signals.emit(
        events.BATCH_DELAYED, batch=held.id, step=step, kind=failure.kind.value, reason=failure.message, until=until
    )
