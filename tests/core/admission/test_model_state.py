"""A model's document keeps all that the next pump needs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.core.admission.model_state import ModelState, path
from shared.core.admission.priority import PriorityState
from shared.core.admission.rate_control import Pressure
from shared.core.admission.slot_calendar import Calendar, Weight, bucket_of
from shared.core.limits.effective import Learned
from shared.core.times.pacific import pacific_day
from tests.builders import NOW

moments = st.integers(-5_000, 100).map(lambda seconds: NOW + timedelta(seconds=seconds))
rates = st.floats(0, 10**6)
PRESSURES: dict[str, st.SearchStrategy[Any]] = {
    name: (
        st.none() | moments
        if "datetime" in kind
        else st.integers(0, 9)
        if kind == "int"
        else rates
        if "None" not in kind
        else st.none() | rates
    )
    for name, kind in Pressure.__annotations__.items()
}
standings = st.builds(
    ModelState,
    st.builds(
        Calendar,
        buckets=st.dictionaries(moments.map(bucket_of), st.builds(Weight, *[st.integers(0, 99)] * 3)),
        days=st.dictionaries(moments.map(pacific_day), st.integers(0, 99)),
        closed_until=st.none() | moments,
        closed_why=st.text(max_size=9),
        refunded=st.dictionaries(st.text(min_size=1, max_size=9), moments.map(bucket_of)),
    ),
    st.builds(
        PriorityState,
        owed=st.dictionaries(st.sampled_from(["normal", "bulk"]), st.floats(0, 1)),
        next_at=st.dictionaries(st.sampled_from(["all", "lower", "bulk"]), rates),
        interactive=st.dictionaries(st.integers(0, 10**9), st.tuples(st.integers(0, 99), st.integers(0, 99))),
    ),
    st.builds(Pressure, **PRESSURES),
    st.dictionaries(st.sampled_from(["rpm", "tpm", "rpd"]), st.builds(Learned, st.integers(0, 99), moments, st.none())),
)


def texts_only(value: object) -> bool:
    """Whether every key is text and every value one that a store keeps."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and texts_only(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(texts_only(item) for item in value)
    return value is None or isinstance(value, str | int | float | datetime)


@given(standings)
def test_a_standing_is_read_as_it_was_written(standing: ModelState) -> None:
    written = standing.to_json()
    assert texts_only(written)
    assert ModelState.from_json(written) == standing


@given(standings, st.integers(0, 5_000))
def test_forgetting_is_the_same_before_and_after_a_round_through_the_store(standing: ModelState, seconds: int) -> None:
    now = NOW + timedelta(seconds=seconds)
    assert (
        ModelState.from_json(standing.to_json()).forget(now) == standing.forget(now) == standing.forget(now).forget(now)
    )


def test_a_model_has_one_document_of_its_own() -> None:
    assert path("gemini-3-pro-image") == "calendars/gemini-3-pro-image"
