"""One tick of the pump, pure: what it remembers and what it sees become what it remembers next, and who starts when."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.admission import fair_queueing
from shared.core.admission.allocation import Candidate, Grant, Shared, admit
from shared.core.admission.fleet_pace import HORIZON, Fleet, Late, Recent, concurrency_cap
from shared.core.admission.model_state import ModelState
from shared.core.admission.rate_control import updated
from shared.core.admission.slot_calendar import WINDOW_BUCKETS, Blocked, Weight, bucket_of, is_untimed
from shared.core.admission.spend_window import Spend, spend_limit
from shared.core.conclusions.claims import POLICIES
from shared.core.limits.effective import EffectiveLimit, Learned, effective_limits, limits
from shared.core.limits.live_quota import LiveLimits
from shared.core.limits.observations import NOTHING_SEEN, Closing, ModelObservations, StartSignal, counted
from shared.core.limits.quota import Limits, Quota
from shared.core.provider.failure import DENIED

TICK = timedelta(seconds=1)
LONGEST_HORIZON = timedelta(seconds=4)
LATE_LOOKED_BACK = timedelta(seconds=10)
LEARNED_FOR = timedelta(days=1)
CONCLUDED = frozenset(claim.value for claim, policy in POLICIES.items() if policy.effect == "closes")
_ANY_MOMENT = datetime.min.replace(tzinfo=UTC)


class Memory(Struct, frozen=True):
    """What the pump carries from tick to tick; all of it is in its documents."""

    standings: Mapping[str, ModelState] = field(default_factory=dict)
    """By model."""
    spend: Spend = field(default_factory=Spend)
    served: Mapping[str, float] = field(default_factory=dict)
    """Virtual time by queue: the largest fair tag that got a slot."""
    fleet: Fleet = field(default_factory=Fleet)
    epoch: int = 0
    """Grows with every change of a limit in force: sleepers of older epochs are woken."""
    limits: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)
    """The numbers in force by model and dimension, as of the last tick."""


class LostSlot(Struct, frozen=True):
    """A slot whose release could not be handed out."""

    release: str
    model: str
    slot_at: datetime
    weight: Weight


class Observation(Struct, frozen=True):
    """What one tick sees of the world."""

    now: datetime
    candidates: Sequence[Candidate]
    configured: Quota
    capacity: int
    """Attempts that the fleet can carry at once."""
    reports: Mapping[str, ModelObservations] = field(default_factory=dict)
    """What all workers saw, by model."""
    live: Mapping[str, LiveLimits] = field(default_factory=dict)
    running: Mapping[str, int] = field(default_factory=dict)
    """Releases and attempts in flight, by model."""
    in_air: int = 0
    """Releases that nobody has taken up."""
    concluded: Mapping[str, Closing] = field(default_factory=dict)
    """Pools that start nothing before their next probe, since a conclusion says so."""
    day_goes_on: Mapping[str, datetime] = field(default_factory=dict)
    """Until when limits of the day that 429s named are refuted, by pool."""
    drift: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """Input tokens reported since the last tick to be more than estimated, by model and half-second of the start."""
    lost: Sequence[LostSlot] = ()
    since_last: timedelta = TICK
    """From the last tick to this one."""
    purses: Mapping[str, int] = field(default_factory=dict)
    """Micro-dollars left to tenants that have a budget."""


class TickResult(Struct, frozen=True):
    memory: Memory
    grants: tuple[Grant, ...]
    held: Mapping[str, Blocked]
    """Models with candidates left, and why."""
    missed: tuple[tuple[Candidate, Blocked], ...]
    """Candidates whose deadline comes before their model opens again."""
    crowded: bool
    """Attempts in flight are all that holds a queue: room comes back any moment."""


def tick(memory: Memory, sight: Observation) -> TickResult:
    """Give back what was not used, feel the pressure, and grant what every limit allows."""
    now = sight.now
    models = sorted({*memory.standings, *sight.reports, *(each.model for each in sight.candidates)})
    before = {model: memory.standings.get(model, ModelState()).forget(now) for model in models}
    before = _given_back(before, sight)
    standings: dict[str, ModelState] = {}
    numbers: dict[str, Mapping[str, int | None]] = {}
    usable: dict[str, Limits] = {}
    for model in models:
        seen = sight.reports.get(model, NOTHING_SEEN)
        standing, held = _learn(before[model], model, seen, sight)
        standing = _with_conclusion(standing, sight.concluded.get(model), now)
        standings[model] = _felt(standing, limits(held), seen, sight.drift.get(model, {}), now)
        usable[model] = standings[model].pressure.limits(limits(held))
        numbers[model] = {dimension: limit.value for dimension, limit in held.items()}
    judged_from = _judged_from(memory.fleet, now)
    fleet = memory.fleet.after(
        in_air=sight.in_air,
        late=_late(sight, judged_from),
        recent=_recent(standings.values(), judged_from, now),
        capacity=sight.capacity,
        now=now,
        filling=_filling(usable.values()),
    )
    admission = admit(
        _in_fair_order([each for each in sight.candidates if not _is_behind_a_probe(each, sight)]),
        standings,
        usable,
        {model: _room(standings[model], usable[model], sight, model) for model in models},
        Shared(
            spend=memory.spend,
            most_spend=spend_limit(sight.configured.by_model.values()),
            room=fleet.room(sum(sight.running.values()), sight.capacity),
            pace=fleet.pace,
            patient=fleet.patient,
            lead=fleet.lead,
            horizon=_horizon(sight.since_last),
            purses=sight.purses,
        ),
        now,
    )
    served = memory.served
    for grant in admission.grants:
        head = grant.candidate.head
        served = fair_queueing.served_after(served, fair_queueing.queue_name(head.model, head.priority), head.fair_tag)
    changed = any(numbers[model] != memory.limits[model] for model in models if model in memory.limits)
    after = Memory(
        standings=admission.standings,
        spend=admission.spend,
        served=served,
        fleet=fleet.released(len(admission.grants)),
        epoch=memory.epoch + int(changed),
        limits=numbers,
    )
    waiting = {**_held_by_conclusions(sight), **admission.held}
    crowded = any(full.reason == "concurrency" and is_untimed(usable[each]) for each, full in waiting.items())
    return TickResult(after, admission.grants, waiting, _missed(sight, admission.grants, waiting), crowded)


def _is_behind_a_probe(candidate: Candidate, sight: Observation) -> bool:
    """Its pool is closed by a conclusion: nothing starts but the one that asks."""
    return candidate.model in sight.concluded and candidate.planned.probe is None


def _held_by_conclusions(sight: Observation) -> dict[str, Blocked]:
    return {
        each.model: Blocked("closed", sight.concluded[each.model].until)
        for each in sight.candidates
        if _is_behind_a_probe(each, sight)
    }


def _given_back(standings: dict[str, ModelState], sight: Observation) -> dict[str, ModelState]:
    """The standings without the slots that nobody used."""
    unused = [
        LostSlot(f"{each.head.request_id}:{slot.release}", slot.model, slot.slot_at, Weight(tokens=slot.tokens))
        for each in sight.candidates
        if (slot := each.head.unused_slot) is not None
    ]
    after = dict(standings)
    for each in [*sight.lost, *unused]:
        standing = after.get(each.model)
        if standing is not None:
            calendar = standing.calendar.refund(each.release, each.slot_at, each.weight, now=sight.now)
            after[each.model] = replace(standing, calendar=calendar)
    return after


def _learn(
    standing: ModelState, model: str, seen: ModelObservations, sight: Observation
) -> tuple[ModelState, Mapping[str, EffectiveLimit]]:
    """With the limits that 429s named, each beside what the other sources said at the time.

    After a day it is forgotten, and asked again: where nothing can be read, nobody would hear of a raise. A day's limit
    is forgotten as soon as a call goes well that it would have forbidden.
    """
    configured, live = sight.configured.limits(model), sight.live.get(model)
    learned = {name: each for name, each in standing.learned.items() if sight.now - each.at < LEARNED_FOR}
    named_limits = dict(seen.named)
    goes_on = sight.day_goes_on.get(model)
    if goes_on is not None:
        learned = {name: each for name, each in learned.items() if name != "rpd" or each.at > goes_on}
        named_limits = {name: each for name, each in named_limits.items() if name != "rpd" or each.at > goes_on}
    for dimension, named in named_limits.items():
        known = learned.get(dimension)
        if sight.now - named.at < LEARNED_FOR and (known is None or named.at > known.at):
            said = None if live is None else live.said(dimension)
            learned[dimension] = Learned(named.value, named.at, said, getattr(configured, dimension))
    if learned != standing.learned:
        standing = replace(standing, learned=learned)
    return standing, effective_limits(configured, live, learned)


def _felt(
    standing: ModelState, known: Limits, seen: ModelObservations, drift: Mapping[int, int], now: datetime
) -> ModelState:
    """After what the workers reported: closings, tokens, pressure."""
    calendar = standing.calendar
    if drift:
        calendar = calendar.correct_tokens(drift)
    if seen.closing is not None and seen.closing.until > now:
        calendar = calendar.close(seen.closing.until, seen.closing.why)
    felt = updated(standing.pressure, seen, calendar, known, now)
    if felt.close_until is not None:
        calendar = calendar.close(felt.close_until, "rejected without a reason")
    return replace(standing, calendar=calendar, pressure=felt.pressure)


def _with_conclusion(standing: ModelState, closing: Closing | None, now: datetime) -> ModelState:
    """Closed as long as the conclusion says, and not a moment longer."""
    calendar, is_closed = standing.calendar, closing is not None and closing.until > now
    if calendar.closed_why in CONCLUDED:
        calendar = calendar.reopened()
    if closing is not None and is_closed:
        calendar = calendar.close(closing.until, closing.why)
    denied = closing.until if closing is not None and closing.why in DENIED else None
    return replace(standing, calendar=calendar, denied_until=denied)


def _late(sight: Observation, since: datetime) -> Late:
    """What came late and is not judged yet."""
    reports, until = sight.reports.values(), sight.now + LATE_LOOKED_BACK
    return Late(
        starts=sum(counted(seen, StartSignal.LATE, since, until) for seen in reports),
        deliveries=sum(counted(seen, StartSignal.DELIVERED_LATE, since, until) for seen in reports),
        tight=sum(counted(seen, StartSignal.TIGHT, since, until) for seen in reports),
    )


def _judged_from(fleet: Fleet, now: datetime) -> datetime:
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


def _filling(known: Iterable[Limits]) -> float:
    """The even pace, in starts of half a second, that uses the largest limit up; infinite where none tells one."""
    rates = [
        min((each for each in (limits.rpm, limits.ipm) if each is not None), default=math.inf)
        for limits in known
        if not is_untimed(limits)
    ]
    return max(rates, default=math.inf) / WINDOW_BUCKETS


def _in_fair_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    queues: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for each in candidates:
        queues[each.head.model, each.head.priority].append(each)
    by_id = {each.head.request_id: each for each in candidates}
    return [
        by_id[head.request_id]
        for queue in queues.values()
        for head in fair_queueing.in_order([each.head for each in queue])
    ]


def _missed(
    sight: Observation, grants: Sequence[Grant], held: Mapping[str, Blocked]
) -> tuple[tuple[Candidate, Blocked], ...]:
    granted = {grant.candidate.head.request_id for grant in grants}
    return tuple(
        (each, full)
        for each in sight.candidates
        if each.head.request_id not in granted
        and (full := held.get(each.model)) is not None
        and each.head.deadline is not None
        and _opens_at(full) > each.head.deadline
    )


def _opens_at(full: Blocked) -> datetime:
    """For sure not before; a minute that is full may have room any moment."""
    return full.until if full.until is not None and full.lasts else _ANY_MOMENT


def _horizon(since_last: timedelta) -> timedelta:
    """Far enough for the next tick to come as late as this one."""
    return min(HORIZON + max(since_last - TICK, timedelta(0)), LONGEST_HORIZON)


def _room(standing: ModelState, known: Limits, sight: Observation, model: str) -> int:
    """How many more attempts of this model may be in flight."""
    pressure = standing.pressure
    since = max(
        (each for each in (pressure.first_used_at, pressure.rejected_at) if each is not None), default=sight.now
    )
    unknown_for = None if pressure.cap is not None else max(sight.now - since, timedelta(0))
    return concurrency_cap(known, sight.capacity, unknown_for) - sight.running.get(model, 0)
