"""Tenants that wait share by their weights; nobody saves up, nobody starves."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.admission.fair_queueing import LEAST_WEIGHT, MOST_WEIGHT, fair_tag, in_order, queue_name, served_after
from shared.core.lifecycle.request_record import Head
from tests.builders import NOW, a_head

HEAD = a_head()
QUEUE = queue_name("gemini-3-pro-image", "normal")


@dataclass
class Queue:
    """One queue as intake and the pump use it."""

    weights: dict[str, float]
    waiting: list[Head] = field(default_factory=list)
    served: dict[str, float] = field(default_factory=dict)
    count: int = 0

    def come(self, tenant: str, number: int) -> None:
        for _ in range(number):
            self.count += 1
            ahead = sum(1 for head in self.waiting if head.tenant == tenant)
            tag = fair_tag(self.served.get(QUEUE, 0.0), ahead, self.weights[tenant])
            self.waiting.append(replace(HEAD, request_id=f"r-{self.count:06d}", tenant=tenant, fair_tag=tag))

    def serve(self, number: int) -> list[str]:
        """The tenants of the next so many."""
        first, self.waiting = in_order(self.waiting)[:number], in_order(self.waiting)[number:]
        for head in first:
            self.served = served_after(self.served, QUEUE, head.fair_tag)
        return [head.tenant for head in first]


def test_tenants_of_weights_one_and_three_share_one_to_three_while_both_wait() -> None:
    queue = Queue({"one": 1.0, "three": 3.0})
    queue.come("one", 500)
    queue.come("three", 500)
    for _ in range(10):
        had = Counter(queue.serve(40))
        assert 29 <= had["three"] <= 31


def test_a_tenant_that_comes_late_shares_from_then_on_and_is_paid_nothing_back() -> None:
    queue = Queue({"early": 1.0, "late": 1.0})
    queue.come("early", 600)
    queue.serve(300)
    queue.come("late", 100)
    assert 99 <= Counter(queue.serve(200))["late"] <= 101
    assert set(queue.serve(1_000)) == {"early"}


def test_a_tenant_with_little_is_served_before_anothers_backlog() -> None:
    queue = Queue({"heap": 1.0, "few": 1.0})
    queue.come("heap", 1_000)
    queue.serve(10)
    queue.come("few", 3)
    assert Counter(queue.serve(8))["few"] == 3


def test_a_tenant_whose_requests_trickle_in_waits_for_no_backlog() -> None:
    queue = Queue({"heap": 1.0, "trickle": 1.0})
    queue.come("heap", 1_000)
    for _ in range(50):
        queue.come("trickle", 1)
        assert "trickle" in queue.serve(3)


def test_one_that_comes_back_with_its_old_tag_does_not_turn_time_back() -> None:
    served = served_after({QUEUE: 7.0}, QUEUE, 3.0)
    assert served == {QUEUE: 7.0}
    assert served_after(served, "other", 3.0) == {QUEUE: 7.0, "other": 3.0}


@pytest.mark.parametrize("weight", [0.0, -5.0, 1e9])
def test_a_weight_out_of_all_bounds_is_held_within_them(weight: float) -> None:
    assert 1 / MOST_WEIGHT <= fair_tag(0.0, 0, weight) <= 1 / LEAST_WEIGHT


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 9), st.none() | st.integers(0, 9)), max_size=30)
)
def test_deadlines_reorder_a_tenants_own_requests_and_take_no_place_of_another(
    wanted: list[tuple[str, int, int | None]],
) -> None:
    heads = [
        replace(
            HEAD,
            request_id=f"r-{number:02d}",
            tenant=tenant,
            fair_tag=float(tag),
            deadline=None if minutes is None else NOW + timedelta(minutes=minutes),
        )
        for number, (tenant, tag, minutes) in enumerate(wanted)
    ]
    ordered = in_order(heads)
    by_tag = sorted(heads, key=lambda head: (head.fair_tag, head.request_id))
    assert sorted(head.request_id for head in ordered) == sorted(head.request_id for head in heads)
    assert [head.tenant for head in ordered] == [head.tenant for head in by_tag]
    own: dict[str, list[Head]] = defaultdict(list)
    for head in ordered:
        own[head.tenant].append(head)
    for items in own.values():
        deadlines = [head.deadline for head in items]
        set_deadlines = [deadline for deadline in deadlines if deadline is not None]
        assert deadlines == [*sorted(set_deadlines), *[None] * (len(deadlines) - len(set_deadlines))]
        patient = [head for head in items if head.deadline is None]
        assert patient == sorted(patient, key=lambda head: (head.fair_tag, head.request_id))
