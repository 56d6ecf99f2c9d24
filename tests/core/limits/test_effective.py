"""Which of three sources holds for a limit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.limits.effective import DIMENSIONS, EffectiveLimit, Learned, effective_limits, limits
from shared.core.limits.live_quota import READABLE, UNLIMITED, LiveLimits
from shared.core.limits.quota import Limits
from tests.builders import NOW

LATER = NOW + timedelta(minutes=5)


def live(**dims: int | None) -> LiveLimits:
    return LiveLimits(dims, NOW)


def learned(value: int, count: int | None) -> Mapping[str, Learned]:
    return {"rpm": Learned(value, LATER, count)}


def test_the_dimensions_are_those_of_the_limits() -> None:
    assert Limits.__struct_fields__ == DIMENSIONS
    assert set(READABLE) < set(DIMENSIONS)


def test_what_nobody_says_anything_of_is_unknown() -> None:
    assert effective_limits(Limits(), None, {}) == {}
    assert effective_limits(Limits(), live(), {}) == {}
    assert limits({}) == Limits()


def test_without_a_reading_the_configured_limit_holds() -> None:
    assert effective_limits(Limits(rpm=60), None, {}) == {"rpm": EffectiveLimit(60, "configured", None)}


def test_a_reading_holds_over_what_is_configured_in_both_directions() -> None:
    for configured in (10, 600):
        assert effective_limits(Limits(rpm=configured), live(rpm=60), {}) == {"rpm": EffectiveLimit(60, "live", NOW)}


def test_a_reading_without_a_dimension_leaves_the_configured_one() -> None:
    effective = effective_limits(Limits(rpm=10, concurrency=5), live(rpd=1_000), {})
    assert effective == {
        "rpm": EffectiveLimit(10, "configured", None),
        "rpd": EffectiveLimit(1_000, "live", NOW),
        "concurrency": EffectiveLimit(5, "configured", None),
    }
    assert limits(effective) == Limits(rpm=10, rpd=1_000, concurrency=5)


def test_unlimited_is_an_answer_and_no_number() -> None:
    effective = effective_limits(Limits(rpm=10), live(rpm=None), {})
    assert effective == {"rpm": EffectiveLimit(None, "live", NOW)}
    assert limits(effective).rpm is None


def test_a_limit_of_nothing_is_a_limit() -> None:
    assert effective_limits(Limits(), live(rpm=0), {})["rpm"].value == 0
    assert limits(effective_limits(Limits(rpm=0), None, {})) == Limits(rpm=0)


@pytest.mark.parametrize("reported", [60, None, 0])
def test_what_a_rejection_named_holds_until_the_reading_says_something_else(reported: int | None) -> None:
    then = live(rpm=reported)
    learned_limits = learned(30, then.value("rpm"))
    assert effective_limits(Limits(), then, learned_limits)["rpm"] == EffectiveLimit(30, "learned", LATER)
    for now_said in (61, 30, None if reported is not None else 60):
        assert effective_limits(Limits(), live(rpm=now_said), learned_limits)["rpm"] == EffectiveLimit(
            now_said, "live", NOW
        )


def test_a_rejection_may_name_more_than_the_reading_said() -> None:
    assert effective_limits(Limits(), live(rpm=60), learned(120, 60))["rpm"].value == 120


def test_the_first_reading_holds_over_what_was_learned_before_it() -> None:
    assert effective_limits(Limits(), live(rpm=60), learned(30, None))["rpm"] == EffectiveLimit(60, "live", NOW)


@pytest.mark.parametrize("reading", [None, live(), live(rpd=7)])
@pytest.mark.parametrize("reported", [None, 60, UNLIMITED])
def test_without_a_reading_the_smaller_of_learned_and_configured_holds(
    reading: LiveLimits | None, reported: int | None
) -> None:
    def in_force(configured: int | None) -> EffectiveLimit:
        learned_limits = {"rpm": Learned(30, LATER, reported, configured)}
        return effective_limits(Limits(rpm=configured), reading, learned_limits)["rpm"]

    assert in_force(None) == EffectiveLimit(30, "learned", LATER)
    assert in_force(40) == EffectiveLimit(30, "learned", LATER)
    assert in_force(20) == EffectiveLimit(20, "configured", None)


def test_what_was_learned_beside_another_configuration_is_out_of_date() -> None:
    learned_limits = {"rpm": Learned(30, LATER, None, configured=40)}
    assert effective_limits(Limits(rpm=900), None, learned_limits)["rpm"] == EffectiveLimit(900, "configured", None)


def test_what_was_learned_comes_back_from_its_document() -> None:
    for count in (None, UNLIMITED, 60):
        one = Learned(30, LATER, count, configured=40)
        assert Learned.from_json(one.to_json()) == one


values = st.none() | st.integers(0, 100)


@given(
    configured=values, reported=values, named=values, then=st.sampled_from([None, UNLIMITED, 50]), present=st.booleans()
)
def test_each_limit_has_exactly_one_source_that_did_say_it(
    configured: int | None, reported: int | None, named: int | None, then: int | None, present: bool
) -> None:
    reading = live(rpm=reported) if present else None
    effective = effective_limits(Limits(rpm=configured), reading, {} if named is None else learned(named, then))
    if not effective:
        assert (configured, reading) == (None, None)
        return
    said_by = {"configured": configured, "live": reported, "learned": named}
    assert effective["rpm"].value == said_by[effective["rpm"].source]
    assert (effective["rpm"].source == "configured") <= (reading is None)
