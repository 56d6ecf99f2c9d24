"""Renderlane in virtual time: the pump's real core, with its documents, pages, kicks, reports and lead around it.

A request that finds its queue empty starts in a slot that the pump left open; the slots are the real core's, too.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from scripts.virtual_time.models.fleet_model import Attempt, DeliveredLate, TooLate
from scripts.virtual_time.models.provider_reply import Answer, DayFull, ImageReply, MinuteFull, Overloaded, Unexplained
from scripts.virtual_time.request import ModelledRequest, PublishedRequest
from scripts.virtual_time.run import World
from shared.core.admission import fair_queueing
from shared.core.admission.allocation import INTERACTIVE_HORIZON, Candidate, Grant
from shared.core.admission.model_state import ModelState
from shared.core.admission.open_slots import Opening, OpenTerms, TakenSlot, start_until
from shared.core.admission.open_slots import path as slot_path
from shared.core.admission.route_memory import Routing
from shared.core.admission.slot_calendar import WINDOW_BUCKETS, BlockReason, begin_of
from shared.core.admission.tick import Memory, TickInputs, TickResult, tick
from shared.core.conclusions.claims import claim_id, contradicted_by
from shared.core.conclusions.conclusion import asks_best, judge
from shared.core.conclusions.evidence import NOTHING_HEARD, Heard, Voice, short
from shared.core.conclusions.evidence import summed as summed_heard
from shared.core.lifecycle.request_record import Head
from shared.core.lifecycle.retry import Again, Tally, after_failure
from shared.core.limits import failure_evidence
from shared.core.limits.live_quota import LiveLimits
from shared.core.limits.observations import NOTHING_SEEN, ModelObservations, NamedLimit, StartSignal, summed
from shared.core.limits.quota import Quota
from shared.core.provider.failure import Failure, FailureKind
from shared.core.records.request import UnusedSlot
from shared.core.routing.ladder import Planned
from shared.core.routing.requirements import Requirements
from shared.core.values.lanes import STANDARD
from shared.core.values.route import Route
from shared.flows import wakeups
from shared.flows.intake import open_slot
from shared.flows.pump import lead, loop, queue_fronts, release, sight
from shared.flows.render import limit_reports
from shared.flows.upkeep import live_quota

TICK, FULL_TICK, LEAST_BETWEEN = (item.total_seconds() for item in (loop.TICK, loop.FULL_TICK, loop.LEAST_BETWEEN))
LEAD, RENEW_WITHIN = lead.LEADER_LEASE.total_seconds(), lead.RENEW_WITHIN.total_seconds()
KICKED_AFTER = (0.1, 1.5)
"""Seconds from a lapsed lead to the kick of the next settlement."""
EXTRA_TICKS, EXTRA_PER_SECOND = loop.EXTRA_TICKS, loop.EXTRA_PER_SECOND
PAGE, PAGE_FRESH_FOR = queue_fronts.PAGE, queue_fronts.FRESH_FOR
COUNT_EVERY = sight.COUNT_EVERY
UNCLAIMED_AFTER = release.UNCLAIMED_AFTER.total_seconds()
KICK_SPACING = wakeups.SPACING.total_seconds()
QUIET_AFTER = loop.QUIET_AFTER.total_seconds()
REPORT_SPACING = limit_reports.SPACING.total_seconds()
LIVE_EVERY = live_quota.READ_EVERY.total_seconds()
"""`watch` reads the limits; the pump sees them at once."""
ASK = Requirements("default", None, "1K", None, STANDARD, 10, 0, False, None)


class Queued(Struct):
    """A request as the store has it."""

    request: ModelledRequest
    planned: Planned
    tag: float
    candidate: Candidate | None = None
    """As the pump sees it; None = it has changed since."""
    wake_at: float | None = None
    release: int = 0
    unused: UnusedSlot | None = None
    late: int = 0
    failures: int = 0
    waits: int = 0
    is_open: bool = False
    """It began in an open slot, as it arrived: how late it was says nothing of the fleet."""


class QueuePage(Struct):
    queued: dict[str, Queued] = field(default_factory=dict)
    more: bool = False
    read_at: float = float("-inf")


class PumpModel:
    """One pump over the fleet."""

    def __init__(self, *, page: int = PAGE, leaps: bool = False) -> None:
        """`page`: how many of a queue the pump sees at once.

        `leaps`: pass over the ticks before the moment when a full window, a pace or a day has room again.

        They would grant nothing, but cost a rehearsal of hours most of its time.
        """
        self.blocked_for: dict[tuple[str, BlockReason], float] = {}
        """Seconds for which a model's best waited, by model and reason (as in `Full`)."""
        self._page, self._leaps = page, leaps

    def begin(self, world: World) -> None:
        self._world = world
        self._engine = world.engine
        self._memory = Memory()
        self._quota = Quota(dict(world.limits))
        self._live: dict[str, LiveLimits] = {}
        self._store: dict[str, dict[str, Queued]] = {}
        """What waits, by queue."""
        self._waiting: dict[tuple[str, str], int] = {}
        """How many of each tenant wait in each queue."""
        self._pages: dict[str, QueuePage] = {}
        self._asleep: list[Queued] = []
        self._openings: dict[str, Opening] = {}
        """As the calendars' documents have them, by model."""
        self._taken: dict[str, TakenSlot] = {}
        """The documents of taken slots, by slot."""
        self._low_until = float("-inf")
        """When the last kick for want of open slots comes, or came, to the pump."""
        self._observations: dict[int, dict[str, ModelObservations]] = {}
        """What each instance saw."""
        self._reports: dict[int, dict[str, ModelObservations]] = {}
        """What the pump can read of it."""
        self._heard: dict[int, dict[str, Heard]] = {}
        """What each instance heard for and against conclusions."""
        self._heard_reports: dict[int, dict[str, Heard]] = {}
        self._routing = Routing()
        self._report_due: dict[int, float] = {}
        self._reporting: set[int] = set()
        self._running: dict[str, int] = {}
        self._counted: dict[str, int] = {}
        self._counted_at = float("-inf")
        self._in_air = 0
        self._lead = 0
        """Numbers the leads; what an older one still does is void."""
        self._leads = False
        self._lead_until = 0.0
        self._ticking = False
        self._tick_began = float("-inf")
        self._next_tick = 0
        self._extra = EXTRA_TICKS
        self._woken = False
        """A kick came during a tick: the next one may be an extra one."""
        self._busy_at = 0.0
        self._crowded = self._recounts = False
        self._blocked: list[tuple[str, BlockReason]] = []
        self._decided_at = 0.0
        self._engine.after(world.chance.uniform(0, LIVE_EVERY), self._watch)

    # -- what happens to it -------------------------------------------------------------------------------------------

    def arrive(self, request: ModelledRequest) -> None:
        self._world.documents.read(partial(self._take_in, request))

    def crash(self) -> None:
        """The pump dies; its lead lapses, and the next settlement kicks another."""
        if not self._leads:
            self._world.fleet.crash(0)
            return
        self._lead += 1
        self._leads = self._ticking = False
        lapse = max(self._lead_until - self._engine.now, 0.0)
        self._engine.after(lapse + self._world.chance.uniform(*KICKED_AFTER), self._kick)

    # -- intake -------------------------------------------------------------------------------------------------------

    def _take_in(self, request: ModelledRequest) -> None:
        arrival = request.arrival
        queue = fair_queueing.queue_name(arrival.model, arrival.priority)
        waiting = self._waiting.get((queue, arrival.tenant), 0)
        tag = fair_queueing.fair_tag(self._memory.served.get(queue, 0.0), waiting, 1.0)
        empty = not self._store.get(queue)
        queued = Queued(request, _planned(arrival), tag)
        if arrival.deadline is not None:
            self._engine.at(arrival.deadline, partial(self._expire, queued))
        if empty and self._starts_at_once(queued):
            return
        self._queue(queued)
        if arrival.priority == "interactive" or empty or not self._leads:
            self._engine.after(self._world.chance.uniform(0.03, 0.15), partial(self._kick, queue))

    def _starts_at_once(self, queued: Queued) -> bool:
        """In a slot that the pump has left open, where there is one; see shared.flows.intake.open_slot."""
        arrival, planned, now = queued.request.arrival, queued.planned, self._engine.wall()
        opening, until = self._openings.get(arrival.model, Opening()), start_until(now)
        to_take = opening.to_take(planned.input_tokens, planned.estimate_micros, now)
        free = [slot for slot in to_take if slot not in self._taken]
        if arrival.priority == "bulk" or not free or until is None:
            return False
        request, queue = arrival.request_id, fair_queueing.queue_name(arrival.model, arrival.priority)
        taken = TakenSlot(
            free[0], arrival.model, now, request, planned.input_tokens, planned.estimate_micros,
            circuit=planned.route.circuit, queue=queue, priority=arrival.priority, fair_tag=queued.tag,
        )  # fmt: skip
        self._taken[taken.slot] = taken
        queued.is_open = True
        grant = Grant(self._candidate(queued), now, until)
        self._world.documents.write(taken.path, partial(self._release, grant, queued))
        if (len(free) <= open_slot.LOW or not self._leads) and self._low_until <= self._engine.now:
            after = max(self._world.chance.uniform(0.03, 0.15), self._low_until + KICK_SPACING - self._engine.now)
            self._low_until = self._engine.now + after
            self._engine.after(after, partial(self._kick, queue))
        return True

    def _queue(self, queued: Queued) -> None:
        queued.is_open = False
        arrival = queued.request.arrival
        queued.request.status = "queued"
        queue = fair_queueing.queue_name(arrival.model, arrival.priority)
        self._store.setdefault(queue, {})[arrival.request_id] = queued
        key = (queue, arrival.tenant)
        self._waiting[key] = self._waiting.get(key, 0) + 1

    def _unqueue(self, queued: Queued) -> None:
        arrival = queued.request.arrival
        queue = fair_queueing.queue_name(arrival.model, arrival.priority)
        del self._store[queue][arrival.request_id]
        self._waiting[queue, arrival.tenant] -= 1
        if queue in self._pages:
            self._pages[queue].queued.pop(arrival.request_id, None)

    def _expire(self, queued: Queued) -> None:
        """Its deadline has come: what has not begun ends unpaid."""
        arrival = queued.request.arrival
        if queued in self._asleep:
            self._asleep.remove(queued)
        elif arrival.request_id in self._store.get(fair_queueing.queue_name(arrival.model, arrival.priority), {}):
            self._unqueue(queued)
        else:
            return
        self._world.lose(queued.request)

    # -- the loop -----------------------------------------------------------------------------------------------------

    def _kick(self, queue: str | None = None) -> None:
        """Wakes the pump; an extra tick before its time only while some are saved up."""
        for name, page in self._pages.items():
            if queue in (None, name):
                page.read_at = float("-inf")
        if not self._leads:
            self._leads, self._pages = True, {}
            self._lead += 1
            self._busy_at = self._engine.now
            self._schedule(self._engine.now)
        elif self._ticking:
            self._woken = True
        elif self._extra >= 1.0:
            at = max(self._engine.now, self._tick_began + LEAST_BETWEEN)
            if at < self._tick_due:
                self._extra -= 1.0
                self._schedule(at)
        elif self._leaps:
            at = max(self._engine.now, self._tick_began + TICK)
            if at < self._tick_due:
                self._schedule(at)

    def _kick_again(self, lead: int) -> None:
        if lead == self._lead and self._leads:
            self._kick("")

    def _schedule(self, at: float) -> None:
        self._next_tick += 1
        self._tick_due = at
        self._engine.at(at, partial(self._tick, self._next_tick, self._lead))

    def _tick(self, number: int, lead: int) -> None:
        if number != self._next_tick or lead != self._lead or not self._leads:
            return
        self._extra = min(EXTRA_TICKS, self._extra + EXTRA_PER_SECOND * min(self._engine.now - self._tick_began, 20))
        self._ticking, self._tick_began = True, self._engine.now
        self._world.documents.read(partial(self._decide, lead))

    def _decide(self, lead: int) -> None:
        if lead != self._lead:
            return
        before, now = self._memory, self._engine.wall()
        for entry in self._blocked:
            self.blocked_for[entry] = self.blocked_for.get(entry, 0.0) + self._engine.now - self._decided_at
        heads = self._heads()
        self._conclude(now)
        result = tick(before, self._sight(heads, now))
        self._routing = self._routing.started(result.started).granted(result.grants)
        self._crowded, self._recounts = result.crowded, result.recounts
        self._blocked = [(model, full.reason) for model, full in result.blocked.items()]
        self._decided_at = self._engine.now
        by_id = {head.request.arrival.request_id: head for head in heads}
        for grant in result.grants:
            model = grant.candidate.model
            self._unqueue(by_id[grant.candidate.head.request_id])
            self._counted[model] = self._counted.get(model, 0) + 1
        for slot in result.started:
            self._counted[slot.pool] = self._counted.get(slot.pool, 0) + 1
        paths = [
            f"calendars/{model}"
            for model, model_state in result.memory.standings.items()
            if self._changed(model_state, model, now)
        ]
        paths += [slot_path(slot) for slot in result.done]
        self._memory = result.memory
        if paths or self._lead_until - self._engine.now < RENEW_WITHIN:
            self._lead_until = self._engine.now + LEAD
            self._world.documents.commit(["pump/pump", *paths], partial(self._hand_out, lead, result, by_id))
        else:
            self._hand_out(lead, result, by_id)

    def _conclude(self, now: datetime) -> None:
        reports = list(self._heard_reports.values())
        heard = {
            name: summed_heard([report[name] for report in reports if name in report], now)
            for name in {name for report in reports for name in report}
        }
        circuits = {name: circuit.forget(now) for name, circuit in self._routing.circuits.items()}
        routing = replace(self._routing, circuits=circuits)
        self._routing = replace(routing, conclusions=judge(routing.conclusions, heard, routing.starts, now))

    def _changed(self, after: ModelState, model: str, now: datetime) -> bool:
        before = self._memory.standings.get(model, ModelState()).forget(now)
        return (after.calendar, after.turns, after.pressure, after.opening) != (
            before.calendar, before.turns, before.pressure, before.opening,
        )  # fmt: skip

    def _hand_out(self, lead: int, result: TickResult, by_id: dict[str, Queued]) -> None:
        for grant in result.grants:
            queued = by_id[grant.candidate.head.request_id]
            if lead != self._lead:  # died after it had written: the slots are wasted, the requests still queued
                self._queue(queued)
                continue
            path = f"requests/{queued.request.arrival.request_id}"
            self._world.documents.write(path, partial(self._release, grant, queued))
        self._openings |= {model: standing.opening for model, standing in result.memory.standings.items()}
        for done in result.done:
            self._taken.pop(done, None)
        if lead != self._lead:
            return
        for slot in result.withdrawn:
            self._world.documents.write(slot_path(slot.slot))
            self._taken.setdefault(slot.slot, TakenSlot(slot.slot, slot.pool, self._engine.wall()))
        self._ticking = False
        self._wake()
        if result.grants or result.started or self._store_is_waiting() or self._in_air:
            self._busy_at = self._engine.now
        if self._engine.now - self._busy_at > QUIET_AFTER:
            self._leads = False
            return
        at = max(self._engine.now + LEAST_BETWEEN, self._tick_began + (FULL_TICK if self._crowded else TICK))
        if self._leaps and not result.grants and not self._in_air:
            at = max(at, self._room_at(result))
        self._schedule(at)
        if self._woken:
            self._woken = False
            self._engine.after(LEAST_BETWEEN, partial(self._kick_again, lead))

    def _room_at(self, result: TickResult) -> float:
        """Before this instant no tick finds room for what waits; 0 where that is not known."""
        woken = (item.wake_at for item in self._asleep if item.wake_at is not None)
        value = min(woken, default=float("inf"))
        for model, full in result.blocked.items():
            buckets = result.memory.standings[model].calendar.buckets
            if full.until is not None:
                room_at = full.until
            elif full.reason == "minute" and buckets:
                room_at = begin_of(min(buckets) + WINDOW_BUCKETS)
            else:
                return 0.0
            value = min(value, self._engine.seconds(room_at - result.memory.fleet.lead - INTERACTIVE_HORIZON))
        return 0.0 if value == float("inf") else value

    def _store_is_waiting(self) -> bool:
        return any(self._store.values()) or bool(self._asleep)

    def _release(self, grant: Grant, queued: Queued) -> None:
        queued.release += 1
        queued.unused = queued.candidate = None
        model = queued.request.arrival.model
        self._running[model] = self._running.get(model, 0) + 1
        self._in_air += 1
        slot, until = self._engine.seconds(grant.slot_at), self._engine.seconds(grant.slot_until)
        in_air = 1

        def taken_up() -> None:
            nonlocal in_air
            self._in_air -= in_air
            in_air = 0  # a redelivery is counted no second time

        def tight(instance: int) -> None:
            if queued.is_open:
                return
            observed = self._of(instance, model).with_sign(StartSignal.TIGHT, grant.slot_at, self._engine.wall())
            self._note(instance, model, observed)

        ended = partial(self._ended, grant, queued)
        fleet = self._world.fleet
        delivery = fleet.start(queued.request, slot, until - slot, ended, taken_up, tight)
        if fleet.takes_back:

            def take_back() -> None:
                if delivery.withdraw():
                    taken_up()
                    self._running[model] -= 1
                    self._back(grant, queued)

            self._engine.at(slot + UNCLAIMED_AFTER, take_back)

    def _back(self, grant: Grant, queued: Queued) -> None:
        """To the front of its queue, its slot to be given back."""
        model = queued.request.arrival.model
        queued.unused = UnusedSlot(model, grant.slot_at, queued.release, grant.candidate.planned.input_tokens)
        queued.late += 1
        queued.candidate = None
        self._world.documents.write(f"requests/{queued.request.arrival.request_id}")
        self._queue(queued)

    # -- what the pump sees -------------------------------------------------------------------------------------------

    def _heads(self) -> list[Queued]:
        queueds: list[Queued] = []
        for queue, waiting in self._store.items():
            page = self._pages.setdefault(queue, QueuePage())
            used_up = page.more and not page.queued
            if used_up or self._engine.now - page.read_at >= PAGE_FRESH_FOR:
                first = heapq.nsmallest(self._page, waiting.items(), key=lambda pair: (pair[1].tag, pair[0]))
                page = self._pages[queue] = QueuePage(dict(first), len(first) == self._page, self._engine.now)
            queueds += page.queued.values()
        return queueds

    def _sight(self, heads: Sequence[Queued], now: datetime) -> TickInputs:
        if self._recounts or self._engine.now - self._counted_at >= COUNT_EVERY:
            self._counted, self._counted_at = dict(self._running), self._engine.now
        models = {model for report in self._reports.values() for model in report}
        return TickInputs(
            now=now,
            candidates=self._with_probes([self._candidate(head) for head in heads], now),
            concluded=self._routing.conclusions.closings(),
            day_goes_on=self._routing.conclusions.day_goes_on,
            configured=self._quota,
            capacity=self._world.fleet.size.capacity,
            reports={
                model: summed(report.get(model, NOTHING_SEEN) for report in self._reports.values()) for model in models
            },
            live=self._live,
            running=self._counted,
            in_air=self._in_air,
            taken=tuple(self._taken.values()),
            taken_from=now,
            open_terms=OpenTerms(),
        )

    def _with_probes(self, candidates: list[Candidate], now: datetime) -> list[Candidate]:
        """One asks about each conclusion that is due, best one that did not make it."""
        for about in self._routing.conclusions.due(now):
            voices = self._routing.conclusions.cases[about.id].voices
            of_pool = [candidate for candidate in candidates if candidate.model == about.subject]
            if of_pool:
                asks = min(of_pool, key=lambda candidate: asks_best(voices, short(candidate.head.request_id), ""))
                probe = replace(asks, planned=replace(asks.planned, probe=about.id))
                candidates = [probe if candidate is asks else candidate for candidate in candidates]
        return candidates

    def _candidate(self, queued: Queued) -> Candidate:
        if queued.candidate is None:
            queued.candidate = Candidate(self._head(queued), queued.planned)
        return queued.candidate

    def _head(self, queued: Queued) -> Head:
        arrival = queued.request.arrival
        deadline = None if arrival.deadline is None else self._engine.start + timedelta(seconds=arrival.deadline)
        return Head(
            arrival.request_id, "", ASK, arrival.model, arrival.priority, arrival.tenant, queued.tag, deadline, 1,
            queued.release, queued.unused, queued.late, False,
        )  # fmt: skip

    def _wake(self) -> None:
        awake = [item for item in self._asleep if item.wake_at is not None and item.wake_at <= self._engine.now]
        self._asleep = [item for item in self._asleep if item not in awake]
        for item in awake:
            item.wake_at = None
            self._queue(item)
            self._stale(item)

    def _stale(self, queued: Queued) -> None:
        arrival = queued.request.arrival
        page = self._pages.get(fair_queueing.queue_name(arrival.model, arrival.priority))
        if page is not None:
            page.read_at = float("-inf")

    def _watch(self) -> None:
        """Reads what it was told of at the start: the rate, not the day's quota."""
        now = self._engine.wall()
        for model in self._world.limits:
            self._live[model] = LiveLimits({"rpm": self._world.provider.limits(model).rpm}, now)
        self._engine.after(LIVE_EVERY, self._watch)

    # -- how a release ends -------------------------------------------------------------------------------------------

    def _ended(self, grant: Grant, queued: Queued, attempt: Attempt) -> None:
        model = queued.request.arrival.model
        self._running[model] -= 1
        if not self._leads:
            self._engine.after(0.1, self._kick_if_lapsed)
        match attempt.end:
            case ImageReply():
                self._made(attempt.instance, grant)
                self._world.succeed(queued.request)
            case TooLate() | DeliveredLate():
                sort = StartSignal.LATE if isinstance(attempt.end, TooLate) else StartSignal.DELIVERED_LATE
                says = not queued.is_open
                self._back(grant, queued)
                if says:
                    observed = self._of(attempt.instance, model).with_sign(sort, grant.slot_at, self._engine.wall())
                    self._note(attempt.instance, model, observed)
                if self._leaps:
                    self._kick(fair_queueing.queue_name(model, queued.request.arrival.priority))
            case MinuteFull() | DayFull() | Unexplained() | Overloaded():
                self._failed(attempt.instance, queued, _failure(attempt.end), grant)

    def _kick_if_lapsed(self) -> None:
        if not self._leads and self._lead_until <= self._engine.now and self._store_is_waiting():
            self._kick()

    def _made(self, instance: int, grant: Grant) -> None:
        """A picture speaks against what is open, and is not reported otherwise."""
        is_changed = False
        own = self._heard.setdefault(instance, {})
        for name in contradicted_by(grant.candidate.planned.route):
            heard = own.get(name, NOTHING_HEARD)
            after = heard.with_success(grant.slot_at)
            if after.success > heard.success and (heard.is_open or name in self._routing.conclusions.open):
                own[name], is_changed = after, True
        if is_changed:
            model = grant.candidate.model
            self._note(instance, model, self._of(instance, model))

    def _failed(self, instance: int, queued: Queued, failure: Failure, grant: Grant) -> None:
        now, model, slot_at = self._engine.wall(), queued.request.arrival.model, grant.slot_at
        claim = claim_id(failure.kind, grant.candidate.planned.route)
        if claim is not None:
            own, request = self._heard.setdefault(instance, {}), short(queued.request.arrival.request_id)
            voice = Voice(int(slot_at.timestamp()), short(queued.request.arrival.tenant), failure.explicit)
            own[claim] = own.get(claim, NOTHING_HEARD).with_failure(request, voice, now)
        observed = self._of(instance, model)
        sort, closes, named = (
            failure_evidence.sign(failure),
            failure_evidence.closing(failure, now),
            failure_evidence.named_limit(failure),
        )
        if sort is not None:
            observed = observed.with_sign(sort, slot_at, now)
        if closes is not None:
            observed = observed.with_closing(closes, now)
        if named is not None:
            observed = replace(observed, named={**observed.named, named[0]: NamedLimit(named[1], now)})
        self._note(instance, model, observed)
        queued.failures += int(failure.kind is FailureKind.OVERLOAD)
        queued.waits += int(failure.kind is not FailureKind.OVERLOAD)
        tally = Tally(queued.failures, 0, 0, queued.waits, 0, 0, None, None)
        decision = after_failure(failure, tally, now=now, jitter=self._world.chance.random())
        if isinstance(decision, Again):
            queued.request.status = "queued"
            queued.wake_at = self._engine.seconds(decision.wake_at)
            self._asleep.append(queued)
        else:
            self._world.lose(queued.request)

    def _of(self, instance: int, model: str) -> ModelObservations:
        return self._observations.get(instance, {}).get(model, NOTHING_SEEN)

    def _note(self, instance: int, model: str, observed: ModelObservations) -> None:
        """Reported at once, or when the last report is old enough."""
        self._observations.setdefault(instance, {})[model] = observed
        if instance in self._reporting:
            return
        self._reporting.add(instance)
        self._engine.at(self._report_due.get(instance, 0.0), partial(self._report, instance))

    def _report(self, instance: int) -> None:
        self._reporting.discard(instance)
        self._report_due[instance] = self._engine.now + REPORT_SPACING
        written, heard = dict(self._observations[instance]), dict(self._heard.get(instance, {}))
        self._world.documents.write(f"evidence/{instance}", partial(self._reported, instance, written, heard))

    def _reported(self, instance: int, written: dict[str, ModelObservations], heard: dict[str, Heard]) -> None:
        self._reports[instance], self._heard_reports[instance] = written, heard


def _planned(arrival: PublishedRequest) -> Planned:
    return Planned(Route(STANDARD, arrival.model, "1K"), (), arrival.estimate_micros, arrival.model, arrival.tokens)


def _failure(answer: Answer) -> Failure:
    match answer:
        case MinuteFull(quota_id, value, wait):
            hint = None if wait is None else timedelta(seconds=wait)
            return Failure(FailureKind.QUOTA_MINUTE, "", retry_after=hint, quota_id=quota_id, quota_value=value)
        case DayFull(quota_id, value, wait):
            hint = timedelta(seconds=wait)
            return Failure(
                FailureKind.QUOTA_DAY, "", retry_after=hint, quota_id=quota_id, quota_value=value, explicit=True
            )
        case Overloaded():
            return Failure(FailureKind.OVERLOAD, "")
        case _:
            return Failure(FailureKind.QUOTA_UNKNOWN, "")
