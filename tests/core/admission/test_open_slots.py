"""Slots left open ahead of time: taken when and however late, no limit is overrun and no slot is lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.admission import open_slots
from shared.core.admission.allocation import Candidate
from shared.core.admission.fleet_pace import LEAST_IN_AIR
from shared.core.admission.model_state import ModelState
from shared.core.admission.open_slots import LEAST_OPEN, Opening, OpenTerms, TakenSlot, start_until
from shared.core.admission.slot_calendar import Calendar, Weight
from shared.core.admission.tick import LostSlot, Memory, TickInputs, TickResult, tick
from shared.core.limits.observations import Closing, ModelObservations
from shared.core.limits.quota import Limits, Quota
from shared.core.records.request import UnusedSlot
from tests.builders import NOW, a_candidate
from tests.windows import keeps

PRO = "gemini-3-pro-image"
MODELS = (PRO, "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image", "gemini-3.1-flash-image")
SECOND = timedelta(seconds=1)


@dataclass
class World:
    """A pump, its queue, and takers that read the opening some time before they take a slot of it."""

    limits: Limits
    now: datetime = NOW
    memory: Memory = field(default_factory=Memory)
    documents: dict[str, TakenSlot] = field(default_factory=dict)
    views: list[tuple[datetime, Opening]] = field(default_factory=list)
    waiting: list[Candidate] = field(default_factory=list)
    starts: list[tuple[datetime, Weight]] = field(default_factory=list)
    late: list[LostSlot] = field(default_factory=list)
    taken: int = 0
    count: int = 0

    def opening(self) -> Opening:
        return self.memory.standings.get(PRO, ModelState()).opening

    def come(self, number: int, priority: str = "normal", model: str = PRO) -> None:
        for _ in range(number):
            self.count += 1
            candidate = a_candidate(priority=priority, model=model)
            head = replace(candidate.head, request_id=f"r-{self.count}", fair_tag=float(self.count))
            self.waiting.append(replace(candidate, head=head))

    def tick(self, dies: str = "", **sight: Any) -> TickResult:
        """One that dies `before` its commit, or `after` it: it takes nothing back."""
        documents = list(self.documents.values())
        result = tick(self.memory, self.sight(documents, **sight))
        if dies == "before":
            return result
        self.memory = Memory(
            {model: ModelState.from_json(standing.to_json()) for model, standing in result.memory.standings.items()},
            result.memory.spend, result.memory.served, result.memory.fleet, result.memory.epoch, result.memory.limits,
        )  # fmt: skip
        for slot in result.done:
            del self.documents[slot]
        for wanted in result.withdrawn if not dies else ():
            self.documents.setdefault(wanted.slot, TakenSlot(wanted.slot, wanted.pool, self.now))
        granted = {grant.candidate.head.request_id for grant in result.grants}
        self.waiting = [item for item in self.waiting if item.head.request_id not in granted]
        self.starts += [(grant.slot_at, grant.candidate.weight) for grant in result.grants]
        self.views.append((self.now, self.opening()))
        return result

    def sight(self, documents: list[TakenSlot], **sight: Any) -> TickInputs:
        fields: dict[str, Any] = {"capacity": 1_000, "open_terms": OpenTerms()} | sight
        return TickInputs(
            now=self.now, candidates=self.waiting, configured=Quota({"*": self.limits}), taken=documents,
            taken_from=self.now, **fields,
        )  # fmt: skip

    def take(self, *, commit_takes: float = 0.0, leaves_after: float = 0.05, pick: int = 0) -> bool:
        """By a taker who read the opening so long ago, whose commit lands now, and whose call leaves a little later,
        where that is in time. False where there is nothing to take, or somebody was first.
        """
        read_at = self.now - timedelta(seconds=commit_takes)
        at, opening = next((view for view in reversed(self.views) if view[0] <= read_at), (self.now, Opening()))
        at = max(at, read_at)
        free, until = opening.to_take(10, 0, at), start_until(at)
        if not free or until is None:
            return False
        slot = free[pick % len(free)]
        if slot in self.documents:
            return False
        self.taken += 1
        self.documents[slot] = TakenSlot(slot, PRO, at, f"o-{self.taken}", 10)
        leaves_at = self.now + timedelta(seconds=leaves_after)
        if leaves_at <= until:
            self.starts.append((leaves_at, Weight(tokens=10)))
        else:
            self.late.append(LostSlot(f"o-{self.taken}:1", PRO, at, Weight(tokens=10)))
        return True


limits = st.builds(
    Limits,
    rpm=st.integers(2, 40),
    ipm=st.none() | st.integers(2, 40),
    tpm=st.none() | st.integers(2_000, 20_000),
    rpd=st.none() | st.integers(20, 200),
)
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("tick"), st.floats(0.15, 3), st.sampled_from(["", "", "before", "after"])),
        st.tuples(st.just("take"), st.floats(0, 12), st.floats(0, 3)),
        st.tuples(st.just("take"), st.floats(0, 0.3), st.floats(0, 0.3)),
        st.tuples(st.just("come"), st.integers(1, 30), st.sampled_from(["interactive", "normal", "bulk"])),
        st.tuples(st.just("rush"), st.integers(20, 50), st.sampled_from(["", "after"])),
        st.tuples(st.just("wait"), st.floats(0, 90), st.just(0)),
        st.tuples(st.just("close"), st.floats(1, 30), st.just(0)),
    ),
    min_size=10,
    max_size=90,
)


@settings(max_examples=40, deadline=None)
@given(limits, happenings)
def test_no_window_is_overrun_whoever_takes_what_is_open_and_whenever_the_pump_dies(
    limits: Limits, story: list[tuple[str, float, float | str]]
) -> None:
    world = World(limits)
    world.come(1)
    world.tick()
    for number, (what, first, second) in enumerate(story):
        match what:
            case "tick":
                world.now += timedelta(seconds=first)
                world.tick(str(second))
            case "take":
                world.now += timedelta(seconds=0.01)
                world.take(commit_takes=float(first), leaves_after=float(second), pick=number)
            case "come":
                world.come(int(first), str(second))
            case "rush":
                world.come(int(first), "interactive")
                world.tick(str(second))
            case "wait":
                world.now += timedelta(seconds=first)
            case "close":
                world.tick(
                    reports={PRO: ModelObservations(closing=Closing(world.now + timedelta(seconds=first), "test"))}
                )
                world.now += timedelta(seconds=0.2)
            case _:
                raise AssertionError(what)
    assert keeps(world.starts, limits)


def test_a_rush_that_fills_the_minute_leaves_room_for_what_is_open_until_it_is_taken_back() -> None:
    world = World(Limits(rpm=20))
    world.come(1)
    world.tick()
    opened = len(world.opening().slots)
    assert opened == 2
    world.now += 0.2 * SECOND
    world.come(40, "interactive")
    world.tick("after")
    for pick in range(10):
        world.take(commit_takes=0.1, pick=pick)
    assert world.taken == opened, "those that read the opening before may still take what was open then"
    assert len(world.starts) == 20


def test_a_slot_that_was_taken_is_not_taken_again_by_whoever_read_it_as_open() -> None:
    world = World(Limits(rpm=20))
    world.come(1)
    world.tick()
    stale = world.now
    assert world.take()
    for number in range(30):
        world.now += 0.1 * SECOND
        world.tick()
        world.views = [item for item in world.views if item[0] <= stale]
        world.take(commit_takes=(world.now - stale).total_seconds(), pick=number)
    assert world.taken == 2, "the other one that was open then, and no third"


@settings(max_examples=20, deadline=None)
@given(st.integers(10, 60), st.integers(0, 5))
def test_what_is_queued_has_the_open_slots_of_a_full_minute_back_a_tick_later(rpm: int, takes: int) -> None:
    world = World(Limits(rpm=rpm))
    world.come(1)
    world.tick()
    for pick in range(takes):
        world.take(pick=pick)
    world.come(2 * rpm)
    for _ in range(4):
        world.now += SECOND
        world.tick()
    assert len(world.starts) == rpm
    assert keeps(world.starts, Limits(rpm=rpm))
    assert not world.opening().slots


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(MODELS), min_size=1, max_size=6), min_size=3, max_size=20),
    st.sampled_from(MODELS),
    st.sampled_from(["interactive", "normal", "bulk"]),
)
def test_open_slots_hold_nothing_up_of_any_model(before: list[list[str]], model: str, priority: str) -> None:
    """However many are open: a request that nothing else holds back has its slot two ticks later."""
    world = World(Limits())
    for models in before:
        for other in models:
            world.come(1, model=other)
        world.tick()
        world.now += SECOND
    world.come(1, priority, model)
    for _ in range(3):
        world.tick()
        world.now += SECOND
    assert not world.waiting


def test_open_slots_do_not_hold_up_what_another_model_may_still_spend() -> None:
    dollar = 1_000_000
    world = World(Limits(spend10m_micros=dollar))
    world.come(1)
    world.tick()
    standing = world.memory.standings[PRO]
    slots = {f"{PRO}.0.{number}": world.now + open_slots.OPEN_FOR for number in range(3)}
    opening = replace(standing.opening, slots=slots, estimate_micros=open_slots.MOST_MICROS)
    world.memory = replace(world.memory, standings={PRO: replace(standing, opening=opening)})
    world.come(1, "bulk", MODELS[1])
    for _ in range(3):
        world.now += SECOND
        world.tick()
    assert not world.waiting


def test_models_share_the_room_of_the_fleet_evenly_and_leave_some() -> None:
    world = World(Limits())
    for _ in range(8):
        for model in MODELS:
            world.come(1, model=model)
        world.tick()
        world.now += SECOND
    counts = [len(world.memory.standings[model].opening.slots) for model in MODELS]
    assert world.memory.fleet.most_in_air == LEAST_IN_AIR
    assert sum(counts) <= open_slots.FLEET_SHARE * LEAST_IN_AIR
    assert min(counts) >= max(counts) - 1 > 1


def test_slots_of_a_model_that_takes_nothing_do_not_starve_the_one_that_stands_in_for_it() -> None:
    world = World(Limits())
    for _ in range(8):
        world.come(8)
        world.tick()
        world.now += SECOND
    most = len(world.opening().slots)
    assert most >= 12
    sick = {PRO: ModelObservations(closing=Closing(world.now + timedelta(minutes=5), "test"))}
    for _ in range(6):
        world.come(4, model=MODELS[1])
        world.tick(reports=sick)
        world.now += SECOND
    assert not world.opening().slots
    assert len(world.memory.standings[MODELS[1]].opening.slots) >= 10


@pytest.mark.parametrize(
    ("counts", "wants", "most", "surplus"),
    [
        ({"a": 0, "b": 0}, {"a": 18, "b": 4}, {"a": 11, "b": 4}, {}),
        ({"a": 12, "b": 3}, {"b": 10}, {"b": 3}, {"a": 12}),
        ({"a": 11, "b": 4}, {"a": 4, "b": 18}, {"a": 4, "b": 4}, {"a": 7}),
        ({"a": 8, "b": 7}, {"a": 7, "b": 9}, {"a": 7, "b": 7}, {}),
        ({"a": 5}, {}, {}, {}),
        ({"a": 20, "b": 0}, {"a": 18, "b": 18}, {"a": 7, "b": 0}, {"a": 13}),
    ],
)
def test_open_slots_are_shared_evenly_and_taken_back_where_traffic_has_moved(
    counts: dict[str, int], wants: dict[str, int], most: dict[str, int], surplus: dict[str, int]
) -> None:
    assert open_slots.shared_out(counts, wants, 15) == (most, surplus)


def test_a_fleet_whose_room_is_all_held_open_takes_it_back_for_what_is_queued() -> None:
    """As a pump of an earlier release left it: it gave each model as much of the fleet's room as if it were alone."""
    world = World(Limits())
    world.come(1, model=MODELS[1])
    world.tick()
    standing = world.memory.standings[MODELS[1]]
    until = world.now + open_slots.OPEN_FOR
    slots = {f"{MODELS[1]}.0.{number}": until for number in range(LEAST_IN_AIR)}
    crowded = replace(standing, opening=replace(standing.opening, slots=slots))
    world.memory = replace(world.memory, standings={MODELS[1]: crowded})
    world.come(1, "bulk", MODELS[2])
    world.now += SECOND
    assert len(world.tick().withdrawn) == LEAST_IN_AIR
    assert world.waiting
    world.now += SECOND
    world.tick()
    assert not world.waiting


def test_nothing_is_open_where_nothing_was_used() -> None:
    world = World(Limits(rpm=100))
    world.tick(reports={PRO: ModelObservations()})
    assert world.opening().slots == {}


@pytest.mark.parametrize("limits", [Limits(rpm=19), Limits(ipm=19), Limits(rpm=1_000, rpd=19)])
def test_a_small_limit_leaves_nothing_open(limits: Limits) -> None:
    world = World(limits)
    world.come(1)
    world.tick()
    assert world.opening().is_offered
    assert world.opening().slots == {}


def test_slots_are_open_once_the_queue_is_empty_and_more_where_more_arrive() -> None:
    world = World(Limits(rpm=1_000))
    world.come(1)
    world.tick()
    assert world.opening().is_offered
    few = len(world.opening().slots)
    assert few >= LEAST_OPEN
    for _ in range(10):
        for pick in range(4):
            world.take(pick=pick)
        world.now += SECOND
        world.tick()
    assert len(world.opening().slots) > few
    assert world.taken == 40


def test_a_slot_is_counted_once_and_its_document_goes_when_nobody_can_take_it_in_time() -> None:
    world = World(Limits(rpm=100))
    world.come(1)
    world.tick()
    assert world.take()
    for seconds in (1, 1, 1):
        world.now += seconds * SECOND
        world.tick()
        assert len(world.documents) == 1
        assert world.memory.standings[PRO].calendar.used(world.now).requests == 2
    world.now += open_slots.KEPT_FOR
    world.tick()
    assert world.documents == {}
    assert world.memory.standings[PRO].calendar.used(world.now).requests == 2


def test_the_slot_of_a_request_that_came_late_is_given_back_once() -> None:
    world = World(Limits(rpm=20))
    world.come(1)
    world.tick()
    assert world.take(leaves_after=9)
    (late,) = world.late
    unused = UnusedSlot(PRO, late.slot_at, 1, 10)
    candidate = a_candidate(request_id="o-1", unused_slot=unused)
    world.waiting.append(replace(candidate, head=replace(candidate.head, release=1)))
    world.now += 9 * SECOND
    world.tick()
    assert world.memory.standings[PRO].calendar.used(world.now + SECOND).requests == 2


@pytest.mark.parametrize(
    "change",
    [
        {"open_terms": None},
        {"reports": {PRO: ModelObservations(closing=Closing(NOW + timedelta(minutes=1), "test"))}},
        {"concluded": {PRO: Closing(NOW + timedelta(minutes=1), "balance")}},
    ],
)
def test_nothing_is_offered_while_something_holds_the_model_back(change: dict[str, Any]) -> None:
    world = World(Limits(rpm=100))
    world.come(1)
    world.tick()
    assert world.opening().is_offered
    world.now += SECOND
    world.tick(**change)
    assert not world.opening().is_offered
    assert not world.take()


def test_an_open_slot_ends_and_its_room_comes_back() -> None:
    world = World(Limits(rpm=100))
    world.come(1)
    world.tick()
    assert world.opening().slots
    world.now += open_slots.OPEN_FOR + 2 * open_slots.EXPIRED_AFTER
    world.tick(open_terms=None)
    assert not world.opening().slots


def test_slots_in_use_are_renewed_before_they_end() -> None:
    world = World(Limits(rpm=100))
    world.come(1)
    world.tick()
    for _ in range(10):
        world.now += timedelta(minutes=1)
        world.tick()
        assert all(until - world.now > timedelta(minutes=1) for until in world.opening().slots.values())
        assert len(world.opening().slots) == LEAST_OPEN


def test_what_is_open_is_held_back_from_the_project_s_spend() -> None:
    dollar = 1_000_000
    world = World(Limits(rpm=1_000, spend10m_micros=30 * dollar))
    world.come(1)
    world.tick()
    opening = world.opening()
    assert opening.slots
    assert opening.micros <= 3 * dollar
    assert opening.to_take(10, open_slots.MOST_MICROS + 1, world.now) == []


def test_a_day_that_is_nearly_used_up_leaves_nothing_open() -> None:
    calendar = Calendar(days={NOW.date(): 10})
    opening = open_slots.laid(
        Opening(), calendar, Limits(rpm=100, rpd=10), PRO, OpenTerms(), most=50, most_micros=None, now=NOW
    )
    assert opening.slots == {}
