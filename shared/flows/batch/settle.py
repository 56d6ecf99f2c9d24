"""The answers of a batch, settled one by one; requests without an answer end as the batch did.

Every step may be repeated: a closed attempt stays closed, a stored image stays stored, and a further answer under one
key is booked under its own number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct, field

from shared.core.accounting import ledger
from shared.core.lifecycle import batch, request_record
from shared.core.lifecycle.batch import Progress
from shared.core.lifecycle.settlement import book_extra
from shared.core.observability import events
from shared.core.provider.call import Answer, Made, Written, written_of
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.stored_image import Delivered, Ending
from shared.core.records.batch import Item
from shared.core.records.versioned import Attempt, Batch, Request, attempt_in, request_in
from shared.core.values.documents import Committed, Create, Document
from shared.flows import tracing
from shared.flows.batch.claim import change
from shared.flows.clock import ServerTime
from shared.flows.render.settle import settle
from shared.flows.requests.output_format import in_format
from shared.flows.tracing_call import trace_call
from shared.ports import Ports


class _Entry(Struct):
    """One item with its documents, and the answers under its key so far."""

    item: Item
    request: Request
    attempt: Attempt
    lines: int = 0
    has_image: bool = False
    others: list[tuple[int, Failure]] = field(default_factory=list)
    """Answers without an image, by their line under this key."""

    @property
    def is_open(self) -> bool:
        """Also if the attempt was given up as crashed: an image is still kept."""
        outcome = self.attempt.record.outcome
        return outcome is None or outcome.kind is FailureKind.CRASHED


async def settle_results(ports: Ports, claimed: Batch, progress: Progress, time: ServerTime) -> None:
    """Settle everything in an ended batch. Raises ResultsUnavailable or ImagesUnavailable: the rest can be settled
    later."""
    entries = {item.item.key: item for item in await _entries(ports, claimed)}
    strange: Counter[str] = Counter()
    extra = 0
    if progress.results is not None:
        prompts = {key: _written(entry.request) for key, entry in entries.items()}
        async for line in await ports.batches.results(progress.results, claimed.record.model, prompts):
            entry = entries.get(line.key)
            if entry is None:
                strange[line.key] += 1
            else:
                extra += await _take(ports, claimed, entry, line.answer, time)
    for entry in entries.values():
        extra += await _end(ports, claimed, entry, progress, time)
    if strange:
        what = f"batch {claimed.id} ({claimed.record.name}): {strange.total()} answers under unknown keys"
        ports.signals.emit(events.ESCALATION, what=what, request_id=None, runbook="batch-strange-answers")
    await _close(ports, claimed, progress, list(entries.values()), extra, strange.total(), time)


def _written(request: Request) -> Written:
    content = request.record.content
    return written_of(content.prompt, content.system_instruction)


async def settle_all(ports: Ports, claimed: Batch, failure: Failure, time: ServerTime) -> None:
    """The batch has no result: each of its requests continues from `failure`."""
    entries = await _entries(ports, claimed)
    for entry in entries:
        if entry.is_open:
            await _settle(ports, claimed, entry, failure, failure, time)
    await _close(ports, claimed, Progress("failed", failure=failure), entries, 0, 0, time)


async def _entries(ports: Ports, claimed: Batch) -> list[_Entry]:
    """Without those that had ended before anything was sent."""
    items = claimed.record.items
    paths = [request_record.path(item.request_id) for item in items]
    paths += [request_record.attempt_path(item.request_id, item.attempt) for item in items]
    documents = await ports.store.get_all(paths)
    pairs = zip(items, documents[: len(items)], documents[len(items) :], strict=True)
    return [
        _Entry(item, request_in(request), attempt_in(attempt))
        for item, request, attempt in pairs
        if isinstance(request, Document) and isinstance(attempt, Document)
    ]


async def _take(ports: Ports, claimed: Batch, entry: _Entry, answer: Answer, time: ServerTime) -> int:
    """One answer: the first image is the request's, a further one is a cost. Returns how many were booked in
    addition."""
    line, entry.lines = entry.lines, entry.lines + 1
    match answer:
        case Made() if not entry.has_image:
            entry.has_image = True
            await _keep(ports, claimed, entry, answer, time)
            return 0
        case Made():
            await _book(ports, entry, Delivered.of(answer, ""), line, time)
            return 1
        case Failure():
            entry.others.append((line, answer))
            return 0


async def _keep(ports: Ports, claimed: Batch, entry: _Entry, made: Made, time: ServerTime) -> None:
    if not entry.is_open:
        return  # an earlier look settled it
    record = entry.request.record
    made = await in_format(ports, entry.request, made)
    key = request_record.image_key(entry.item.request_id, record.tenant, record.created_at, entry.item.attempt)
    facts = Delivered.of(made, "").to_facts()
    stored = await ports.images.put(key + made.picture.extension, made.picture, facts)
    await _settle(ports, claimed, entry, Delivered.of(made, stored.uri), made, time)


async def _end(ports: Ports, claimed: Batch, entry: _Entry, progress: Progress, time: ServerTime) -> int:
    """The rest of an item after the last line: its failure, and further answers that were charged."""
    others = entry.others
    if not entry.has_image:
        failure, others = (others[0][1], others[1:]) if others else (batch.without_result(progress), [])
        if entry.is_open:
            await _settle(ports, claimed, entry, failure, failure, time)
    charged = [(line, item) for line, item in others if item.usage is not None]
    for line, item in charged:
        await _book(ports, entry, item, line, time)
    return len(charged)


async def _settle(
    ports: Ports, claimed: Batch, entry: _Entry, ending: Ending, answer: Answer, time: ServerTime
) -> None:
    """With the span of its call, from the handover to its answer, if the provider had it."""
    request, attempt, now = entry.request, entry.attempt, time.now()
    took = now - attempt.record.started_at
    effect = await settle(ports, request, attempt, ending, int(took.total_seconds() * 1000))
    if effect == "settled before" or claimed.record.submitted_at is None:
        return
    parent = tracing.attempt_of(request.record, attempt.record.number)
    place = parent if attempt.record.outcome is None else parent.named("late")
    trace_call(ports, request, attempt, place, answer, claimed.record.submitted_at, now, claimed.record.image_size)


async def _book(ports: Ports, entry: _Entry, ending: Ending, line: int, time: ServerTime) -> None:
    """Under the number of its line: if it was booked before, its document exists."""
    while True:
        documents = await ports.store.get_all([entry.request.path, entry.attempt.path, f"{entry.attempt.path}-{line}"])
        request, attempt, booked = documents
        if isinstance(booked, Document) or not isinstance(request, Document) or not isinstance(attempt, Document):
            return
        shard = int(ports.chance() * ledger.SHARDS)
        writes = book_extra(
            request_in(request), attempt_in(attempt), ending, line, ports.catalogue, now=time.now(), shard=shard
        )
        assert any(isinstance(write, Create) for write in writes)
        if isinstance(await ports.store.commit(*writes), Committed):
            return
        await ports.clock.sleep(0.02 * ports.chance())


async def _close(
    ports: Ports, claimed: Batch, progress: Progress, entries: Sequence[_Entry], extra: int, strange: int,
    time: ServerTime,
) -> None:  # fmt: skip
    if await change(ports, claimed, batch.ended(claimed.record, progress.state, time.now())) is None:
        return  # another has it, and will find all of it settled
    ports.signals.emit(
        events.BATCH_ENDED,
        batch=claimed.id,
        name=claimed.record.name,
        state=progress.state,
        requests=len(entries),
        images=sum(1 for entry in entries if entry.has_image),
        extra_answers=extra,
        unknown_keys=strange,
    )
