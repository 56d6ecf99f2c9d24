"""Again, or the end: bounded in count, money and time, never before the server's hint."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.lifecycle.retry import (
    AS_BYTES,
    BASE_BACKOFF,
    CAPACITY,
    LONG_HINT,
    LONGEST_PARKING,
    LONGEST_PARKING_INTERACTIVE,
    MAX_AMBIGUOUS_REPEATS,
    MAX_BACKOFF,
    MAX_DENIED,
    MAX_FAILURES,
    MAX_NO_IMAGE,
    MAX_PROBE_BACKOFF,
    MAX_PROBES,
    QUOTA_BACKOFF,
    Again,
    Decision,
    End,
    Tally,
    after_failure,
    is_done_with,
)
from shared.core.provider.failure import RULES, FailureKind, Next
from tests.builders import NOW, a_failure, a_statement

ALMOST_ONE = 1 - 2**-53
QUOTA = [kind for kind in FailureKind if RULES[kind].next is Next.WAIT]
REPEATED = [kind for kind in FailureKind if RULES[kind].next is Next.AGAIN]
ENDING = [kind for kind in FailureKind if RULES[kind].next is Next.END]
AMBIGUOUS = [kind for kind in FailureKind if a_failure(kind).ambiguous and a_failure(kind).limits_repeats]


def a_tally(**changes: object) -> Tally:
    """The first failure of a request without cap and deadline."""
    return replace(Tally(1, 0, 0, 0, 0, 50_000, None, None), **changes)


def decided(kind: FailureKind, tally: Tally, jitter: float = 0.5, hint: timedelta | None = None) -> Decision:
    return after_failure(a_failure(kind, retry_after=hint), tally, now=NOW, jitter=jitter)


def test_a_call_that_was_refused_with_addresses_is_made_again_at_once_with_bytes() -> None:
    decision = decided(FailureKind.INVALID_REQUEST, a_tally(by_uri=True))
    assert decision == Again(NOW, AS_BYTES)
    assert decided(FailureKind.REFERENCE, a_tally(by_uri=True)) == Again(NOW, AS_BYTES)
    assert decided(FailureKind.PERMISSION, a_tally(by_uri=True)) == Again(NOW, AS_BYTES)
    assert isinstance(decided(FailureKind.INVALID_REQUEST, a_tally()), End)
    assert isinstance(decided(FailureKind.REFUSED, a_tally(by_uri=True)), End), "a refusal is the answer"


@pytest.mark.parametrize("kind", ENDING)
def test_a_failure_that_would_not_go_better_ends_with_advice(kind: FailureKind) -> None:
    decision = decided(kind, a_tally())
    assert isinstance(decision, End)
    assert decision.outcome.code == kind.value
    assert decision.outcome.advice == RULES[kind].advice


def test_a_refusal_ends_as_refused_and_everything_else_as_failed() -> None:
    ends = {kind: decided(kind, a_tally()) for kind in ENDING}
    assert {kind: end.status for kind, end in ends.items() if isinstance(end, End)} == {
        kind: {FailureKind.REFUSED: "refused", FailureKind.CANCELLED: "cancelled"}.get(kind, "failed")
        for kind in ENDING
    }


@pytest.mark.parametrize("kind", REPEATED)
def test_a_passing_failure_is_repeated_and_ends_at_the_fifth(kind: FailureKind) -> None:
    capped = a_tally(max_cost_micros=10**12)  # a cap that never binds: only the count does
    ends = [isinstance(decided(kind, replace(capped, failures=count)), End) for count in range(1, MAX_FAILURES + 2)]
    assert ends == [False, False, False, False, True, True]


@pytest.mark.parametrize("kind", QUOTA)
def test_waiting_for_quota_has_no_bound_in_count(kind: FailureKind) -> None:
    assert isinstance(decided(kind, a_tally(failures=10_000, ambiguous=10_000)), Again)


def test_two_answers_without_an_image_are_the_end() -> None:
    assert isinstance(decided(FailureKind.NO_IMAGE, a_tally(no_image=MAX_NO_IMAGE - 1)), Again)
    assert isinstance(decided(FailureKind.NO_IMAGE, a_tally(no_image=MAX_NO_IMAGE)), End)


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_without_a_cap_what_may_have_been_billed_is_repeated_twice_at_most(kind: FailureKind) -> None:
    ends = [isinstance(decided(kind, a_tally(failures=1, ambiguous=count)), End) for count in (1, 2, 3, 4)]
    assert ends == [False, False, True, True]
    assert MAX_AMBIGUOUS_REPEATS == 2


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_with_a_cap_what_may_have_been_billed_is_repeated_while_the_cap_has_room_for_it(kind: FailureKind) -> None:
    tally = a_tally(failures=4, ambiguous=4, spent_micros=200_000, next_estimate_micros=50_000)
    assert isinstance(decided(kind, replace(tally, max_cost_micros=250_000)), Again)
    decision = decided(kind, replace(tally, max_cost_micros=249_999))
    assert isinstance(decision, End)
    assert (decision.status, decision.outcome.code) == ("failed", "cost_cap")
    assert "max_cost_usd" in decision.outcome.advice


@pytest.mark.parametrize("kind", [*QUOTA, *REPEATED])
def test_no_attempt_is_begun_that_could_exceed_the_cap(kind: FailureKind) -> None:
    tally = a_tally(spent_micros=1, next_estimate_micros=100, max_cost_micros=100)
    decision = decided(kind, tally)
    assert isinstance(decision, End)
    assert decision.outcome.code == "cost_cap"


@pytest.mark.parametrize("kind", [*QUOTA, *REPEATED])
def test_a_wait_beyond_the_deadline_is_the_end_now(kind: FailureKind) -> None:
    hint = timedelta(seconds=30)
    assert isinstance(decided(kind, a_tally(deadline=NOW + hint + MAX_BACKOFF), hint=hint), Again)
    decision = decided(kind, a_tally(deadline=NOW + hint), jitter=0.0, hint=hint)
    assert isinstance(decision, End)
    assert (decision.status, decision.outcome.code) == ("expired", "expired")


@pytest.mark.parametrize("kind", REPEATED)
def test_the_jitter_covers_the_whole_range_and_the_range_doubles_up_to_a_minute(kind: FailureKind) -> None:
    for failures in range(1, MAX_FAILURES):
        tally = a_tally(failures=failures, max_cost_micros=10**12)
        least, most = decided(kind, tally, 0.0), decided(kind, tally, ALMOST_ONE)
        assert isinstance(least, Again)
        assert isinstance(most, Again)
        assert least.wake_at == NOW
        assert most.wake_at - NOW == min(MAX_BACKOFF, BASE_BACKOFF * 2**failures)


def test_a_quota_without_a_hint_waits_up_to_five_seconds() -> None:
    waits = [decided(FailureKind.QUOTA_MINUTE, a_tally(), jitter) for jitter in (0.0, 0.5, ALMOST_ONE)]
    assert [wait.wake_at - NOW for wait in waits if isinstance(wait, Again)] == [
        timedelta(0),
        QUOTA_BACKOFF / 2,
        QUOTA_BACKOFF,
    ]


def test_the_reason_tells_quota_from_trouble() -> None:
    quota, trouble = decided(FailureKind.QUOTA_DAY, a_tally()), decided(FailureKind.OVERLOAD, a_tally())
    assert isinstance(quota, Again)
    assert isinstance(trouble, Again)
    assert (quota.reason, trouble.reason) == ("quota: quota_day", "again after overload")


tallies = st.builds(
    Tally,
    failures=st.integers(0, 8),
    ambiguous=st.integers(0, 5),
    no_image=st.integers(0, 3),
    waits=st.integers(0, 9),
    spent_micros=st.integers(0, 10**6),
    next_estimate_micros=st.integers(1, 10**6),
    max_cost_micros=st.none() | st.integers(1, 10**6),
    deadline=st.none() | st.integers(-100, 10_000).map(lambda seconds: NOW + timedelta(seconds=seconds)),
)


@given(
    st.sampled_from(list(FailureKind)),
    tallies,
    st.floats(0, 1, exclude_max=True),
    st.none() | st.timedeltas(timedelta(0), timedelta(days=7)),
)
def test_never_before_the_hint_never_past_the_deadline_never_over_the_cap(
    kind: FailureKind, tally: Tally, jitter: float, hint: timedelta | None
) -> None:
    match decided(kind, tally, jitter, hint):
        case Again(wake_at, reason):
            waited = hint or timedelta(0)
            earliest = NOW + (min(waited, LONGEST_PARKING) if kind in CAPACITY else waited)
            assert earliest <= wake_at <= earliest + MAX_BACKOFF
            assert reason
            assert RULES[kind].next is not Next.END
            assert tally.deadline is None or wake_at < tally.deadline
            cap = tally.max_cost_micros
            assert cap is None or tally.spent_micros + tally.next_estimate_micros <= cap
            if RULES[kind].next is Next.AGAIN:
                assert tally.failures < MAX_FAILURES
        case End(status, outcome):
            assert status in ("failed", "refused", "expired")
            assert outcome.code
            assert outcome.advice


# -- the next route ---------------------------------------------------------------------------------------------------

ELSEWHERE = [kind for kind in FailureKind if RULES[kind].next is Next.ELSEWHERE]
HINT = timedelta(seconds=30)


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_what_the_provider_does_not_have_goes_to_the_next_route_at_once_or_ends(kind: FailureKind) -> None:
    assert decided(kind, a_tally(elsewhere=True, fallback=True)) == Again(NOW, f"next route after {kind.value}")
    assert isinstance(decided(kind, a_tally(elsewhere=True)), End)


@given(st.floats(0, ALMOST_ONE))
def test_the_next_route_does_not_wait_for_the_hint_of_the_one_that_failed(jitter: float) -> None:
    decision = decided(FailureKind.OVERLOAD, a_tally(elsewhere=True, fallback=True), jitter, HINT)
    assert isinstance(decision, Again)
    assert NOW <= decision.wake_at <= NOW + BASE_BACKOFF
    same = decided(FailureKind.OVERLOAD, a_tally(elsewhere=True), jitter, HINT)
    assert isinstance(same, Again)
    assert same.wake_at >= NOW + HINT


def test_the_next_route_keeps_every_bound_of_count_and_money() -> None:
    next_route = a_tally(elsewhere=True, fallback=True)
    assert isinstance(decided(FailureKind.OVERLOAD, replace(next_route, failures=MAX_FAILURES)), End)
    capped = replace(next_route, spent_micros=60_000, max_cost_micros=100_000)
    assert isinstance(decided(FailureKind.TIMEOUT, capped), End)
    assert isinstance(decided(FailureKind.TIMEOUT, replace(capped, next_estimate_micros=40_000)), Again)


def test_a_quota_that_opens_after_the_deadline_goes_back_for_another_route_where_there_is_one() -> None:
    late = a_tally(deadline=NOW + timedelta(seconds=10))
    assert isinstance(decided(FailureKind.QUOTA_MINUTE, late, hint=HINT), End)
    back = decided(FailureKind.QUOTA_MINUTE, replace(late, fallback=True), hint=HINT)
    assert isinstance(back, Again)
    assert back.wake_at <= NOW + BASE_BACKOFF


def test_a_request_that_is_denied_again_and_again_ends() -> None:
    assert isinstance(decided(FailureKind.PERMISSION, a_tally(denied=MAX_DENIED - 1)), Again)
    assert isinstance(decided(FailureKind.PERMISSION, a_tally(denied=MAX_DENIED)), End)


@pytest.mark.parametrize(
    ("kind", "http_status", "sick_before", "lane", "done"),
    [
        (FailureKind.TIMEOUT, None, 0, "standard", True),
        (FailureKind.TIMEOUT, 504, 0, "standard", False),
        (FailureKind.TIMEOUT, 504, 1, "standard", True),
        (FailureKind.OVERLOAD, 503, 0, "standard", False),
        (FailureKind.OVERLOAD, 503, 1, "standard", True),
        (FailureKind.OVERLOAD, 503, 0, "flex", True),
        (FailureKind.CONNECTION, None, 0, "standard", False),
        (FailureKind.CONNECTION_LOST, None, 1, "standard", True),
        (FailureKind.MODEL_GONE, 404, 0, "standard", True),
        (FailureKind.LANE_UNSUPPORTED, 400, 0, "flex", True),
        (FailureKind.QUOTA_MINUTE, 429, 9, "standard", False),
        (FailureKind.REFUSED, 400, 9, "standard", False),
        (FailureKind.NO_IMAGE, 200, 9, "standard", False),
    ],
)
def test_one_bounded_retry_on_the_same_path_and_a_silent_route_at_once(
    kind: FailureKind, http_status: int | None, sick_before: int, lane: str, *, done: bool
) -> None:
    assert is_done_with(a_failure(kind, http_status=http_status), sick_before, lane) == done


@pytest.mark.parametrize("kind", [FailureKind.BALANCE, FailureKind.CREDENTIAL, FailureKind.PERMISSION])
def test_what_one_account_denies_another_contract_may_grant(kind: FailureKind) -> None:
    assert is_done_with(a_failure(kind), 0, "gateway")
    assert not is_done_with(a_statement(kind), 0, "standard"), "all of Google's routes have the same key and account"


def test_a_bare_403_strikes_the_route_for_that_request_alone() -> None:
    assert is_done_with(a_failure(FailureKind.PERMISSION), 0, "standard")
    assert not is_done_with(a_failure(FailureKind.CREDENTIAL), 0, "standard")


def test_a_lone_request_asks_a_used_up_day_every_half_hour_in_the_end() -> None:
    waits = [decided(FailureKind.QUOTA_DAY, a_tally(waits=item), jitter=1.0) for item in (1, 5, 30)]
    assert [wait.wake_at - NOW for wait in waits if isinstance(wait, Again)] == [
        timedelta(seconds=5), timedelta(seconds=80), timedelta(minutes=30)
    ]  # fmt: skip


def test_a_gateway_whose_minute_is_full_is_waited_for() -> None:
    assert not is_done_with(a_failure(FailureKind.QUOTA_MINUTE), 0, "gateway")


@pytest.mark.parametrize("kind", sorted(CAPACITY - {FailureKind.NOT_FINISHED}))
def test_a_server_that_is_short_of_capacity_for_longer_than_a_minute_is_left_at_once(kind: FailureKind) -> None:
    short, long = (a_failure(kind, retry_after=hint, http_status=503) for hint in (LONG_HINT, LONG_HINT * 60))
    assert not is_done_with(short, 0, "standard")
    assert is_done_with(long, 0, "standard")
    decision = after_failure(long, a_tally(elsewhere=True, fallback=True), now=NOW, jitter=0.5)
    assert isinstance(decision, Again)
    assert decision.wake_at <= NOW + BASE_BACKOFF


@pytest.mark.parametrize("kind", sorted(CAPACITY))
def test_one_hint_parks_no_request_for_ever_and_an_interactive_one_for_minutes(kind: FailureKind) -> None:
    hint = timedelta(days=2)
    waits = {
        is_interactive: decided(kind, a_tally(interactive=is_interactive), 0.0, hint)
        for is_interactive in (False, True)
    }
    assert {
        is_interactive: wait.wake_at - NOW for is_interactive, wait in waits.items() if isinstance(wait, Again)
    } == {
        False: LONGEST_PARKING,
        True: LONGEST_PARKING_INTERACTIVE,
    }


def test_probes_of_a_sick_route_are_bounded_and_grow_apart() -> None:
    pauses = []
    for probes in range(1, MAX_PROBES):
        decision = decided(FailureKind.SERVER_ERROR, a_tally(failures=0, probes=probes), ALMOST_ONE)
        assert isinstance(decision, Again)
        pauses.append(decision.wake_at - NOW)
    assert pauses == sorted(pauses)
    assert pauses[-1] == MAX_PROBE_BACKOFF
    assert sum(pauses, timedelta(0)) > timedelta(hours=1), "an outage of an hour is outlived"
    assert isinstance(decided(FailureKind.SERVER_ERROR, a_tally(failures=0, probes=MAX_PROBES)), End)


def test_a_proxys_failure_that_may_be_billed_is_repeated_as_seldom_as_a_timeout() -> None:
    page = a_failure(FailureKind.SERVER_ERROR, may_be_billed=True)
    ends = [isinstance(after_failure(page, a_tally(ambiguous=n), now=NOW, jitter=0.5), End) for n in (1, 2, 3)]
    assert ends == [False, False, True]
