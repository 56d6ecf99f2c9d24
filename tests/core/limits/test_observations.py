"""A worker's report: read twice, late, or by a clock a little off, it says the same."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.core.limits.observations import (
    NOTHING_SEEN,
    REMEMBERED,
    Closing,
    ModelObservations,
    NamedLimit,
    StartSignal,
    counted,
    summed,
)
from tests.builders import NOW

SECOND = timedelta(seconds=1)
moments = st.integers(-100, 100).map(lambda seconds: NOW + timedelta(seconds=seconds))
reports = st.builds(
    ModelObservations,
    counts=st.dictionaries(
        st.sampled_from(StartSignal),
        st.dictionaries(st.integers(1_795_000_000, 1_795_000_100), st.integers(1, 9), min_size=1),
    ),
    closing=st.none() | st.builds(Closing, moments, st.sampled_from(["quota_day", "quota_minute"])),
    named=st.dictionaries(st.sampled_from(["rpm", "tpm", "rpd"]), st.builds(NamedLimit, st.integers(0, 99), moments)),
    drift=st.dictionaries(st.integers(3_590_000_000, 3_590_000_100), st.integers(-500, 500)),
)


@given(reports)
def test_a_report_is_read_as_it_was_written_with_text_keys_only(observed: ModelObservations) -> None:
    written = observed.to_json()
    assert ModelObservations.from_json(written) == observed
    assert all(isinstance(second, str) for seconds in written["counts"].values() for second in seconds)


def test_a_sign_that_a_newer_worker_writes_is_passed_over() -> None:
    written = NOTHING_SEEN.to_json() | {"counts": {"minute": {"5": 1}, "unheard of": {"5": 9}}}
    assert ModelObservations.from_json(written).counts == {StartSignal.MINUTE: {5: 1}}


@given(st.lists(reports, max_size=4), st.randoms(use_true_random=False))
def test_the_sum_of_reports_does_not_depend_on_their_order(observeds: list[ModelObservations], chance: object) -> None:
    total = summed(observeds)
    assert summed(reversed(observeds)).counts == total.counts
    assert summed(reversed(observeds)).drift == total.drift
    for sign in StartSignal:
        number = sum(sum(observed.counts.get(sign, {}).values()) for observed in observeds)
        assert sum(total.counts.get(sign, {}).values()) == number
    closings = [observed.closing.until for observed in observeds if observed.closing is not None]
    assert (total.closing.until if total.closing else None) == max(closings, default=None)
    assert sum(total.drift.values()) == sum(sum(observed.drift.values()) for observed in observeds)


def test_of_two_names_for_one_limit_the_newer_holds() -> None:
    older, newer = (
        ModelObservations(named={"rpm": NamedLimit(60, NOW)}),
        ModelObservations(named={"rpm": NamedLimit(30, NOW + SECOND)}),
    )
    assert summed([older, newer]).named == summed([newer, older]).named == {"rpm": NamedLimit(30, NOW + SECOND)}


@given(st.lists(st.tuples(st.integers(0, 120), st.sampled_from(StartSignal)), max_size=60))
def test_every_sign_of_the_last_half_minute_is_counted_at_its_start(steps: list[tuple[int, StartSignal]]) -> None:
    observed = NOTHING_SEEN
    for seconds, sign in sorted(steps, key=lambda step: step[0]):
        at = NOW + timedelta(seconds=seconds)
        observed = observed.with_sign(sign, at, at)
    ends = NOW + timedelta(seconds=max((seconds for seconds, _ in steps), default=0))
    since = ends - REMEMBERED
    for sign in StartSignal:
        true = sum(
            1 for seconds, start_signal in steps if start_signal is sign and NOW + timedelta(seconds=seconds) >= since
        )
        assert counted(observed, sign, since, ends + SECOND) == true


def test_what_is_older_than_half_a_minute_is_dropped_so_that_reports_stay_small() -> None:
    observed = NOTHING_SEEN
    for seconds in range(1_000):
        at = NOW + timedelta(seconds=seconds)
        observed = observed.with_sign(StartSignal.OVERLOAD, at, at)
    assert len(observed.counts[StartSignal.OVERLOAD]) <= REMEMBERED / SECOND + 1


def test_the_closing_that_lasts_longer_stays_until_it_is_over() -> None:
    long, short = Closing(NOW + timedelta(hours=5), "quota_day"), Closing(NOW + SECOND, "quota_minute")
    assert NOTHING_SEEN.with_closing(long, NOW).with_closing(short, NOW).closing == long
    assert NOTHING_SEEN.with_closing(short, NOW).with_closing(long, NOW).closing == long
    later = Closing(NOW + timedelta(hours=6), "quota_minute")
    assert NOTHING_SEEN.with_closing(long, NOW).with_closing(later, NOW + timedelta(hours=5)).closing == later
