"""Who starts when: one decision over the queues of all models, their standings, and what they share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.admission.fleet_pace import HORIZON, LONGEST_LEAD, MIN_LEAD_TIME
from shared.core.admission.model_state import ModelState
from shared.core.admission.priority import RANK, Pace, interval, limits_minus
from shared.core.admission.slot_calendar import NO_WEIGHT, UNPACED, Blocked, Granted, Weight, begin_of, bucket_of
from shared.core.admission.spend_window import NOTHING_SPENT, Spend
from shared.core.conclusions.claims import Claim, conclusion_id
from shared.core.lifecycle.request_record import Head
from shared.core.limits.quota import Limits
from shared.core.routing.ladder import Planned
from shared.core.values.lanes import is_apart

INTERACTIVE_HORIZON = timedelta(seconds=2)
"""How far ahead to look for interactive requests, and for priorities with a deficit: nearer slots were handed out in
the previous tick."""


class Candidate(Struct, frozen=True):
    """A head whose route is planned."""

    head: Head
    planned: Planned

    @property
    def model(self) -> str:
        """The pool that its quota is counted under."""
        return self.planned.route.pool

    @property
    def weight(self) -> Weight:
        return Weight(tokens=self.planned.input_tokens)


class Grant(Struct, frozen=True):
    candidate: Candidate
    slot_at: datetime
    slot_until: datetime
    """A slot later than this is not taken: the request returns to the front of its queue."""


class Shared(Struct, frozen=True):
    """What all models share."""

    spend: Spend = NOTHING_SPENT
    most_spend: int | None = None
    """The project's ten-minute spend in micro-dollars, where it is known."""
    room: int = UNPACED
    """How many more attempts the fleet can carry at once."""
    pace: float = UNPACED
    """How many may begin in half a second: beyond that, starts would be late."""
    patient: bool = False
    """The fleet is the bottleneck: starts may come later in their slots."""
    lead: timedelta = MIN_LEAD_TIME
    """Time from the decision to the earliest slot."""
    horizon: timedelta = HORIZON
    """How far ahead slots are granted beyond that."""
    balances: Mapping[str, int] = field(default_factory=dict)
    """Remaining budgets in micro-dollars, of tenants that have one."""


class Admission(Struct, frozen=True):
    grants: tuple[Grant, ...]
    standings: Mapping[str, ModelState]
    """Every model's state after the grants."""
    blocked: Mapping[str, Blocked]
    """Models with candidates left, and why the best of them waits."""
    spend: Spend
    """The project's spend window after the grants."""
    is_short: bool = False
    """A resource that all models share was used up while candidates were left."""


def admit(
    candidates: Iterable[Candidate],
    standings: Mapping[str, ModelState],
    limits: Mapping[str, Limits],
    room: Mapping[str, int],
    shared: Shared,
    now: datetime,
) -> Admission:
    """Grant slots to the candidates, in the given order within each model and priority. `limits` are those in force,
    `room` is how many more attempts each model may have in flight. One model's exhausted quota never blocks another's
    queue: shared resources go to the best priority first, round-robin by model."""
    queues: dict[str, _Queues] = {}
    for candidate in candidates:
        model = candidate.model
        if model not in queues:
            queues[model] = _Queues(standings[model], limits[model], room[model], shared, now)
        queues[model].waiting.setdefault(candidate.head.priority, []).append(candidate)
    grants: list[Grant] = []
    spend, left, balances = shared.spend, shared.room, dict(shared.balances)
    active = [queue for queue in queues.values() if queue.has_next()]
    while active and left > 0:
        best = min(active, key=lambda element: (element.rank, element.count))
        grant = best.grant(spend, balances)
        if grant is not None:
            _pay(balances, grant.candidate)
            grants.append(grant)
            spend, left = best.spend, left - 1
        if not best.has_next():
            active.remove(best)
    for item in active:  # the fleet is full
        item.hold(item.next_priority(), Blocked("concurrency", None))
    after = dict(standings) | {model: queue.standing for model, queue in queues.items()}
    blocked = {model: queue.blocked for model, queue in queues.items() if queue.blocked is not None}
    is_short = bool(active) or any(full.reason == "spend" for full in blocked.values())
    return Admission(tuple(grants), after, blocked, spend, is_short)


def _pay(balances: dict[str, int], candidate: Candidate) -> None:
    if candidate.head.tenant in balances:
        balances[candidate.head.tenant] -= candidate.planned.estimate_micros


class _Queues(Struct):
    """One model's candidates while slots are granted."""

    standing: ModelState
    limits: Limits
    room: int
    shared: Shared
    now: datetime
    waiting: dict[str, list[Candidate]] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    """How many of each priority were dealt with: they have a slot, or no money for one."""
    holds: dict[str, Blocked] = field(default_factory=dict)
    """Priorities that get no more slots in this tick, and why."""
    spend: Spend = NOTHING_SPENT
    count: int = 0
    reserve: Weight = NO_WEIGHT
    """Share of the window for interactive starts, including those already made."""
    made: Weight = NO_WEIGHT

    def __post_init__(self) -> None:
        self.reserve = self.standing.turns.reserve(self.limits, self.now)
        self.made = self.standing.turns.interactive_in_window(self.now)

    @property
    def rank(self) -> int:
        return RANK[self.next_priority()]

    @property
    def blocked(self) -> Blocked | None:
        """Why the best of the remaining candidates waits."""
        return self.holds[min(self.holds, key=RANK.__getitem__)] if self.holds else None

    def has_next(self) -> bool:
        return any(name not in self.holds for name in self._left())

    def next_priority(self) -> str:
        return self.standing.turns.order([name for name in self._left() if name not in self.holds])[0]

    def _is_owed(self, priority: str) -> bool:
        return self.standing.turns.is_owed(priority)

    def _left(self) -> list[str]:
        return [name for name, queue in self.waiting.items() if self.taken.get(name, 0) < len(queue)]

    def hold(self, priority: str, full: Blocked) -> None:
        self.holds[priority] = full
        match full.reach:
            case "all":
                self.holds |= dict.fromkeys(self._left(), full)
            case "lower":
                below = [name for name in self._left() if RANK[name] > RANK[priority] and not self._is_owed(name)]
                self.holds |= dict.fromkeys(below, full)
            case "own":
                pass

    def grant(self, spend: Spend, balances: Mapping[str, int]) -> Grant | None:
        """The next slot; None if the tried priority gets none in this tick, or its first candidate has no money
        left."""
        priority = self.next_priority()
        candidate = self.waiting[priority][self.taken.get(priority, 0)]
        estimate = candidate.planned.estimate_micros
        if balances.get(candidate.head.tenant, estimate) < estimate:
            self.taken[priority] = self.taken.get(priority, 0) + 1  # the next in the queue may have some
            return None
        slot = self._slot(candidate, priority)
        if isinstance(slot, Blocked):
            self.hold(priority, slot)
            return None
        apart = is_apart(candidate.planned.route.lane)  # the spend window is the Gemini API's
        most_spend = None if apart else self.shared.most_spend
        spend_after = spend.hold(estimate, most_spend, slot.slot_at)
        if spend_after is None:
            self.hold(priority, Blocked("spend", None))
            return None
        self.spend = spend_after
        self._take(candidate, priority, slot)
        return Grant(candidate, slot.slot_at, slot.slot_until)

    def _slot(self, candidate: Candidate, priority: str) -> Granted | Blocked:
        if self.room <= self.count:
            return Blocked("concurrency", None)
        turns, calendar = self.standing.turns, self.standing.calendar
        limits = self._limits(priority)
        if candidate.planned.probe == conclusion_id(Claim.QUOTA_DAY, candidate.model):
            limits = replace(limits, rpd=None)  # the probe finds out whether the day is used up
        earliest = self.now + max(self.shared.lead, lead_time(candidate.head.late_count))
        earliest = max(earliest, candidate.planned.not_before or earliest)
        horizon = earliest + self.shared.horizon
        if priority == "interactive" or self._is_owed(priority):
            horizon += INTERACTIVE_HORIZON - HORIZON
        for pace, _ in self._paces(priority, candidate.weight):
            ready = begin_of(bucket_of(datetime.fromtimestamp(turns.next_at.get(pace, 0.0), UTC)))
            if ready > horizon:
                return Blocked("pace", ready)
            earliest = max(earliest, ready)
        patient = self.shared.patient and self.shared.most_spend is None  # its buckets have no room for it
        return calendar.grant(
            limits, candidate.weight, earliest=earliest, horizon=horizon, pace=self.shared.pace, patient=patient,
            kept=self.standing.opening.weight,
        )  # fmt: skip

    def _limits(self, priority: str) -> Limits:
        """How much of the window this priority may fill: others leave the interactive reserve alone, unless they have a
        deficit."""
        if priority == "interactive" or self._is_owed(priority):
            return self.limits
        kept = Weight(
            max(self.reserve.requests - self.made.requests, 0),
            max(self.reserve.images - self.made.images, 0),
            max(self.reserve.tokens - self.made.tokens, 0),
        )
        return limits_minus(self.limits, kept)

    def _paces(self, priority: str, weight: Weight) -> list[tuple[Pace, timedelta]]:
        """Which paces this start has to keep, and how much of each it uses. A slot that settles a deficit only keeps
        the cap: where interactive requests fill each minute at once, it gets a slot at once or never."""
        paces: list[tuple[Pace, timedelta]] = []
        cap = self.standing.pressure.cap
        if cap is not None:
            paces.append(("all", timedelta(minutes=1) / cap))
        if priority == "interactive" or self._is_owed(priority):
            return paces
        even = interval(limits_minus(self.limits, self.reserve), weight)
        if even and self.standing.pressure.bursts_disliked(self.now):
            paces.append(("lower", even))
        if even and priority == "bulk":
            paces.append(("bulk", even))
        return paces

    def _take(self, candidate: Candidate, priority: str, slot: Granted) -> None:
        turns = self.standing.turns
        for pace, item in self._paces(priority, candidate.weight):
            turns = turns.paced(pace, item, slot.slot_at)
        turns = turns.granted(priority, self._left(), candidate.weight, slot.slot_at)
        if priority == "interactive":
            self.made = self.made.plus(candidate.weight)
        self.standing = replace(self.standing, calendar=slot.calendar, turns=turns)
        self.taken[priority] = self.taken.get(priority, 0) + 1
        self.count += 1


def lead_time(late_count: int) -> timedelta:
    """A request that was late before gets its slot further ahead."""
    return min(MIN_LEAD_TIME * (1 << min(late_count, 10)), LONGEST_LEAD)
