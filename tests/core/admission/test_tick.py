"""One tick after another: nothing is lost, no window is overrun, and what workers report takes hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.admission.allocation import Candidate, Grant
from shared.core.admission.fleet_pace import FleetPace
from shared.core.admission.model_state import ModelState
from shared.core.admission.slot_calendar import Blocked, Calendar, Weight
from shared.core.admission.spend_window import Spend
from shared.core.admission.tick import LostSlot, Memory, TickInputs, TickResult, tick
from shared.core.limits.live_quota import LiveLimits
from shared.core.limits.observations import Closing, ModelObservations, NamedLimit, StartSignal
from shared.core.limits.quota import Limits, Quota
from shared.core.records.request import UnusedSlot
from shared.core.times.pacific import next_pacific_midnight
from tests.builders import NOW, a_candidate, candidates
from tests.windows import keeps

PRO, NB21 = "gemini-3-pro-image", "gemini-nano-banana-2.1"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
TEMPLATES = {priority: a_candidate(priority=priority) for priority in ("interactive", "normal", "bulk")}


def a_sight(
    queue: Sequence[Candidate] = (),
    quota: Limits = Limits(),  # noqa: B008
    *,
    now: datetime = NOW,
    **facts: object,
) -> TickInputs:
    fields: dict[str, object] = {"capacity": 1_000} | facts
    return TickInputs(now=now, candidates=queue, configured=Quota({"*": quota}), **fields)  # type: ignore[arg-type]


def through_the_store(memory: Memory) -> Memory:
    """As a new pump reads it."""
    return Memory(
        standings={
            model: ModelState.from_json(model_state.to_json()) for model, model_state in memory.standings.items()
        },
        spend=Spend.from_json(memory.spend.to_json()),
        served=dict(memory.served),
        fleet=FleetPace.from_json(memory.fleet.to_json()),
        epoch=memory.epoch,
        limits={model: dict(numbers) for model, numbers in memory.limits.items()},
    )


def names(result: TickResult) -> list[str]:
    return [grant.candidate.head.request_id for grant in result.grants]


def cap_of(result: TickResult, model: str = PRO) -> int | None:
    return result.memory.limits[model].get("rpm")


# -- conservation -----------------------------------------------------------------------------------------------------


@dataclass
class World:
    """Requests, a pump, and workers that start in time, come late, or find their request cancelled."""

    limits: Limits
    now: datetime = NOW
    memory: Memory = field(default_factory=Memory)
    waiting: dict[str, Candidate] = field(default_factory=dict)
    starts: list[tuple[datetime, Weight]] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    missed: set[str] = field(default_factory=set)
    lost: list[LostSlot] = field(default_factory=list)
    count: int = 0

    def come(self, priority: str, tokens: int, number: int) -> None:
        for _ in range(number):
            self.count += 1
            template = TEMPLATES[priority]
            head = replace(template.head, request_id=f"r-{self.count}", fair_tag=float(self.count))
            planned = replace(template.planned, input_tokens=tokens)
            self.waiting[head.request_id] = Candidate(head, planned)

    def tick(self, became: Sequence[str]) -> TickResult:
        """`became` says of the grants, in turn: `start`, `late` or `cancelled`."""
        sight = a_sight(list(self.waiting.values()), self.limits, now=self.now, lost=self.lost)
        result = tick(through_the_store(self.memory), sight)
        given = names(result)
        missed = [candidate.head.request_id for candidate, _ in result.missed]
        assert len(set(given) | set(missed)) == len(given) + len(missed), "granted or missed once"
        assert {*given, *missed} <= self.waiting.keys()
        left = len(self.waiting) - len(given) - len(missed)
        assert (PRO in result.blocked) == (left > 0 or bool(missed))
        self.memory, self.lost = result.memory, []
        for request_id in missed:
            del self.waiting[request_id]
            self.missed.add(request_id)
        for number, grant in enumerate(result.grants):
            self._becomes(grant, became[number % len(became)] if became else "start")
        return result

    def _becomes(self, grant: Grant, what: str) -> None:
        candidate = grant.candidate
        head = candidate.head
        del self.waiting[head.request_id]
        release = head.release + 1
        match what:
            case "late":
                unused = UnusedSlot(candidate.model, grant.slot_at, release, candidate.planned.input_tokens)
                late = replace(head, release=release, unused_slot=unused, late_count=head.late_count + 1)
                self.waiting[head.request_id] = replace(candidate, head=late)
            case "cancelled":
                key = f"{head.request_id}:{release}"
                self.lost.append(LostSlot(key, candidate.model, grant.slot_at, candidate.weight))
                self.cancelled.add(head.request_id)
            case _:
                assert self.now <= grant.slot_at < grant.slot_until
                self.starts.append((grant.slot_at, candidate.weight))


steps = st.lists(
    st.tuples(
        st.sampled_from(sorted(TEMPLATES)),
        st.integers(1, 100),
        st.integers(0, 6),
        st.lists(st.sampled_from(["start", "start", "late", "cancelled"]), min_size=1, max_size=7),
        st.floats(0.2, 20),
    ),
    min_size=1,
    max_size=25,
)
known_limits = st.builds(
    Limits,
    rpm=st.none() | st.integers(1, 8),
    ipm=st.none() | st.integers(1, 8),
    tpm=st.none() | st.integers(100, 400),
).filter(lambda limits: (limits.rpm, limits.ipm, limits.tpm) != (None, None, None))


@settings(max_examples=60)
@given(known_limits, steps)
def test_every_request_starts_once_or_is_cancelled_and_a_slot_given_back_is_given_again(
    limits: Limits, wanted: list[tuple[str, int, int, list[str], float]]
) -> None:
    world = World(limits)
    for priority, tokens, number, became, wait in wanted:
        world.come(priority, tokens, number)
        world.tick(became)
        world.now += timedelta(seconds=wait)
    for _ in range(4_000):
        if not world.waiting:
            break
        world.tick(["start"])
        world.now += 2 * SECOND
    assert not world.waiting, "all that wait start in the end"
    assert len(world.starts) + len(world.cancelled) == world.count
    assert world.missed == set()
    assert keeps(world.starts, limits)


@settings(max_examples=80)
@given(
    st.builds(
        Limits, rpm=st.integers(1, 12), tpm=st.none() | st.integers(100, 600), rpd=st.none() | st.integers(5, 40)
    ),
    st.sampled_from([0.0, 55.0, 119.0]),
    st.lists(st.tuples(st.floats(-2, 4), st.integers(0, 20), st.integers(1, 100)), min_size=5, max_size=80),
)
def test_a_pump_whose_time_is_a_little_behind_the_last_ones_overruns_no_window(
    limits: Limits, before_midnight: float, ticks: list[tuple[float, int, int]]
) -> None:
    world = World(limits, now=next_pacific_midnight(NOW) - timedelta(seconds=before_midnight + 1))
    latest = world.now
    for seconds, number, tokens in ticks:
        world.come("interactive", tokens, number)
        world.tick(["start"])
        latest = max(latest, world.now)
        world.now = max(world.now + timedelta(seconds=seconds), latest - 3 * SECOND)
    assert keeps(world.starts, limits)


def test_a_pump_a_second_behind_one_that_saw_the_minute_end_finds_it_full() -> None:
    world = World(Limits(rpm=10))
    for seconds, number in ((0, 10), (60.6, 0), (59.6, 10)):
        world.now = NOW + timedelta(seconds=seconds)
        world.come("interactive", 1, number)
        world.tick(["start"])
    assert keeps(world.starts, Limits(rpm=10))


def test_a_pump_a_second_behind_midnight_finds_yesterday_used_up() -> None:
    midnight, world = next_pacific_midnight(NOW), World(Limits(rpm=1_000, rpd=10))
    for seconds in (-600, 0.5, -1):
        world.now = midnight + timedelta(seconds=seconds)
        world.come("interactive", 1, 20)
        world.tick(["start"])
    assert keeps(world.starts, Limits(rpd=10))


def test_slots_of_a_route_that_has_changed_go_back_to_the_model_they_were_granted_on() -> None:
    memory = tick(Memory(), a_sight(candidates(3, model=NB21), Limits(rpm=3))).memory
    used = memory.standings[NB21].calendar
    slot_at = NOW + SECOND
    late = a_candidate("r-0", model=PRO, unused_slot=UnusedSlot(NB21, slot_at, 1, 0))
    after = tick(memory, a_sight([late], Limits(rpm=3), now=NOW + SECOND)).memory
    assert sum(after.standings[NB21].calendar.days.values()) == sum(used.days.values()) - 1


# -- what workers report ----------------------------------------------------------------------------------------------


def test_a_concluded_pool_starts_nothing_but_its_probe_and_opens_when_the_conclusion_falls() -> None:
    probe_at = NOW + MINUTE
    concluded = {PRO: Closing(probe_at, "quota_day")}
    closed = tick(Memory(), replace(a_sight(candidates(3), Limits(rpm=60)), concluded=concluded))
    assert (closed.blocked, closed.grants) == ({PRO: Blocked("closed", probe_at)}, ())
    memory = through_the_store(closed.memory)
    probing = [
        replace(candidate, planned=replace(candidate.planned, probe="quota_day:x"))
        for candidate in candidates(1, "asks")
    ]
    sight = a_sight([*candidates(3), *probing], Limits(rpm=60), now=probe_at)
    tick_result = tick(memory, replace(sight, concluded=concluded))
    assert names(tick_result) == ["asks-0"]
    assert tick_result.blocked[PRO].reason == "closed"
    assert len(tick(tick_result.memory, a_sight(candidates(3), now=NOW + 2 * SECOND)).grants) == 3


def test_a_probe_of_a_used_up_day_passes_the_limit_that_a_429_named() -> None:
    concluded = {PRO: Closing(NOW, "quota_day")}
    observations = {PRO: ModelObservations(named={"rpd": NamedLimit(0, NOW - SECOND)})}
    (asks,) = candidates(1, "asks")
    asks = replace(asks, planned=replace(asks.planned, probe=f"quota_day:{PRO}"))
    assert names(tick(Memory(), replace(a_sight([asks], reports=observations), concluded=concluded))) == ["asks-0"]
    refuted = replace(a_sight(candidates(2), reports=observations), day_goes_on={PRO: NOW})
    assert len(tick(Memory(), refuted).grants) == 2


@pytest.mark.parametrize(
    ("dimension", "value", "starts"), [("rpm", 5, 5), ("tpm", 300, 3), ("rpd", 4, 4), ("ipm", 2, 2)]
)
def test_a_429_that_names_another_limit_teaches_it_and_the_next_pump_knows_it(
    dimension: str, value: int, starts: int
) -> None:
    observed = ModelObservations(named={dimension: NamedLimit(value, NOW)})
    queue = [replace(candidate, planned=replace(candidate.planned, input_tokens=100)) for candidate in candidates(20)]
    result = tick(Memory(), a_sight(queue, Limits(rpm=60, tpm=90_000), reports={PRO: observed}))
    assert len(result.grants) == starts
    assert result.memory.standings[PRO].learned[dimension].value == value
    learned = replace(
        result.memory,
        standings={PRO: replace(result.memory.standings[PRO], calendar=Calendar())},
    )
    again = tick(through_the_store(learned), a_sight(queue, Limits(rpm=60, tpm=90_000), now=NOW + MINUTE))
    assert len(again.grants) == starts


def test_a_limit_that_was_learned_is_forgotten_after_a_day_where_nothing_can_be_read() -> None:
    result = tick(
        Memory(), a_sight((), Limits(rpm=60), reports={PRO: ModelObservations(named={"rpm": NamedLimit(5, NOW)})})
    )
    assert cap_of(result) == 5
    later = tick(result.memory, a_sight((), Limits(rpm=60), now=NOW + timedelta(days=1)))
    assert cap_of(later) == 60


def test_a_name_read_again_after_the_live_limit_was_raised_does_not_undo_the_raise() -> None:
    """Reports repeat what they said for as long as their process lives."""
    report = {PRO: ModelObservations(named={"rpm": NamedLimit(60, NOW)})}
    first = tick(Memory(), a_sight((), reports=report, live={PRO: LiveLimits({"rpm": 60}, NOW - MINUTE)}))
    raised = {PRO: LiveLimits({"rpm": 600}, NOW + MINUTE)}
    second = tick(first.memory, a_sight((), now=NOW + 2 * MINUTE, reports=report, live=raised))
    assert cap_of(second) == 600


def test_a_raise_and_a_cut_of_the_live_limit_take_hold_at_the_next_tick() -> None:
    memory, queue = Memory(), candidates(40)
    for number, (rpm, starts) in enumerate(((5, 5), (15, 10), (2, 0))):
        live = {PRO: LiveLimits({"rpm": rpm}, NOW)}
        result = tick(memory, a_sight(queue, Limits(rpm=10), now=NOW + number * SECOND, live=live))
        assert len(result.grants) == starts
        assert cap_of(result) == rpm
        memory = result.memory


def test_every_change_of_a_limit_in_force_begins_a_new_epoch_and_nothing_else_does() -> None:
    memory, epochs = tick(Memory(), a_sight(candidates(1), Limits(rpm=5))).memory, []
    for rpm in (5, 5, 6, 6, 5):
        memory = tick(through_the_store(memory), a_sight(candidates(1), Limits(rpm=rpm))).memory
        epochs.append(memory.epoch)
    assert epochs == [0, 0, 1, 1, 2]


def test_a_full_fleet_of_reports_read_twice_changes_nothing_more() -> None:
    at = int((NOW - 3 * SECOND).timestamp())
    observed = ModelObservations(
        counts={StartSignal.MINUTE: {at: 5}, StartSignal.UNEXPLAINED: {at: 9}, StartSignal.OVERLOAD: {at: 9}}
    )
    sight = a_sight((), Limits(rpm=600), reports={PRO: observed})
    once = tick(Memory(standings={PRO: ModelState()}), sight).memory
    twice = tick(through_the_store(once), sight).memory
    assert twice.standings[PRO].pressure == once.standings[PRO].pressure
    assert once.standings[PRO].pressure.cap is not None


@pytest.mark.parametrize("seconds_off", [-4, 4])
def test_the_report_of_a_worker_whose_clock_is_a_few_seconds_off_still_counts(seconds_off: int) -> None:
    calendar = Calendar()
    memory = tick(Memory(standings={PRO: ModelState(calendar)}), a_sight(candidates(60), Limits(rpm=600))).memory
    observed = ModelObservations(counts={StartSignal.UNEXPLAINED: {int(NOW.timestamp()) + seconds_off: 30}})
    felt = []
    for second in range(1, 12):
        memory = tick(memory, a_sight((), Limits(rpm=600), now=NOW + second * SECOND, reports={PRO: observed})).memory
        felt.append(memory.standings[PRO].pressure.cap)
    assert any(cap is not None for cap in felt)


def test_above_thirty_percent_of_unexplained_rejections_the_model_is_closed_for_a_while() -> None:
    memory = tick(Memory(), a_sight(candidates(20), Limits(rpm=600))).memory
    observed = ModelObservations(counts={StartSignal.UNEXPLAINED: {int(NOW.timestamp()): 15}})
    result = tick(memory, a_sight(candidates(5), Limits(rpm=600), now=NOW + 2 * SECOND, reports={PRO: observed}))
    assert result.blocked == {PRO: Blocked("closed", NOW + 3 * SECOND)}


def test_tokens_that_answers_took_more_of_are_booked_and_hold_the_next_ones() -> None:
    queue = [replace(candidate, planned=replace(candidate.planned, input_tokens=100)) for candidate in candidates(20)]
    limits = Limits(tpm=1_000)
    memory = tick(Memory(), a_sight(queue[:5], limits)).memory
    (bucket,) = memory.standings[PRO].calendar.buckets
    more = tick(memory, a_sight(queue[5:], limits, now=NOW + SECOND, drift={PRO: {bucket: 300}}))
    less = tick(memory, a_sight(queue[5:], limits, now=NOW + SECOND, drift={PRO: {bucket: -300}}))
    assert (len(more.grants), len(less.grants)) == (2, 8)


# -- what holds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rpm", "tpm", "starts"), [(3, 10_000, 3), (100, 450, 4), (4, 450, 4)])
def test_tokens_and_requests_hold_together(rpm: int, tpm: int, starts: int) -> None:
    queue = [replace(candidate, planned=replace(candidate.planned, input_tokens=100)) for candidate in candidates(20)]
    result = tick(Memory(), a_sight(queue, Limits(rpm=rpm, tpm=tpm)))
    assert len(result.grants) == starts
    assert result.memory.standings[PRO].calendar.used(NOW + 2 * SECOND) == Weight(starts, starts, 100 * starts)


def test_the_spend_window_holds_all_models_together_over_ticks_and_opens_again() -> None:
    queue = candidates(30, "pro", model=PRO) + candidates(30, "nb21", model=NB21)
    limit, memory = 1_000_000, Memory()
    spent: list[tuple[datetime, int]] = []
    for second in range(0, 1_300, 5):
        now = NOW + second * SECOND
        result = tick(memory, a_sight(queue, Limits(spend10m_micros=limit), now=now))
        memory = through_the_store(result.memory)
        spent += [(grant.slot_at, grant.candidate.planned.estimate_micros) for grant in result.grants]
    for begins, _ in spent:
        assert sum(micros for at, micros in spent if begins <= at <= begins + 10 * MINUTE) <= limit
    assert sum(micros for _, micros in spent) >= 2 * 0.8 * limit


def test_where_nothing_is_known_twenty_are_in_flight_and_twice_as_many_every_five_seconds() -> None:
    memory, running = Memory(), 0
    in_flight = []
    for second in range(16):
        now = NOW + second * SECOND
        queue = candidates(400, f"t{second}")
        result = tick(memory, a_sight(queue, now=now, running={PRO: running}, in_air=0))
        memory = result.memory
        running += len(result.grants)
        in_flight.append(running)
        assert result.crowded
    assert in_flight[0] == 20
    assert max(in_flight[:5]) <= 20
    assert max(in_flight[:10]) <= 40
    assert in_flight[15] <= 160
    assert in_flight[15] > 40


@pytest.mark.parametrize(
    ("limits", "crowded", "recounts"),
    [
        (Limits(concurrency=3), True, True),
        (Limits(rpm=600, concurrency=3), False, True),
        (Limits(rpm=3), False, False),
    ],
)
def test_attempts_are_counted_at_each_tick_where_a_limit_of_concurrency_holds_a_queue(
    limits: Limits, crowded: bool, recounts: bool
) -> None:
    result = tick(Memory(), a_sight(candidates(10, "t"), limits, now=NOW))
    assert len(result.grants) == 3
    assert (result.crowded, result.recounts) == (crowded, recounts)


def test_a_429_where_nothing_is_known_begins_the_doubling_anew() -> None:
    at = NOW - 30 * SECOND
    memory = Memory(standings={PRO: ModelState()})
    memory = tick(memory, a_sight(candidates(1), now=at)).memory
    memory = tick(memory, a_sight((), now=at + SECOND)).memory
    calm = tick(memory, a_sight(candidates(400), now=NOW, running={PRO: 0}))
    assert len(calm.grants) == 20  # in the air at once
    hit = ModelObservations(counts={StartSignal.MINUTE: {int(NOW.timestamp()) - 1: 4}})
    rejected = tick(memory, a_sight(candidates(400), now=NOW, running={PRO: 20}, reports={PRO: hit}))
    assert rejected.grants == () or rejected.memory.standings[PRO].pressure.cap is not None


@pytest.mark.parametrize("reason", ["closed", "day", "concurrency", "zero"])
def test_ten_thousand_of_one_model_leave_the_slots_of_another_as_they_were(reason: str) -> None:
    few = candidates(5, "few", model=NB21)
    alone = tick(Memory(), a_sight(few, Limits(rpm=60)))
    backlog = candidates(10_000, "heap", model=PRO)
    quota = {
        NB21: Limits(rpm=60),
        PRO: {"zero": Limits(rpm=0), "day": Limits(rpm=60, rpd=0)}.get(reason, Limits(rpm=60)),
    }
    reports: Mapping[str, ModelObservations] = (
        {PRO: ModelObservations(closing=Closing(NOW + MINUTE, "quota_minute"))} if reason == "closed" else {}
    )
    running = {PRO: 800} if reason == "concurrency" else {}
    sight = replace(
        a_sight([*backlog, *few], reports=reports, running=running, capacity=2_000), configured=Quota(quota)
    )
    if reason == "concurrency":
        sight = replace(sight, configured=Quota({**quota, PRO: Limits(rpm=60, concurrency=800)}))
    result = tick(Memory(), sight)
    assert [grant for grant in result.grants if grant.candidate.model == NB21] == list(alone.grants)
    assert len(result.grants) == 5
    assert set(result.blocked) == {PRO}


# -- deadlines --------------------------------------------------------------------------------------------------------


def test_a_request_that_its_model_cannot_start_in_time_is_missed_and_one_that_it_can_is_not() -> None:
    closed = ModelObservations(closing=Closing(NOW + 2 * MINUTE, "quota_minute"))
    soon = a_candidate("soon", deadline=NOW + MINUTE)
    late = a_candidate("late", deadline=NOW + 3 * MINUTE)
    never = a_candidate("never")
    result = tick(Memory(), a_sight([soon, late, never], Limits(rpm=60), reports={PRO: closed}))
    assert [(candidate.head.request_id, full.until) for candidate, full in result.missed] == [
        ("soon", NOW + 2 * MINUTE)
    ]


def test_a_deadline_before_midnight_is_missed_where_the_day_is_used_up() -> None:
    first = tick(Memory(), a_sight([a_candidate("a")], Limits(rpm=60, rpd=1))).memory
    midnight = next_pacific_midnight(NOW)
    queue = [a_candidate("b", deadline=midnight - SECOND), a_candidate("c", deadline=midnight + MINUTE)]
    result = tick(first, a_sight(queue, Limits(rpm=60, rpd=1), now=NOW + SECOND))
    assert [candidate.head.request_id for candidate, _ in result.missed] == ["b"]


def test_a_full_minute_misses_no_deadline() -> None:
    """It may have room any moment."""
    queue = [a_candidate(f"r{number}", deadline=NOW + timedelta(seconds=5)) for number in range(5)]
    result = tick(Memory(), a_sight(queue, Limits(rpm=2)))
    assert len(result.grants) == 2
    assert result.missed == ()


# -- fairness ---------------------------------------------------------------------------------------------------------


def test_virtual_time_goes_to_the_largest_tag_that_got_a_slot_by_queue() -> None:
    queue = candidates(9) + candidates(4, "bulk", priority="bulk")
    result = tick(Memory(), a_sight(queue, Limits(rpm=5)))
    assert result.memory.served == {f"{PRO}/normal": 4.0}
    assert (
        tick(replace(result.memory, served={f"{PRO}/normal": 99.0}), a_sight(queue)).memory.served[f"{PRO}/normal"]
        == 99.0
    )
