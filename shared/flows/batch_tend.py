"""What `watch` does for batches: close, hand over, look after, settle. Safe beside another doing the same."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.core import batch, queries, signals
from shared.core.batch import OVER, Progress
from shared.core.batch_times import (
    LOOK_AGAIN,
    LOOK_LATER,
    is_given_up,
    is_to_be_cancelled,
    is_without_answers,
    next_look,
)
from shared.core.documents import Document
from shared.core.failure import Failure, FailureKind
from shared.flows.batch_collect import close_due
from shared.flows.batch_document import RUNBOOK, change, say_delayed, take
from shared.flows.batch_settle import settle_all, settle_results
from shared.flows.batch_submit import submit
from shared.flows.server_time import ServerTime
from shared.ports import ImagesUnavailable, Ports, ResultsUnavailable

PAGE = 100
"""The provider works on at most 100 batches at once."""
TEND_FOR = timedelta(minutes=4)
"""Then the rest is left for the next minute: a push may stay unanswered for ten."""


async def tend_batches(ports: Ports, now: datetime) -> int:
    """Everything that is due for any batch. How many were looked at."""
    time = ServerTime(ports.clock, now)
    await close_due(ports, now)
    count = 0
    for each in await ports.store.query(queries.due_batches(time.now(), PAGE)):
        if time.now() - now > TEND_FOR:
            break
        held = await take(ports, each, time.now())
        if held is None:
            continue
        count += 1
        if held.data["state"] == "collected":
            await submit(ports, held, time)
        else:
            await _look_after(ports, held, time)
    return count


async def _look_after(ports: Ports, held: Document, time: ServerTime) -> None:
    progress = await ports.batches.look(held.data["name"])
    match progress:
        case Failure(http_status=404):
            await settle_all(ports, held, batch.gone(), time)
        case Failure():
            await _later(ports, held, progress, "look", time)
        case Progress(state="cancelled") if is_to_be_cancelled(held.data, time.now()):  # by us: it had run too long
            await _settle(ports, held, replace(progress, state="expired"), time)
        case Progress() if is_without_answers(held.data, progress, time.now()):
            await _look_for_answers(ports, held, progress, time)
        case Progress() if progress.state in OVER:
            await _settle(ports, held, progress, time)
        case Progress() if is_given_up(held.data, time.now()):
            await settle_all(ports, held, batch.without_result(Progress("expired")), time)
        case Progress():
            if is_to_be_cancelled(held.data, time.now()):
                await ports.batches.cancel(held.data["name"])
            changes = batch.seen(held.data, progress, time.now()) | {"due_at": next_look(held.data, time.now())}
            await change(ports, held, changes)


async def _look_for_answers(ports: Ports, held: Document, progress: Progress, time: ServerTime) -> None:
    """It has succeeded and names no answers: they are paid for, so it is looked at again rather than made again."""
    if held.data["provider_state"] != progress.state:
        what = f"batch {held.id} ({held.data['name']}) has succeeded and names no answers; it is looked at again"
        ports.signals.emit(signals.ESCALATION, what=what, request_id=None, runbook=RUNBOOK)
    now = time.now()
    await change(ports, held, batch.seen(held.data, progress, now) | {"due_at": next_look(held.data, now)})


async def _settle(ports: Ports, held: Document, progress: Progress, time: ServerTime) -> None:
    try:
        await settle_results(ports, held, progress, time)
    except ResultsUnavailable as error:
        await _later(ports, held, error.failure, "results", time)
    except ImagesUnavailable as error:
        await _later(ports, held, Failure(FailureKind.IMAGE_STORE, str(error)), "images", time)


async def _later(ports: Ports, held: Document, failure: Failure, step: str, time: ServerTime) -> None:
    until = time.now() + (LOOK_AGAIN if step == "look" else LOOK_LATER)
    if await change(ports, held, {"due_at": until}) is not None:
        say_delayed(ports, held, failure, step, until)
