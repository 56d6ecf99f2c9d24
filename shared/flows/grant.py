"""One tick of the pump: read the heads of all queues, plan their routes, grant slots, hand out the releases."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from shared.core import ladder, queries, record, signals
from shared.core.admission import (
    CAP_AFTER_429,
    FIRST_CAP,
    Candidate,
    Grant,
    admit,
    concurrency_cap,
    most_pace,
    next_pace,
)
from shared.core.calendar import Calendar
from shared.core.documents import Committed, Conflict, Document, Update
from shared.core.failure import FailureKind
from shared.core.ladder import Planned, Unroutable
from shared.core.messages import Release
from shared.core.outcome import Outcome
from shared.core.record import Head
from shared.core.request import PRIORITIES
from shared.core.topology import RENDER_RELEASES
from shared.flows.announce import announce
from shared.flows.expire import expire_overdue
from shared.flows.pump_documents import LostSlot, PumpDocuments
from shared.ports import Ports, StoreUnavailable, TopicsUnavailable

WORTH_WAITING = timedelta(minutes=1)
"""What opens later than this is left to the next kick of the schedule."""
HEAD_PAGE = 100
UNCLAIMED_AFTER = timedelta(seconds=10)
OVERDUE_EVERY = timedelta(seconds=5)
EVERYONE_EVERY = 20
"""Ticks between two looks at the queues of retired models."""


async def tick(ports: Ports, documents: PumpDocuments, most_spend: int | None) -> bool:
    """Grant what can be granted now. True while there is work that the pump should stay for.

    Calendars are written before releases are handed out: a pump that dies between wastes slots and overruns nothing.
    Raises LeadLost.
    """
    await _take_back_unclaimed(ports, documents)
    await _expire(ports, documents)
    heads = await _heads(ports, documents)
    candidates, models = await _plan(ports, heads, documents)
    await documents.read_calendars(models)
    calendars = {model: documents.calendar(model) for model in models}
    calendars |= await _closed_by_evidence(ports, documents)
    now = documents.time.now()
    admission = admit(
        candidates,
        _with_lost_slots(calendars, documents),
        {model: documents.limits(model) for model in models},
        {model: await _room(ports, model, documents) for model in models},
        now=now,
        spend=documents.spend,
        pace=documents.pace,
        most=most_spend,
    )
    late = sum(1 for head in heads if head.unused_slot is not None)
    most = most_pace(ports.capacity)
    documents.pace = next_pace(documents.pace, late=late, granted=len(admission.grants), most=most)
    documents.crowded = any(full.reason == "concurrency" for full in admission.held.values())
    more_pages = len(candidates) >= HEAD_PAGE and bool(admission.grants)
    await documents.write(admission, quiet=not admission.held and not more_pages)
    documents.lost = []
    await asyncio.gather(*(_release(ports, grant, documents) for grant in admission.grants))
    soon = now + WORTH_WAITING
    opens_soon = any(full.until is None or full.until < soon for full in admission.held.values())
    return opens_soon or more_pages or await _expects_work(ports, documents)


async def _heads(ports: Ports, documents: PumpDocuments) -> list[Head]:
    """The front of every queue, and whoever has slept long enough."""
    models = ports.catalogue.models.values()
    # A request may still queue for a model that the catalogue has retired since: those are looked for now and then.
    everyone = documents.ticks % EVERYONE_EVERY == 0
    documents.ticks += 1
    served = [model.id for model in models if everyone or model.status != "retired"]
    asked = [queries.woken(model, documents.time.now(), HEAD_PAGE) for model in served]
    asked += [queries.heads(model, priority, HEAD_PAGE) for model in served for priority in PRIORITIES]
    found = await asyncio.gather(*(ports.store.query(query) for query in asked))
    queued = [document for page in found for document in page]
    if queued:
        documents.time.observe(queued[0].read_at)
    return [Head.of(each.id, each.version, each.data) for each in queued]


async def _plan(ports: Ports, heads: Sequence[Head], documents: PumpDocuments) -> tuple[list[Candidate], list[str]]:
    """The route of every head, planned anew; one that no route can take any more ends with the reason."""
    candidates = []
    for head in heads:
        if head.deadline is not None and head.deadline <= documents.time.now():
            continue  # _expire() ends it
        match ladder.plan(head.ask, ports.catalogue, tuple(ports.lanes)):
            case Planned() as planned:
                candidates.append(Candidate(head, planned))
            case Unroutable(problem):
                await _end(ports, head, "failed", Outcome("unroutable", str(problem), problem.remedy), documents)
    models = {candidate.planned.route.model for candidate in candidates}
    models |= {head.unused_slot.model for head in heads if head.unused_slot is not None}
    return candidates, sorted(models)


async def _closed_by_evidence(ports: Ports, documents: PumpDocuments) -> dict[str, Calendar]:
    """Calendars that a worker's report closes."""
    reports = await ports.store.query(queries.evidence_since(documents.evidence_seen))
    closed: dict[str, Calendar] = {}
    for report in reports:
        documents.evidence_seen = max(documents.evidence_seen, report.data["updated_at"])
        for model, found in report.data["closed"].items():
            if found["until"] <= documents.time.now():
                continue
            await documents.read_calendars([model])
            before = closed.get(model, documents.calendar(model))
            closed[model] = before.close(found["until"], found["why"])
            documents.last_429[model] = documents.time.now()
            if found["why"] == FailureKind.QUOTA_MINUTE.value and found["quota_value"]:
                documents.learned[model] = found["quota_value"]
            if closed[model] != before:
                ports.signals.emit(signals.CALENDAR_CLOSED, model=model, until=found["until"], why=found["why"])
    return closed


async def _room(ports: Ports, model: str, documents: PumpDocuments) -> int:
    """How many more attempts of this model may be in flight."""
    now = documents.time.now()
    rejected = documents.last_429.get(model)
    since = rejected or documents.first_used.setdefault(model, now)
    first = CAP_AFTER_429 if rejected else FIRST_CAP
    cap = concurrency_cap(documents.limits(model), ports.capacity, now - since, first=first)
    flying = [ports.store.count(queries.in_flight(model, status, cap + 1)) for status in ("released", "rendering")]
    return cap - sum(await asyncio.gather(*flying))


async def _release(ports: Ports, grant: Grant, documents: PumpDocuments) -> None:
    """Each by itself: one cancelled request must not waste a tick. Unpublished, it is taken back as unclaimed."""
    head, planned = grant.candidate.head, grant.candidate.planned
    changes = record.released(head, planned, grant.slot_at, grant.slot_until, documents.time.now())
    path = record.path(head.request_id)
    try:
        committed = await ports.store.commit(Update(path, changes, head.version))
        if isinstance(committed, Conflict):
            key = f"{head.request_id}:{head.release + 1}"
            documents.lost.append(LostSlot(key, planned.route.model, grant.slot_at, grant.candidate.weight))
            return
        await ports.topics.publish(RENDER_RELEASES, Release(head.request_id, head.release + 1).to_bytes())
    except (StoreUnavailable, TopicsUnavailable) as error:
        ports.signals.emit(
            signals.ESCALATION, what=f"a release could not be handed out: {error}", request_id=head.request_id,
            runbook="release-not-handed-out",
        )  # fmt: skip
        return
    ports.signals.emit(
        signals.RELEASED,
        request_id=head.request_id,
        release=head.release + 1,
        route=str(planned.route),
        slot_at=grant.slot_at,
    )


async def _take_back_unclaimed(ports: Ports, documents: PumpDocuments) -> None:
    """Releases whose delivery was lost: back to the front, their slots given back."""
    now = documents.time.now()
    for request in await ports.store.query(queries.unclaimed(now - UNCLAIMED_AFTER, HEAD_PAGE)):
        changes = record.not_started(request.data, "its release was not taken up", now)
        committed = await ports.store.commit(Update(request.path, changes, request.version))
        if isinstance(committed, Committed):
            ports.signals.emit(signals.REQUEUED, request_id=request.id, reason=changes["reason"])


async def _expire(ports: Ports, documents: PumpDocuments) -> None:
    if documents.time.now() - documents.overdue_looked < OVERDUE_EVERY:
        return
    documents.overdue_looked = documents.time.now()
    await expire_overdue(ports, documents.time.now())


async def _end(ports: Ports, head: Head, status: str, outcome: Outcome, documents: PumpDocuments) -> None:
    changes = record.finished(status, outcome, documents.time.now())
    committed = await ports.store.commit(Update(record.path(head.request_id), changes, head.version))
    if isinstance(committed, Committed):
        request = await ports.store.get(record.path(head.request_id))
        assert isinstance(request, Document)
        await announce(ports, request)


async def _expects_work(ports: Ports, documents: PumpDocuments) -> bool:
    """Something is in the air, or a sleeper wakes before the next kick of the schedule."""
    store, now = ports.store, documents.time.now()
    if await store.count(queries.in_status("released", 1)):
        return True
    soon = await store.query(queries.sleeping(now, 1))
    return bool(soon) and soon[0].data["wake_at"] < now + WORTH_WAITING


def _with_lost_slots(calendars: dict[str, Calendar], documents: PumpDocuments) -> dict[str, Calendar]:
    """The calendars with the slots given back that the last tick could not hand out."""
    now = documents.time.now()
    for lost in documents.lost:
        before = calendars.get(lost.model, documents.calendar(lost.model))
        calendars[lost.model] = before.refund(lost.release, lost.slot_at, lost.weight, now=now)
    return calendars
