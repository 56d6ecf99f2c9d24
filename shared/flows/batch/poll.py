"""What `watch` does for batches: close, hand over, poll, settle. Safe when another process does the same."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.core.lifecycle import batch, queries
from shared.core.lifecycle.batch import OVER, Progress
from shared.core.lifecycle.batch_schedule import (
    LOOK_AGAIN,
    LOOK_LATER,
    is_given_up,
    is_to_be_cancelled,
    is_without_answers,
    next_look,
)
from shared.core.observability import events
from shared.core.provider.failure import Failure, FailureKind
from shared.core.records.versioned import Batch, batch_in
from shared.core.values.documents import Document
from shared.flows.batch.claim import RUNBOOK, change, say_delayed, take
from shared.flows.batch.collect import close_due
from shared.flows.batch.settle import settle_all, settle_results
from shared.flows.batch.submit import submit
from shared.flows.clock import ServerTime
from shared.flows.requests.item_by_item import attempt
from shared.ports import Ports
from shared.ports.images import ImagesUnavailable
from shared.ports.lanes import ResultsUnavailable

PAGE = 100
"""The provider works on at most 100 batches at once."""
TEND_FOR = timedelta(minutes=4)
"""After this, the rest is left for the next minute: a push may stay unanswered for ten."""


async def tend_batches(ports: Ports, now: datetime) -> int:
    """Everything that is due for any batch. Returns how many were looked at."""
    time = ServerTime(ports.clock, now)
    await attempt(ports, "close batches", "batches", close_due(ports, now))
    count = 0
    for document in await ports.store.query(queries.due_batches(time.now(), PAGE)):
        if time.now() - now > TEND_FOR:
            break
        count += await attempt(ports, "look after a batch", document.path, _tend(ports, document, time)) or 0
    return count


async def wake_batch(ports: Ports, name: str) -> int:
    """Look at the batch with that name at the provider now. Returns how many were looked at: none if it is unknown or
    over."""
    count = 0
    names = [name] if "/" in name else [name, f"batches/{name}"]
    pages = [await ports.store.query(queries.batch_named(one)) for one in names]
    for document in itertools.chain(*pages):
        due_at, time = batch_in(document).record.due_at, ServerTime(ports.clock, document.read_at)
        if due_at is not None and due_at <= time.now() + LOOK_LATER:  # otherwise another process works on it
            count += await attempt(ports, "look after a batch", document.path, _tend(ports, document, time)) or 0
    return count


async def _tend(ports: Ports, document: Document, time: ServerTime) -> int:
    """1 if no other process had it."""
    versioned = await take(ports, batch_in(document), time.now())
    if versioned is None:
        return 0
    if versioned.record.state == "collected":
        await submit(ports, versioned, time)
    else:
        await _look_after(ports, versioned, time)
    return 1


async def _look_after(ports: Ports, claimed: Batch, time: ServerTime) -> None:
    progress = await ports.batches.look(_name(claimed))
    match progress:
        case Failure(http_status=404):
            await settle_all(ports, claimed, batch.gone(), time)
        case Failure():
            await _later(ports, claimed, progress, "look", time)
        case Progress(state="cancelled") if is_to_be_cancelled(claimed.record, time.now()):  # it had run too long
            await _settle(ports, claimed, replace(progress, state="expired"), time)
        case Progress() if is_without_answers(claimed.record, progress, time.now()):
            await _look_for_answers(ports, claimed, progress, time)
        case Progress() if progress.state in OVER:
            await _settle(ports, claimed, progress, time)
        case Progress() if is_given_up(claimed.record, time.now()):
            await settle_all(ports, claimed, batch.without_result(Progress("expired")), time)
        case Progress():
            if is_to_be_cancelled(claimed.record, time.now()):
                await ports.batches.cancel(_name(claimed))
            after = batch.after_look(claimed.record, progress, time.now())
            await change(ports, claimed, replace(after, due_at=next_look(claimed.record, time.now())))


async def _look_for_answers(ports: Ports, claimed: Batch, progress: Progress, time: ServerTime) -> None:
    """It has succeeded and names no answers: they are paid for, so it is looked at again rather than created again."""
    if claimed.record.provider_state != progress.state:
        what = f"batch {claimed.id} ({claimed.record.name}) has succeeded and names no answers; it is looked at again"
        ports.signals.emit(events.ESCALATION, what=what, request_id=None, runbook=RUNBOOK)
    now = time.now()
    after = batch.after_look(claimed.record, progress, now)
    await change(ports, claimed, replace(after, due_at=next_look(claimed.record, now)))


async def _settle(ports: Ports, claimed: Batch, progress: Progress, time: ServerTime) -> None:
    try:
        await settle_results(ports, claimed, progress, time)
    except ResultsUnavailable as error:
        await _later(ports, claimed, error.failure, "results", time)
    except ImagesUnavailable as error:
        await _later(ports, claimed, Failure(FailureKind.IMAGE_STORE, str(error)), "images", time)


async def _later(ports: Ports, claimed: Batch, failure: Failure, step: str, time: ServerTime) -> None:
    until = time.now() + (LOOK_AGAIN if step == "look" else LOOK_LATER)
    if await change(ports, claimed, replace(claimed.record, due_at=until)) is not None:
        say_delayed(ports, claimed, failure, step, until)


def _name(claimed: Batch) -> str:
    assert claimed.record.name is not None, "it was handed over"
    return claimed.record.name
