"""The one elected loop that grants slots: plan the heads, grant from the calendars, release.

Correctness rests on the compare-and-sets of the calendars and the pump's document, never on the lead: a second pump
that believes it leads loses its commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.core import ladder, queries, record, signals
from shared.core.admission import FIRST_PACE, Admission, Candidate, Grant, admit, concurrency_cap, most_pace, next_pace
from shared.core.calendar import Calendar
from shared.core.documents import Absent, Committed, Conflict, Create, Document, Update, Write
from shared.core.ladder import Planned, Unroutable
from shared.core.messages import Release
from shared.core.outcome import EXPIRED, Outcome
from shared.core.record import Head
from shared.core.request import PRIORITIES
from shared.core.spend import Spend, spend_limit
from shared.core.topology import RENDER_RELEASES
from shared.flows.announce import announce
from shared.flows.kicks import PUMP, Kicks
from shared.flows.server_time import ServerTime
from shared.ports import Ports, StoreUnavailable, TopicsUnavailable

TICK = timedelta(seconds=1)
FULL_TICK = timedelta(milliseconds=500)
"""While attempts in flight are what holds the queue: room comes back between two ticks."""
LEAD = timedelta(seconds=10)
RENEW_LEAD_WITHIN = timedelta(seconds=5)
ANSWER_WITHIN = timedelta(seconds=540)
"""A push may stay unanswered for 600 s."""
QUIET_AFTER = timedelta(seconds=3)
"""Without work for so long, the loop gives up its lead; a kick brings it back within milliseconds."""
WORTH_WAITING = timedelta(minutes=1)
"""What opens later than this is left to the next kick of the schedule."""
HEAD_PAGE = 100
UNCLAIMED_AFTER = timedelta(seconds=10)
OVERDUE_EVERY = timedelta(seconds=5)
EVERYONE_EVERY = 20
"""Ticks between two looks at the queues of retired models."""


@dataclass(slots=True)
class _View:
    """The documents that only the pump writes, as this pump last saw them."""

    pump: Document | Absent
    calendars: dict[str, Document | Absent]
    time: ServerTime
    evidence_seen: datetime
    overdue_looked: datetime
    pace: int
    """Starts that half a second may hold: learned from those that came late."""
    last_429: dict[str, datetime] = field(default_factory=dict)
    first_used: dict[str, datetime] = field(default_factory=dict)
    ticks: int = 0
    crowded: bool = False
    """The last tick left requests waiting for attempts in flight to end."""

    def spend(self) -> Spend:
        return Spend.from_json(self.pump.data["spend"]) if isinstance(self.pump, Document) else Spend()

    def calendar(self, model: str) -> Calendar:
        found = self.calendars.get(model)
        return Calendar.from_json(found.data) if isinstance(found, Document) else Calendar()


class LeadLost(Exception):
    """Another pump leads, or has written what this one knew."""


class Pump:
    """One per process. `kicked` answers at once when the loop runs here already."""

    def __init__(self, ports: Ports, kicks: Kicks) -> None:
        self._ports = ports
        self._kicks = kicks
        self._wake = asyncio.Event()
        self._running = False
        self._ending = False
        self._most_spend = spend_limit(ports.quota.limits(model) for model in ports.catalogue.models)

    async def kicked(self, answer_within: timedelta = ANSWER_WITHIN) -> None:
        """Run the loop until it is quiet, another leads, or time is up; wake it where it runs already."""
        self._wake.set()
        if self._running:
            return
        self._running = True
        try:
            await self._lead(answer_within)
        finally:
            self._running = False

    def end(self) -> None:
        """Ask the loop to leave after its tick (the process is going down)."""
        self._ending = True
        self._wake.set()

    async def _lead(self, answer_within: timedelta) -> None:
        ports = self._ports
        view = await self._take_lead()
        if view is None:
            return
        ports.signals.emit(signals.LEAD_TAKEN, holder=ports.boot)
        ends = ports.clock.monotonic() + answer_within.total_seconds()
        busy_at = ports.clock.monotonic()
        why = "quiet"
        try:
            while True:
                self._wake.clear()
                if await self.tick(view):
                    busy_at = ports.clock.monotonic()
                if self._ending:
                    why = "the process is going down"
                    break
                if ports.clock.monotonic() - busy_at > QUIET_AFTER.total_seconds():
                    break
                if ports.clock.monotonic() >= ends:
                    why = "time is up"
                    break
                await self._next_tick(FULL_TICK if view.crowded else TICK)
        except LeadLost:
            ports.signals.emit(signals.LEAD_LEFT, holder=ports.boot, why="another pump leads")
            return
        await self._leave(view)
        ports.signals.emit(signals.LEAD_LEFT, holder=ports.boot, why=why)
        if why != "quiet":
            await self._kicks.kick()

    async def _next_tick(self, after: timedelta) -> None:
        """Some time from now, or at once when kicked."""
        tick = asyncio.ensure_future(self._ports.clock.sleep(after.total_seconds()))
        wake = asyncio.ensure_future(self._wake.wait())
        _, pending = await asyncio.wait({tick, wake}, return_when=asyncio.FIRST_COMPLETED)
        for each in pending:
            each.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _take_lead(self) -> _View | None:
        """The view of a pump that leads, or None where another does."""
        ports = self._ports
        pump = await ports.store.get(PUMP)
        time = ServerTime(ports.clock, pump.read_at)
        if isinstance(pump, Document):
            holder, until = pump.data["lead_holder"], pump.data["lead_until"]
            if holder not in (None, ports.boot) and until is not None and until > pump.read_at:
                return None
        view = _View(
            pump,
            {},
            time,
            evidence_seen=time.now() - timedelta(days=1),
            overdue_looked=time.now() - OVERDUE_EVERY,
            pace=FIRST_PACE,
        )
        committed = await ports.store.commit(self._pump_write(view, quiet=False, spend=view.spend()))
        if isinstance(committed, Conflict):
            return None
        view.pump = await ports.store.get(PUMP)
        return view

    async def _leave(self, view: _View) -> None:
        assert isinstance(view.pump, Document)
        changes = {"lead_holder": None, "lead_until": None}
        await self._ports.store.commit(Update(PUMP, changes, view.pump.version))

    # -- one tick -----------------------------------------------------------------------------------------------------

    async def tick(self, view: _View) -> bool:
        """Grant what can be granted now. True while there is work that this pump should stay for."""
        ports = self._ports
        await self._take_back_unclaimed(view)
        await self._expire_overdue(view)
        heads = await self._heads(view)
        candidates, models = await self._plan(heads, view)
        await self._read_calendars(view, models)
        closed = await self._apply_evidence(view)
        limits = {model: ports.quota.limits(model) for model in models}
        room = {model: await self._room(model, view) for model in models}
        now = view.time.now()
        calendars = {model: closed.get(model, view.calendar(model)) for model in {*models, *closed}}
        admission = admit(
            candidates,
            calendars,
            limits,
            room,
            now=now,
            spend=view.spend(),
            pace=view.pace,
            most=self._most_spend,
        )
        view.crowded = any(full.reason == "concurrency" for full in admission.held.values())
        late = sum(1 for head in heads if head.unused_slot is not None)
        most = most_pace(ports.capacity)
        view.pace = next_pace(view.pace, late=late, granted=len(admission.grants), most=most)
        more_pages = len(candidates) >= HEAD_PAGE and bool(admission.grants)
        await self._write(view, admission, quiet=not admission.held and not more_pages)
        await asyncio.gather(*(self._release(grant, view) for grant in admission.grants))
        soon = now + WORTH_WAITING
        opens_soon = any(full.until is None or full.until < soon for full in admission.held.values())
        return opens_soon or more_pages or await self._expects_work(view)

    async def _heads(self, view: _View) -> list[Head]:
        """The front of every queue, and whoever has slept long enough."""
        ports = self._ports
        models = ports.catalogue.models.values()
        # A request may still queue for a model that the catalogue has retired since: those are looked for now and then.
        everyone = view.ticks % EVERYONE_EVERY == 0
        view.ticks += 1
        served = [model.id for model in models if everyone or model.status != "retired"]
        asked = [queries.woken(model, view.time.now(), HEAD_PAGE) for model in served]
        asked += [queries.heads(model, priority, HEAD_PAGE) for model in served for priority in PRIORITIES]
        found = await asyncio.gather(*(ports.store.query(query) for query in asked))
        documents = [document for page in found for document in page]
        if documents:
            view.time.observe(documents[0].read_at)
        return [Head.of(document.id, document.version, document.data) for document in documents]

    async def _plan(self, heads: Sequence[Head], view: _View) -> tuple[list[Candidate], list[str]]:
        """The route of every head, planned anew; one that no route can take any more ends with the reason."""
        candidates = []
        for head in heads:
            if head.deadline is not None and head.deadline <= view.time.now():
                continue  # _expire_overdue ends it
            match ladder.plan(head.ask, self._ports.catalogue, tuple(self._ports.lanes)):
                case Planned() as planned:
                    candidates.append(Candidate(head, planned))
                case Unroutable(problem):
                    await self._end(head, "failed", Outcome("unroutable", str(problem), problem.remedy), view)
        models = {candidate.planned.route.model for candidate in candidates}
        models |= {head.unused_slot.model for head in heads if head.unused_slot is not None}
        return candidates, sorted(models)

    async def _read_calendars(self, view: _View, models: Sequence[str]) -> None:
        missing = [model for model in models if model not in view.calendars]
        if missing:
            found = await self._ports.store.get_all([_calendar_path(model) for model in missing])
            view.calendars.update(zip(missing, found, strict=True))

    async def _apply_evidence(self, view: _View) -> dict[str, Calendar]:
        """Calendars that a worker's report closes."""
        reports = await self._ports.store.query(queries.evidence_since(view.evidence_seen))
        closed: dict[str, Calendar] = {}
        for report in reports:
            view.evidence_seen = max(view.evidence_seen, report.data["updated_at"])
            for model, found in report.data["closed"].items():
                if found["until"] <= view.time.now():
                    continue
                await self._read_calendars(view, [model])
                before = closed.get(model, view.calendar(model))
                closed[model] = before.close(found["until"], found["why"])
                view.last_429[model] = view.time.now()
                if closed[model] != before:
                    self._ports.signals.emit(
                        signals.CALENDAR_CLOSED, model=model, until=found["until"], why=found["why"]
                    )
        return closed

    async def _room(self, model: str, view: _View) -> int:
        """How many more attempts of this model may be in flight."""
        ports = self._ports
        now = view.time.now()
        since = view.last_429.get(model, view.first_used.setdefault(model, now))
        cap = concurrency_cap(ports.quota.limits(model), ports.capacity, now - since)
        flying = [ports.store.count(queries.in_flight(model, status, cap + 1)) for status in ("released", "rendering")]
        return cap - sum(await asyncio.gather(*flying))

    async def _write(self, view: _View, admission: Admission, *, quiet: bool) -> None:
        """The changed calendars and, with them, the pump's own document: a stale lead loses here."""
        changed = {
            model: calendar
            for model, calendar in admission.calendars.items()
            if calendar.to_json() != view.calendar(model).forget(view.time.now()).to_json()
        }
        if not changed and not self._lead_is_due(view, quiet=quiet):
            return
        writes: list[Write] = [self._pump_write(view, quiet=quiet, spend=admission.spend)]
        writes += [_calendar_write(model, calendar, view) for model, calendar in changed.items()]
        committed = await self._ports.store.commit(*writes)
        if isinstance(committed, Conflict):
            raise LeadLost
        view.time.observe(committed.at)
        for write, version in zip(writes, committed.versions, strict=True):
            found = _written(write, version, committed, view)
            if write.path == PUMP:
                view.pump = found
            else:
                view.calendars[found.id] = found

    def _lead_is_due(self, view: _View, *, quiet: bool) -> bool:
        assert isinstance(view.pump, Document)
        until = view.pump.data["lead_until"]
        return bool(until - view.time.now() < RENEW_LEAD_WITHIN or view.pump.data["quiet"] != quiet)

    def _pump_write(self, view: _View, *, quiet: bool, spend: Spend) -> Write:
        data = {
            "lead_holder": self._ports.boot,
            "lead_until": view.time.now() + LEAD,
            "quiet": quiet,
            "spend": spend.to_json(),
        }
        match view.pump:
            case Absent():
                return Create(PUMP, data)
            case Document(version=version):
                return Update(PUMP, data, version)

    async def _release(self, grant: Grant, view: _View) -> None:
        """Each by itself: one cancelled request must not waste a tick. Unpublished, it is taken back as unclaimed."""
        ports = self._ports
        head, planned = grant.candidate.head, grant.candidate.planned
        changes = record.released(head, planned, grant.slot_at, grant.slot_until, view.time.now())
        path = record.path(head.request_id)
        try:
            committed = await ports.store.commit(Update(path, changes, head.version))
            if isinstance(committed, Committed):
                release = Release(head.request_id, head.release + 1)
                await ports.topics.publish(RENDER_RELEASES, release.to_bytes())
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

    # -- what did not go as granted -----------------------------------------------------------------------------------

    async def _take_back_unclaimed(self, view: _View) -> None:
        """Releases whose delivery was lost: back to the front, their slots given back."""
        now = view.time.now()
        for request in await self._ports.store.query(queries.unclaimed(now - UNCLAIMED_AFTER, HEAD_PAGE)):
            changes = record.not_started(request.data, "its release was not taken up", now)
            committed = await self._ports.store.commit(Update(request.path, changes, request.version))
            if isinstance(committed, Committed):
                self._ports.signals.emit(signals.REQUEUED, request_id=request.id, reason=changes["reason"])

    async def _expire_overdue(self, view: _View) -> None:
        if view.time.now() - view.overdue_looked < OVERDUE_EVERY:
            return
        view.overdue_looked = view.time.now()
        await expire_overdue(self._ports, view.time.now())

    async def _end(self, head: Head, status: str, outcome: Outcome, view: _View) -> None:
        changes = record.finished(status, outcome, view.time.now())
        committed = await self._ports.store.commit(Update(record.path(head.request_id), changes, head.version))
        if isinstance(committed, Committed):
            request = await self._ports.store.get(record.path(head.request_id))
            assert isinstance(request, Document)
            await announce(self._ports, request)

    async def _expects_work(self, view: _View) -> bool:
        """Something is in the air, or a sleeper wakes before the next kick of the schedule."""
        store, now = self._ports.store, view.time.now()
        if await store.count(queries.in_status("released", 1)):
            return True
        soon = await store.query(queries.sleeping(now, 1))
        return bool(soon) and soon[0].data["wake_at"] < now + WORTH_WAITING


async def expire_overdue(ports: Ports, now: datetime) -> int:
    """End queued requests whose deadline has passed, unpaid. How many."""
    count = 0
    for request in await ports.store.query(queries.overdue(now, HEAD_PAGE)):
        changes = record.finished("expired", EXPIRED, now)
        committed = await ports.store.commit(Update(request.path, changes, request.version))
        if isinstance(committed, Committed):
            count += 1
            await announce(ports, Document(request.path, {**request.data, **changes}, committed.versions[0], now))
    return count


def _calendar_path(model: str) -> str:
    return f"calendars/{model}"


def _calendar_write(model: str, calendar: Calendar, view: _View) -> Write:
    match view.calendars.get(model):
        case Document(version=version):
            return Update(_calendar_path(model), calendar.to_json(), version)
        case _:
            return Create(_calendar_path(model), calendar.to_json())


def _written(write: Write, version: str, committed: Committed, view: _View) -> Document:
    """The document as it is after a write of ours, without reading it again."""
    match write:
        case Create(path, data):
            return Document(path, data, version, committed.at)
        case Update(path, changes):
            before = view.pump if path == PUMP else view.calendars[path.rpartition("/")[2]]
            assert isinstance(before, Document)
            return Document(path, {**before.data, **changes}, version, committed.at)
        case _:
            raise AssertionError(f"the pump writes no {type(write).__name__}")
