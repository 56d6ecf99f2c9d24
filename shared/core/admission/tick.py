"""One tick of the pump, pure: from what it remembers and what it observes follow what it remembers next, and who starts
when."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.admission import fair_queueing, open_slots
from shared.core.admission.allocation import Admission, Candidate, Grant, Shared, admit
from shared.core.admission.fleet_pace import HORIZON, LONGEST_LEAD, FleetPace, Late, Recent, concurrency_cap
from shared.core.admission.model_state import ModelState
from shared.core.admission.open_slots import WITHDRAWN, OpenTerms, TakenSlot, Withdrawn
from shared.core.admission.priority import limits_minus
from shared.core.admission.rate_control import updated
from shared.core.admission.slot_calendar import WINDOW, WINDOW_BUCKETS, Blocked, Weight, bucket_of, is_untimed
from shared.core.admission.spend_window import Spend, spend_limit
from shared.core.conclusions.claims import POLICIES
from shared.core.lifecycle.request_record import Head
from shared.core.limits.effective import EffectiveLimit, Learned, effective_limits, limits
from shared.core.limits.live_quota import LiveLimits
from shared.core.limits.observations import NOTHING_SEEN, Closing, ModelObservations, StartSignal, counted
from shared.core.limits.quota import Limits, Quota
from shared.core.provider.failure import DENIED
from shared.core.values.route import lane_apart

TICK = timedelta(seconds=1)
LONGEST_HORIZON = timedelta(seconds=4)
LATE_LOOKED_BACK = timedelta(seconds=10)
LEARNED_FOR = timedelta(days=1)
CONCLUDED = frozenset(claim.value for claim, policy in POLICIES.items() if policy.effect == "closes")
_ANY_MOMENT = datetime.min.replace(tzinfo=UTC)


class Memory(Struct, frozen=True):
    """What the pump carries from tick to tick; all of it is stored in its documents."""

    standings: Mapping[str, ModelState] = field(default_factory=dict)
    """By model."""
    spend: Spend = field(default_factory=Spend)
    served: Mapping[str, float] = field(default_factory=dict)
    """Virtual time by queue: the largest fair tag that got a slot."""
    fleet: FleetPace = field(default_factory=FleetPace)
    epoch: int = 0
    """Grows with every change of a limit in force: sleepers of older epochs are woken."""
    limits: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)
    """The limits in force by model and dimension, as of the last tick."""


class LostSlot(Struct, frozen=True):
    """A slot whose release could not be handed out."""

    release: str
    model: str
    slot_at: datetime
    weight: Weight

    @classmethod
    def of(cls, candidate: Candidate, slot_at: datetime) -> LostSlot:
        """The slot that this release of a request would have had."""
        return cls(
            f"{candidate.head.request_id}:{candidate.head.release + 1}", candidate.model, slot_at, candidate.weight
        )

    @classmethod
    def unused_by(cls, head: Head) -> LostSlot | None:
        """The slot of an earlier release, with which the request came back without using it."""
        slot = head.unused_slot
        if slot is None:
            return None
        return cls(f"{head.request_id}:{slot.release}", slot.model, slot.slot_at, Weight(tokens=slot.tokens))


class TickInputs(Struct, frozen=True):
    """What one tick observes."""

    now: datetime
    candidates: Sequence[Candidate]
    configured: Quota
    capacity: int
    """Attempts that the fleet can carry at once."""
    reports: Mapping[str, ModelObservations] = field(default_factory=dict)
    """What all workers reported, by model."""
    live: Mapping[str, LiveLimits] = field(default_factory=dict)
    running: Mapping[str, int] = field(default_factory=dict)
    """Releases and attempts in flight, by model."""
    in_air: int = 0
    """Releases that no worker has taken up."""
    concluded: Mapping[str, Closing] = field(default_factory=dict)
    """Pools that start nothing before their next probe, because a conclusion says so."""
    day_goes_on: Mapping[str, datetime] = field(default_factory=dict)
    """Until when daily limits that 429s named are refuted, by pool."""
    drift: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """Input tokens reported since the last tick beyond the estimate, by model and half-second of the start."""
    lost: Sequence[LostSlot] = ()
    since_last: timedelta = TICK
    """Time since the last tick."""
    balances: Mapping[str, int] = field(default_factory=dict)
    """Micro-dollars left to tenants that have a budget."""
    taken: Sequence[TakenSlot] = ()
    """Open slots that requests took, or that were withdrawn, including those already counted."""
    taken_from: datetime | None = None
    """When the read of `taken` began; None if it may have missed some."""
    open_terms: OpenTerms | None = None
    """Under what requests that take open slots are planned; None = nothing is to be left open."""


class TickResult(Struct, frozen=True):
    memory: Memory
    grants: tuple[Grant, ...]
    blocked: Mapping[str, Blocked]
    """Models with candidates left, and why they wait."""
    missed: tuple[tuple[Candidate, Blocked], ...]
    """Candidates whose deadline comes before their model opens again."""
    crowded: bool
    """Attempts in flight are all that blocks a queue, and no rate is known: room may return at any moment."""
    recounts: bool
    """A concurrency limit blocks a queue: the next tick counts what is in flight."""
    withdrawn: tuple[Withdrawn, ...] = ()
    """Open slots to take back."""
    started: tuple[TakenSlot, ...] = ()
    """Those that requests took and that are counted as of this tick."""
    done: tuple[str, ...] = ()
    """Slots whose documents are to be removed."""


def tick(memory: Memory, inputs: TickInputs) -> TickResult:
    """Give back unused slots, update the pressure, and grant what every limit allows."""
    now = inputs.now
    models = sorted(
        {
            *memory.standings,
            *inputs.reports,
            *(candidate.model for candidate in inputs.candidates),
            *(slot.pool for slot in inputs.taken),
        }
    )
    before = {model: memory.standings.get(model, ModelState()).forget(now) for model in models}
    starts = [slot for slot in inputs.taken if slot.request != WITHDRAWN and not is_counted(before, slot)]
    before = _given_back(_counted(before, inputs), inputs)
    done = tuple(slot.slot for slot in inputs.taken if not is_counted(before, slot))
    standings: dict[str, ModelState] = {}
    numbers: dict[str, Mapping[str, int | None]] = {}
    usable: dict[str, Limits] = {}
    for model in models:
        observed = inputs.reports.get(model, NOTHING_SEEN)
        standing, effective = _learn(before[model], model, observed, inputs)
        standing = _with_conclusion(standing, inputs.concluded.get(model), now)
        standings[model] = _felt(standing, limits(effective), observed, inputs.drift.get(model, {}), now)
        usable[model] = standings[model].pressure.limits(limits(effective))
        numbers[model] = {dimension: limit.value for dimension, limit in effective.items()}
    judged_from = _judged_from(memory.fleet, now)
    fleet = memory.fleet.after(
        in_air=inputs.in_air,
        late=_late(inputs, judged_from),
        recent=_recent(standings.values(), judged_from, now),
        capacity=inputs.capacity,
        now=now,
        filling=_filling(usable.values()),
    )
    spend, served = memory.spend, memory.served
    most_spend = spend_limit(inputs.configured.by_model.values())
    for slot in starts:
        spend = spend if most_spend is None else spend.plus(slot.estimate_micros, slot.taken_at)
        served = fair_queueing.served_after(served, slot.queue, slot.fair_tag)
    open_micros = sum(standing.opening.micros for standing in standings.values())
    open_count = sum(len(standing.opening.slots) for standing in standings.values())
    admission = admit(
        _in_fair_order([candidate for candidate in inputs.candidates if not _is_behind_a_probe(candidate, inputs)]),
        standings,
        usable,
        {model: _room(standings[model], usable[model], inputs, model) for model in models},
        Shared(
            spend=spend,
            most_spend=None if most_spend is None else max(most_spend - open_micros, min(most_spend, 1)),
            room=max(fleet.room(sum(inputs.running.values()) + len(starts), inputs.capacity) - open_count, 0),
            pace=fleet.pace,
            patient=fleet.patient,
            lead=fleet.lead,
            horizon=_horizon(inputs.since_last),
            balances=inputs.balances,
        ),
        now,
    )
    for grant in admission.grants:
        head = grant.candidate.head
        served = fair_queueing.served_after(served, fair_queueing.queue_name(head.model, head.priority), head.fair_tag)
    changed = any(numbers[model] != memory.limits[model] for model in models if model in memory.limits)
    waiting = {**_held_by_conclusions(inputs), **admission.blocked}
    standings, withdrawn = _opened(admission, usable, waiting, fleet, most_spend, starts, inputs)
    after = Memory(
        standings=standings,
        spend=admission.spend,
        served=served,
        fleet=fleet.released(len(admission.grants) + len(starts)),
        epoch=memory.epoch + int(changed),
        limits=numbers,
    )
    narrow = [usable[name] for name, full in waiting.items() if full.reason == "concurrency"]
    crowded = any(is_untimed(limits) for limits in narrow)
    recounts = crowded or any(limits.concurrency is not None for limits in narrow)
    missed = _missed(inputs, admission.grants, waiting)
    return TickResult(after, admission.grants, waiting, missed, crowded, recounts, withdrawn, tuple(starts), done)


def is_counted(standings: Mapping[str, ModelState], taken: TakenSlot) -> bool:
    return taken.slot in standings[taken.pool].opening.counted


def _counted(standings: dict[str, ModelState], inputs: TickInputs) -> dict[str, ModelState]:
    """The standings with what became of the open slots."""
    after = {}
    for model, standing in standings.items():
        own = [slot for slot in inputs.taken if slot.pool == model]
        opening, calendar = open_slots.counted(standing.opening, standing.calendar, own, inputs.taken_from, inputs.now)
        after[model] = replace(standing, opening=opening, calendar=calendar)
    return after


def _opened(
    admission: Admission, usable: Mapping[str, Limits], waiting: Mapping[str, Blocked], fleet: FleetPace,
    most_spend: int | None, starts: Sequence[TakenSlot], inputs: TickInputs,
) -> tuple[dict[str, ModelState], tuple[Withdrawn, ...]]:  # fmt: skip
    """Slots are left open where nothing is queued, and taken back where they block queued requests: those of the same
    model, and of every model if a shared resource is short."""
    granted = {grant.candidate.head.request_id for grant in admission.grants}
    queued = {candidate.model for candidate in inputs.candidates if candidate.head.request_id not in granted} | set(
        waiting
    )
    after: dict[str, ModelState] = {}
    offering: list[str] = []
    withdrawn: list[Withdrawn] = []
    for model, standing in admission.standings.items():
        opening = open_slots.used(standing.opening, standing.calendar, inputs.now)
        after[model] = replace(standing, opening=opening)
        if not admission.is_short and _may_open(model, after[model], queued, inputs):
            offering.append(model)
            continue
        after[model] = replace(standing, opening=replace(opening, is_offered=False))
        withdrawn += [Withdrawn(slot, model) for slot in opening.slots if admission.is_short or model in queued]
    left = None if most_spend is None else most_spend - admission.spend.used(inputs.now)
    flying = sum(inputs.running.values()) + len(granted) + len(starts)
    room = int(fleet.room(flying, inputs.capacity) * open_slots.FLEET_SHARE)
    counts = {model: len(standing.opening.slots) for model, standing in after.items()}
    wants = {model: open_slots.expected(after[model].calendar, inputs.now) for model in offering}
    most, surplus = open_slots.shared_out(counts, wants, room)
    if not admission.is_short:
        withdrawn += [
            Withdrawn(slot, model)
            for model, count in surplus.items()
            if model not in queued
            for slot in list(after[model].opening.slots)[:count]
        ]
    for model in offering:
        standing = after[model]
        reserve = standing.turns.reserve(usable[model], inputs.now)
        own = sum(grant.candidate.model == model for grant in admission.grants)
        own += sum(slot.pool == model for slot in starts)
        own_room = _room(standing, usable[model], inputs, model) + len(standing.opening.slots) - own
        opening = open_slots.laid(
            standing.opening, standing.calendar, limits_minus(usable[model], reserve), model,
            inputs.open_terms or OpenTerms(), most=min(int(own_room * open_slots.MODEL_SHARE), most[model]),
            most_micros=left, now=inputs.now,
        )  # fmt: skip
        after[model] = replace(standing, opening=opening)
    return after, tuple(withdrawn)


def _may_open(model: str, standing: ModelState, queued: Collection[str], inputs: TickInputs) -> bool:
    used_at, calendar, pressure = standing.opening.used_at, standing.calendar, standing.pressure
    is_used = used_at is not None and inputs.now - used_at < open_slots.USED_WITHIN
    is_closed = calendar.closed_until is not None and calendar.closed_until > inputs.now
    is_held_back = model in queued or model in inputs.concluded or is_closed or standing.denied_until is not None
    is_pressed = pressure.cap is not None or pressure.bursts_disliked(inputs.now)
    ours = lane_apart(model) is None and inputs.open_terms is not None
    return ours and is_used and not is_held_back and not is_pressed


def _is_behind_a_probe(candidate: Candidate, inputs: TickInputs) -> bool:
    """Its pool is closed by a conclusion: nothing starts but the probe."""
    return candidate.model in inputs.concluded and candidate.planned.probe is None


def _held_by_conclusions(inputs: TickInputs) -> dict[str, Blocked]:
    return {
        candidate.model: Blocked("closed", inputs.concluded[candidate.model].until)
        for candidate in inputs.candidates
        if _is_behind_a_probe(candidate, inputs)
    }


def _given_back(standings: dict[str, ModelState], inputs: TickInputs) -> dict[str, ModelState]:
    """The states without the slots that nothing used."""
    unused = [slot for candidate in inputs.candidates if (slot := LostSlot.unused_by(candidate.head)) is not None]
    after = dict(standings)
    for lost_slot in [*inputs.lost, *unused]:
        standing = after.get(lost_slot.model)
        if standing is not None:
            calendar = standing.calendar.refund(lost_slot.release, lost_slot.slot_at, lost_slot.weight, now=inputs.now)
            after[lost_slot.model] = replace(standing, calendar=calendar)
    return after


def _learn(
    standing: ModelState, model: str, observed: ModelObservations, inputs: TickInputs
) -> tuple[ModelState, Mapping[str, EffectiveLimit]]:
    """With the limits that 429s named, each beside what the other sources said at the time. After a day a learned limit
    is forgotten and tried again: otherwise a raise would never be noticed where live limits cannot be read. A daily
    limit is forgotten as soon as a call succeeds that it would have forbidden."""
    configured, live = inputs.configured.limits(model), inputs.live.get(model)
    learned = {name: item for name, item in standing.learned.items() if inputs.now - item.at < LEARNED_FOR}
    named_limits = dict(observed.named)
    goes_on = inputs.day_goes_on.get(model)
    if goes_on is not None:
        learned = {name: item for name, item in learned.items() if name != "rpd" or item.at > goes_on}
        named_limits = {
            name: named_limit for name, named_limit in named_limits.items() if name != "rpd" or named_limit.at > goes_on
        }
    for dimension, named in named_limits.items():
        before = learned.get(dimension)
        if inputs.now - named.at < LEARNED_FOR and (before is None or named.at > before.at):
            count = None if live is None else live.value(dimension)
            learned[dimension] = Learned(named.value, named.at, count, getattr(configured, dimension))
    if learned != standing.learned:
        standing = replace(standing, learned=learned)
    return standing, effective_limits(configured, live, learned)


def _felt(
    standing: ModelState, in_force: Limits, observed: ModelObservations, drift: Mapping[int, int], now: datetime
) -> ModelState:
    """The state after what the workers reported: closings, tokens, pressure."""
    calendar = standing.calendar
    if drift:
        calendar = calendar.correct_tokens(drift)
    if observed.closing is not None and observed.closing.until > now:
        calendar = calendar.close(observed.closing.until, observed.closing.why)
    felt = updated(standing.pressure, observed, calendar, in_force, now)
    if felt.close_until is not None:
        calendar = calendar.close(felt.close_until, "rejected without a reason")
    return replace(standing, calendar=calendar, pressure=felt.pressure)


def _with_conclusion(standing: ModelState, closing: Closing | None, now: datetime) -> ModelState:
    """Closed as long as the conclusion says, and no longer."""
    calendar, is_closed = standing.calendar, closing is not None and closing.until > now
    if calendar.closed_why in CONCLUDED:
        calendar = calendar.reopened()
    if closing is not None and is_closed:
        calendar = calendar.close(closing.until, closing.why)
    denied = closing.until if closing is not None and closing.why in DENIED else None
    return replace(standing, calendar=calendar, denied_until=denied)


def _late(inputs: TickInputs, since: datetime) -> Late:
    """Late starts that are not judged yet."""
    reports, until = inputs.reports.values(), inputs.now + LATE_LOOKED_BACK
    return Late(
        starts=sum(counted(report, StartSignal.LATE, since, until) for report in reports),
        deliveries=sum(counted(report, StartSignal.DELIVERED_LATE, since, until) for report in reports),
        tight=sum(counted(report, StartSignal.TIGHT, since, until) for report in reports),
    )


def _judged_from(fleet: FleetPace, now: datetime) -> datetime:
    since = now - LATE_LOOKED_BACK
    return since if fleet.judged_from is None else max(since, fleet.judged_from)


def _recent(standings: Iterable[ModelState], since: datetime, now: datetime) -> Recent:
    first, last, used_since = bucket_of(since), bucket_of(now), bucket_of(now - LATE_LOOKED_BACK)
    starts = busiest = 0
    for standing in standings:
        calendar = standing.calendar
        for number, weight in calendar.buckets.items():
            starts += weight.requests if first <= number <= last else 0
            busiest = max(busiest, weight.requests if number >= used_since else 0)
        starts += sum(first <= number <= last for number in calendar.refunded.values())
    return Recent(starts, busiest)


def _filling(limitses: Iterable[Limits]) -> float:
    """The even pace, in starts per half second, that uses up the largest limit; infinite if no limit is known."""
    rates = [
        min((number for number in (limits.rpm, limits.ipm) if number is not None), default=math.inf)
        for limits in limitses
        if not is_untimed(limits)
    ]
    return max(rates, default=math.inf) / WINDOW_BUCKETS


def _in_fair_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    queues: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        queues[candidate.head.model, candidate.head.priority].append(candidate)
    by_id = {candidate.head.request_id: candidate for candidate in candidates}
    return [
        by_id[head.request_id]
        for queue in queues.values()
        for head in fair_queueing.in_order([candidate.head for candidate in queue])
    ]


def _missed(
    inputs: TickInputs, grants: Sequence[Grant], blocked: Mapping[str, Blocked]
) -> tuple[tuple[Candidate, Blocked], ...]:
    granted = {grant.candidate.head.request_id for grant in grants}
    return tuple(
        (candidate, full)
        for candidate in inputs.candidates
        if candidate.head.request_id not in granted
        and (full := blocked.get(candidate.model)) is not None
        and candidate.head.deadline is not None
        and _opens_at(full) > candidate.head.deadline
    )


def _opens_at(full: Blocked) -> datetime:
    """The certain lower bound of when it opens; a minute that is full may have room at any moment."""
    return full.until if full.until is not None and full.lasts else _ANY_MOMENT


def _horizon(since_last: timedelta) -> timedelta:
    """Far enough for the next tick to be as late as this one."""
    return min(HORIZON + max(since_last - TICK, timedelta(0)), LONGEST_HORIZON)


def _room(standing: ModelState, in_force: Limits, inputs: TickInputs, model: str) -> int:
    """How many more attempts of this model may be in flight."""
    pressure = standing.pressure
    since = max(
        (moment for moment in (pressure.first_used_at, pressure.rejected_at) if moment is not None), default=inputs.now
    )
    unknown_for = None if pressure.cap is not None else max(inputs.now - since, timedelta(0))
    running = inputs.running.get(model, 0)
    started = standing.calendar.starts(pressure.rejected_at or inputs.now - WINDOW, inputs.now + LONGEST_LEAD)
    cap = concurrency_cap(in_force, inputs.capacity, unknown_for, ended=max(started - running, 0))
    return cap - running - len(standing.opening.slots)
