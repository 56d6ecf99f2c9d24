"""From a closed batch to one that the provider works on, submitted once: `create` is not idempotent.

Before the create leaves, it is recorded that it may have left. After a crash or silence in between, the batch is found
by its display name, which is unique; only a batch that certainly did not arrive is created again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from msgspec.structs import replace

from shared.core.accounting import budget
from shared.core.lifecycle import batch, request_record, transitions
from shared.core.lifecycle.batch_schedule import FOUND_WITHIN, HOLD, LEAVE_WITHIN, may_create_again
from shared.core.observability import events
from shared.core.provider.call import Order, Reference
from shared.core.provider.failure import Failure, FailureKind
from shared.core.provider.outcome import EXPIRED
from shared.core.provider.stored_image import Ending
from shared.core.records.batch import BatchRecord, Item
from shared.core.records.versioned import Attempt, Batch, Request, attempt_in, committed, request_in, update
from shared.core.references import reference_set
from shared.core.values.documents import Committed, Create, Delete, Document
from shared.core.values.lanes import BATCH
from shared.core.values.route import Route
from shared.flows.batch.claim import change, say_delayed
from shared.flows.batch.settle import settle_all
from shared.flows.clock import ServerTime
from shared.flows.render.limit_reports import Asker, Evidence
from shared.flows.render.settle import settle
from shared.flows.requests import provider_call
from shared.flows.requests.provider_call import Bounds, order_of
from shared.flows.requests.result_events import ended
from shared.ports import Ports
from shared.ports.images import ReferenceUnusable

CLOCKS_DIFFER = timedelta(minutes=5)
"""Between the store and the provider, at most."""
ASK_AGAIN = timedelta(minutes=1)


async def submit(ports: Ports, claimed: Batch, time: ServerTime) -> None:
    """Hand over a closed batch that this process has claimed; if it is unknown whether that worked, it is due again."""
    if claimed.record.creating_at is not None and not await _is_free_to_create(ports, claimed, time):
        return
    lines = _Orders(ports, claimed, time)
    uploaded = await ports.batches.upload(claimed.record.display_name, lines.orders())
    if lines.all_read and lines.count == 0:
        await settle_all(ports, claimed, batch.gone(), time)  # all of them have ended before: closes the batch
        return
    if isinstance(uploaded, Failure):
        await _refused(ports, claimed, uploaded, "upload", time)
        return
    began = await change(ports, claimed, batch.creating(claimed.record, time.now(), time.now() + HOLD))
    if began is None:
        return  # held for too long: another has it
    created = await ports.batches.create(claimed.record.display_name, claimed.record.model, uploaded, LEAVE_WITHIN)
    match created:
        case Failure() if batch.is_surely_refused(created):
            await _refused(ports, began, created, "create", time)
        case Failure():
            await _delay(ports, began, created, "create", replace(began.record, due_at=time.now() + ASK_AGAIN))
        case str():
            await _record(ports, began, created, time, found_again=False)


async def _is_free_to_create(ports: Ports, claimed: Batch, time: ServerTime) -> bool:
    """A create was begun: record the batch if the provider has it; otherwise return whether it may be created once
    more."""
    text = await ports.batches.find(claimed.record.display_name, claimed.record.created_at - CLOCKS_DIFFER)
    match text:
        case str():
            await _record(ports, claimed, text, time, found_again=True)
            return False
        case Failure():
            await _delay(ports, claimed, text, "find", replace(claimed.record, due_at=time.now() + ASK_AGAIN))
            return False
        case None if may_create_again(claimed.record, time.now()):
            return True
        case None:
            creating_at = claimed.record.creating_at or time.now()
            again_at = min(time.now() + ASK_AGAIN, creating_at + FOUND_WITHIN)
            await change(ports, claimed, replace(claimed.record, due_at=again_at))
            return False


async def _record(ports: Ports, claimed: Batch, name: str, time: ServerTime, *, found_again: bool) -> None:
    if await change(ports, claimed, batch.submitted(claimed.record, name, time.now())) is not None:
        ports.signals.emit(events.BATCH_SUBMITTED, batch=claimed.id, name=name, found_again=found_again)
        await _reporter(ports, claimed).made(_route(claimed), time.now(), time)


async def _refused(ports: Ports, claimed: Batch, failure: Failure, step: str, time: ServerTime) -> None:
    """The provider has no such batch: try again later, or the next route for each of its requests."""
    if batch.is_worth_another_try(failure):
        await _delay(ports, claimed, failure, step, batch.not_created(claimed.record, time.now()))
        return
    if batch.may_be_split(claimed.record):
        await _split(ports, claimed, failure, step, time)
        return
    items = claimed.record.items
    failure = batch.of_all(failure, len(items))
    if step == "create":
        await _report(ports, claimed, failure, time)
    await settle_all(ports, claimed, failure, time)


async def _split(ports: Ports, claimed: Batch, failure: Failure, step: str, time: ServerTime) -> None:
    """A refused file must not decide for everything in it: it is split into two halves, by tenant."""
    items, now = claimed.record.items, time.now()
    documents = await ports.store.get_all([request_record.path(item.request_id) for item in items])
    tenants = [request_in(document).record.tenant if isinstance(document, Document) else "" for document in documents]
    first, second = batch.halves(list(zip(items, tenants, strict=True)))
    part_id = f"{claimed.id}-2"
    part = batch.second_part(part_id, claimed.id, _route(claimed), second, now)
    rest = update(claimed, batch.first_part(claimed.record, first, now))
    if isinstance(await ports.store.commit(rest, Create(batch.path(part_id), part.to_json())), Committed):
        say_delayed(ports, claimed, failure, step, now)


async def _report(ports: Ports, claimed: Batch, failure: Failure, time: ServerTime) -> None:
    """A file counts once, however many lines it has: the pump concludes nothing about the lane from one."""
    file = Asker(batch.family(claimed.id, claimed.record), "")
    await _reporter(ports, claimed).failed(_route(claimed), failure, time.now(), time, file)


def _reporter(ports: Ports, claimed: Batch) -> Evidence:
    return Evidence(replace(ports, boot=f"batch-{claimed.id}"))


def _route(claimed: Batch) -> Route:
    return Route(BATCH, claimed.record.model, claimed.record.image_size)


async def _delay(ports: Ports, claimed: Batch, failure: Failure, step: str, after: BatchRecord) -> None:
    assert after.due_at is not None
    if await change(ports, claimed, after) is not None:
        say_delayed(ports, claimed, failure, step, after.due_at)


class _Full(Exception):
    """No more references fit into this file."""


class _Orders:
    """The requests of a batch as they go into its file; those that cannot be sent any more end individually."""

    def __init__(self, ports: Ports, claimed: Batch, time: ServerTime) -> None:
        self._ports = ports
        self._batch = claimed
        self._time = time
        self._bytes = 0
        """Bytes of references, as they are sent."""
        self._room = 0
        """Memory reserved for the current order."""
        self.count = 0
        """How many have been added."""
        self.all_read = False

    async def orders(self) -> AsyncIterator[tuple[str, Order]]:
        for item in self._batch.record.items:
            try:
                order = await self._order(item)
                if order is not None:
                    self.count += 1
                    yield item.key, order
            finally:
                self._ports.room.give_back(self._room)
                self._room = 0
        self.all_read = True

    async def _order(self, item: Item) -> Order | None:
        ports = self._ports
        documents = await ports.store.get_all(
            [request_record.path(item.request_id), request_record.attempt_path(item.request_id, item.attempt)]
        )
        first, second = documents
        if not isinstance(first, Document) or not isinstance(second, Document):
            return None
        request, attempt = request_in(first), attempt_in(second)
        if (
            request.record.batch != batch.family(self._batch.id, self._batch.record)
            or attempt.record.outcome is not None
        ):
            return None
        if request.record.deadline is not None and request.record.deadline <= self._time.now():
            await self._expire(request, attempt)
            return None
        render_request, route = request.record.content, attempt.record.route
        try:
            references = await self._references(Bounds.on(ports, render_request, route))
        except ReferenceUnusable as error:
            unusable: Ending = Failure(FailureKind.REFERENCE, f"{error}.")
            await settle(ports, request, attempt, unusable, 0)
            return None
        except _Full:
            no_room: Ending = Failure(FailureKind.LATE, "The file of its batch was full; it goes with another one.")
            await settle(ports, request, attempt, no_room, 0)
            return None
        return order_of(render_request, route, references, ports.catalogue)

    async def _references(self, bounds: Bounds) -> tuple[Reference, ...]:
        """Raises ReferenceUnusable, and _Full if they do not fit into the file any more: the first always fits."""
        if not bounds.content.references:
            return ()
        sizes = await provider_call.sizes(self._ports.references, bounds)
        self._check_fits(sum(size or 0 for size in sizes))
        room = reference_set.weight(bounds.limit if None in sizes else sum(size or 0 for size in sizes))
        await self._ports.room.take(room)
        self._room = room
        references = await provider_call.fetched(self._ports.references, bounds, sizes)
        provider_call.check(bounds, references, self._ports.catalogue)
        size = sum(len(reference.data) for reference in references)
        self._check_fits(size)
        self._bytes += size * 4 // 3
        return references

    def _check_fits(self, size: int) -> None:
        if self._bytes and self._bytes + size * 4 // 3 > self._ports.catalogue.batch.most_bytes:
            raise _Full

    async def _expire(self, request: Request, attempt: Attempt) -> None:
        """Nothing was sent: the attempt does not count."""
        now = self._time.now()
        after = replace(
            transitions.finished(request.record, "expired", EXPIRED, now), attempt_count=attempt.record.number - 1
        )
        write = update(request, after)
        answer = await self._ports.store.commit(
            write,
            Delete(attempt.path, attempt.version),
            *budget.refund(request.record.tenant, request.id, request.record.budget),
        )
        if isinstance(answer, Committed):
            await ended(self._ports, replace(committed(request, after, write, answer), read_at=now))
