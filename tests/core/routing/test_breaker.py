"""When a route is sick, and when it is well again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.core.provider.circuit_health import ALL_WELL, Health, summed
from shared.core.provider.failure import FailureKind
from shared.core.routing.breaker import (
    HALF_OPEN,
    HALF_OPEN_TICK,
    MOST_WELL_PROBES,
    PROBE_EVERY,
    PROBE_TICK_AHEAD,
    BreakerChanges,
    Circuit,
    judge,
    may_probe_again,
    next_tick,
    probe_due,
    probes_allowed,
)
from shared.core.routing.flag import Flag
from shared.core.routing.flag_board import Board, FlagRefused
from tests.builders import a_catalogue, a_failure

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PRO, NB21, LITE = "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"
ROUTE = f"standard/{PRO}"


def sick(count: int, ago: int = 3, kind: FailureKind = FailureKind.OVERLOAD) -> Health:
    """So many requests, each failed once."""
    health = ALL_WELL
    for number in range(count):
        health = health.with_failure(a_failure(kind), NOW - ago * SECOND, f"r-{number}")
    return health


def started(count: int, ago: int = 5, **more: object) -> Circuit:
    circuit = Circuit(**more)  # type: ignore[arg-type]
    for _ in range(count):
        circuit = circuit.started(NOW - ago * SECOND)
    return circuit


def judged(
    circuit: Circuit,
    health: Health,
    *flags: Flag,
    name: str = ROUTE,
    overruled: Mapping[str, datetime] | None = None,
    now: datetime = NOW,
) -> BreakerChanges:
    return judge({name: circuit}, {name: health}, flags, overruled or {}, a_catalogue(), now)


@pytest.mark.parametrize(
    ("starts", "failures", "trips"),
    [
        (5, 5, True),
        (100, 95, True),
        (100, 60, True),  # within a minute
        (4, 4, True),
        (3, 3, False),
        (200, 4, False),
    ],
)
def test_a_breaker_trips_on_enough_sick_answers_and_a_large_share_of_them(
    starts: int, failures: int, *, trips: bool
) -> None:
    assert bool(judged(started(starts), sick(failures)).trips) == trips


def beside(health: Health, pictures: int, ago: timedelta = 2 * SECOND) -> Health:
    for _ in range(pictures):
        health = health.with_picture(NOW - ago)
    return health


def test_pictures_beside_sick_answers_tell_a_bad_share_from_an_outage() -> None:
    assert judged(started(100), beside(sick(59), 41)).trips == ()
    assert judged(started(10), beside(sick(4), 1)).trips == ()
    assert judged(started(10), sick(4)).trips != ()


def test_what_went_well_before_an_outage_does_not_delay_its_breaker() -> None:
    busy = Circuit()
    for ago in range(10, 3, -1):
        for _ in range(4):
            busy = busy.started(NOW - ago * SECOND)
    assert judged(busy, sick(3)).trips == ()
    (flag,) = judged(busy, sick(4)).trips
    assert "4 of 4 answers since" in flag.reason


def test_a_quick_picture_that_began_before_the_outage_says_nothing_and_a_slow_one_does() -> None:
    began_at, health = NOW - 4 * SECOND, sick(4)
    for _ in range(8):
        health = health.with_picture(NOW - SECOND, began_at)
    assert judged(started(10), health).trips != ()
    for _ in range(8):
        health = health.with_picture(NOW - SECOND, NOW - 20 * SECOND)
    assert judged(started(10), health).trips == ()


def test_the_first_probe_comes_as_if_the_first_sick_answer_had_been_one() -> None:
    after = judged(started(10), sick(4)).circuits[ROUTE]
    assert after.probed_at == NOW - 3 * SECOND


def test_a_report_that_knows_only_the_second_of_a_sick_answer_has_the_probe_count_from_its_end() -> None:
    """A probe that came up to a second early would have to be repeated a whole pause later."""
    stored = {name: value for name, value in sick(4).to_json().items() if name != "first_sick_ms"}
    after = judged(started(10), Health.from_json(stored)).circuits[ROUTE]
    assert after.probed_at == NOW - 2 * SECOND


def test_the_first_sick_answer_of_all_workers_is_what_counts() -> None:
    reports = [
        ALL_WELL.with_failure(a_failure(), NOW - 3 * SECOND + timedelta(milliseconds=ms), f"r-{ms}")
        for ms in (900, 250, 400, 600)
    ]
    health = summed([Health.from_json(report.to_json()) for report in reports])
    assert health.first_sick_at(int((NOW - 3 * SECOND).timestamp())) == NOW - timedelta(seconds=2.75)


def test_a_picture_of_the_same_second_that_began_before_the_first_sick_answer_says_nothing_of_the_outage() -> None:
    health = ALL_WELL
    for number in range(4):
        failed_at = NOW - 3 * SECOND + timedelta(milliseconds=500 + 10 * number)
        health = health.with_failure(a_failure(), failed_at, f"r-{number}")
    for ms in (100, 300, 450):
        health = health.with_picture(NOW - SECOND, NOW - 3 * SECOND + timedelta(milliseconds=ms))
    assert judged(started(10), health).trips != ()
    after = health.with_picture(NOW - SECOND, NOW - 3 * SECOND + timedelta(milliseconds=501))
    assert judged(started(10), after).trips == (), "one that began after it says something"


def test_a_tick_comes_in_time_for_the_next_probe_and_soon_while_a_breaker_is_half_open() -> None:
    circuit = Circuit(tripped_at=NOW, probed_at=NOW)
    due = NOW + PROBE_EVERY
    assert probe_due(circuit) == due
    assert next_tick(circuit, ALL_WELL, NOW + 10 * SECOND) == due - PROBE_TICK_AHEAD
    assert next_tick(circuit, ALL_WELL, due) is None, "no request is there that could probe: ticks come as usual"
    assert next_tick(Circuit(), ALL_WELL, NOW) is None
    well = ALL_WELL.with_probe(NOW + 16 * SECOND)
    assert next_tick(replace(circuit, probed_at=due), well, NOW + 17 * SECOND) == NOW + 17 * SECOND + HALF_OPEN_TICK


def test_a_sick_answer_after_a_good_probe_closes_what_was_half_open() -> None:
    circuit = Circuit(tripped_at=NOW, probed_at=NOW + 15 * SECOND)
    well = ALL_WELL.with_probe(NOW + 16 * SECOND)
    assert probes_allowed(circuit, well, NOW + 17 * SECOND) == HALF_OPEN
    again = well.with_failure(a_failure(), NOW + 17 * SECOND, "r-9", is_probe=True)
    assert probes_allowed(circuit, again, NOW + 18 * SECOND) == 0
    assert probes_allowed(circuit, well, NOW + 60 * SECOND) == 1, "a probe that went well long ago says little"


def test_pictures_are_counted_only_beside_sick_answers() -> None:
    assert ALL_WELL.with_picture(NOW) is ALL_WELL
    assert beside(sick(1), 3).to_json()["good"] != {}
    assert "good" not in sick(1).to_json()


def test_a_request_that_fails_again_and_again_is_one_voice() -> None:
    health = ALL_WELL
    for ago in range(50, 0, -5):
        health = health.with_failure(a_failure(FailureKind.SERVER_ERROR), NOW - ago * SECOND, "bad")
    assert sum(health.sick.values()) == 1
    assert judged(started(1), health).trips == ()


def test_the_same_few_requests_told_by_many_workers_are_few_voices() -> None:
    reports = [sick(3) for _ in range(4)]
    assert judged(started(12), summed(reports)).trips == ()
    others = [ALL_WELL.with_failure(a_failure(), NOW - 3 * SECOND, f"worker-{number}") for number in range(9)]
    assert judged(started(9), summed(others)).trips != ()


def test_one_tenants_failing_requests_beside_as_many_good_ones_trip_nothing() -> None:
    """Every second request always fails, four times each; the others are made."""
    health = ALL_WELL
    for number in range(25):
        for again in range(4):
            at = NOW - (50 - 2 * number + again) * SECOND
            health = health.with_failure(a_failure(FailureKind.SERVER_ERROR), at, f"bad-{number}")
        health = health.with_picture(at)
    circuit = Circuit()
    for second in range(50):
        circuit = circuit.started(NOW - (50 - second) * SECOND)
    assert judged(circuit, health).trips == ()


def test_a_request_that_was_sick_there_probes_again_only_for_want_of_another_and_seldom() -> None:
    assert not may_probe_again(Circuit(probed_at=NOW), NOW + 59 * SECOND)
    assert may_probe_again(Circuit(probed_at=NOW), NOW + timedelta(minutes=1))


@pytest.mark.parametrize("kind", list(FailureKind))
def test_only_overload_time_outs_and_broken_connections_are_sickness(kind: FailureKind) -> None:
    sickness = {"overload", "server_error", "timeout", "connection", "connection_lost", "not_finished"}
    assert bool(judged(started(9), sick(9, kind=kind)).trips) == (kind.value in sickness)


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        (ROUTE, "use-nano-banana-2"),
        (f"priority/{PRO}", "use-nano-banana-2"),
        (f"flex/{PRO}", "pause"),
        (f"standard/{NB21}", "pause"),
        (f"gateway/{PRO}", "pause"),
    ],
)
def test_it_trips_the_flag_that_on_call_would_have_with_its_route_and_reason(name: str, flag: str) -> None:
    (tripped,) = judged(started(9), sick(9), name=name).trips
    assert (tripped.name, tripped.actor, tripped.circuit) == (flag, "breaker", name)
    assert "overload, 9 of 9 requests in 10 s" in tripped.reason
    assert tripped.expires_at == NOW + timedelta(hours=2)


def test_an_open_breaker_does_not_trip_again_and_one_that_was_overruled_stays_shut() -> None:
    (flag,) = judged(started(9), sick(9)).trips
    assert judged(started(9), sick(9), flag).trips == ()
    assert judged(started(9), sick(9), overruled={ROUTE: NOW + SECOND}).trips == ()
    assert judged(started(9), sick(9), overruled={ROUTE: NOW - SECOND}).trips != ()


def test_one_probe_in_a_quarter_minute_and_the_next_at_once_after_one_that_went_well() -> None:
    circuit = Circuit(probed_at=NOW)
    assert probes_allowed(circuit, ALL_WELL, NOW + 14 * SECOND) == 0
    assert probes_allowed(circuit, ALL_WELL, NOW + PROBE_EVERY) == 1
    assert probes_allowed(circuit, ALL_WELL.with_probe(NOW + 3 * SECOND), NOW + 4 * SECOND) == HALF_OPEN
    assert probes_allowed(Circuit(), ALL_WELL, NOW) == 1


def test_two_probes_in_a_row_that_went_well_reset_it_and_a_sick_one_begins_the_count_anew() -> None:
    first = judged(started(9), sick(9))
    (flag,) = first.trips
    circuit = first.circuits[ROUTE]
    one = sick(9).with_probe(NOW + 16 * SECOND)
    assert judged(circuit, one, flag, now=NOW + 20 * SECOND).resets == ()
    again_sick = one.with_failure(a_failure(FailureKind.TIMEOUT), NOW + 18 * SECOND, "r-9", is_probe=True)
    assert judged(circuit, again_sick.with_probe(NOW + 19 * SECOND), flag, now=NOW + 20 * SECOND).resets == ()
    two = one.with_probe(NOW + 18 * SECOND)
    assert judged(circuit, two, flag, now=NOW + 20 * SECOND).resets == (flag,)


def test_a_flapping_route_must_go_well_for_longer_each_time() -> None:
    circuit, needed = started(9), []
    now = NOW
    for _ in range(5):
        judged = judge({ROUTE: circuit}, {ROUTE: _moved(sick(9), now)}, (), {}, a_catalogue(), now)
        assert judged.trips
        circuit = judged.circuits[ROUTE]
        needed.append(circuit.well_probes)
        now += timedelta(minutes=5)
    assert needed == [2, 4, 8, MOST_WELL_PROBES, MOST_WELL_PROBES]
    later = judge({ROUTE: circuit}, {ROUTE: _moved(sick(9), now + timedelta(hours=1))}, (), {}, a_catalogue(),
                  now + timedelta(hours=1))  # fmt: skip
    assert later.circuits[ROUTE].well_probes == 2


def _moved(health: Health, now: datetime) -> Health:
    by = int((now - NOW).total_seconds())
    return replace(
        health,
        sick={second + by: count for second, count in health.sick.items()},
        requests={request: second + by for request, second in health.requests.items()},
    )


def test_after_a_reset_only_what_ended_since_counts() -> None:
    first = judged(started(9), sick(9))
    circuit = replace(first.circuits[ROUTE], probed_at=NOW + 20 * SECOND)
    assert judged(circuit, sick(9), now=NOW + 25 * SECOND).trips == ()


def test_a_breakers_flag_that_on_call_extended_stays_though_its_probes_go_well() -> None:
    first = judged(started(9), sick(9))
    (flag,) = first.trips
    board = Board().tripped(flag).extended(flag.id, NOW + timedelta(hours=5), "ann", NOW)
    well = sick(9).with_probe(NOW + 16 * SECOND).with_probe(NOW + 17 * SECOND)
    assert judged(first.circuits[ROUTE], well, *board.in_force(NOW), now=NOW + 20 * SECOND).resets == ()


def test_a_breakers_flag_that_on_call_reset_is_overruled_for_a_while() -> None:
    (flag,) = judged(started(9), sick(9)).trips
    board = Board().tripped(flag)
    assert board.reset(flag.id, "ann", NOW).overruled == {ROUTE: NOW + timedelta(minutes=10)}
    assert board.reset(flag.id, "breaker", NOW).overruled == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda board, flag: board.tripped(flag), "is already active"),
        (lambda board, _: board.reset("nobody", "ann", NOW), "found 'nobody'; allowed: breaker-standard"),
        (lambda board, flag: board.extended(flag.id, NOW + timedelta(days=8), "ann", NOW), "allowed: up to 7 days"),
        (lambda board, flag: board.extended(flag.id, NOW, "ann", NOW), "allowed: up to 7 days"),
        (
            lambda board, flag: board.tripped(replace(flag, id="x", expires_at=NOW + timedelta(days=8))),
            "Flags expire automatically",
        ),
    ],
)
def test_a_change_of_a_flag_that_cannot_be_is_refused_with_what_is_allowed(change: object, message: str) -> None:
    (flag,) = judged(started(9), sick(9)).trips
    with pytest.raises(FlagRefused, match=message):
        change(Board().tripped(flag), flag)  # type: ignore[operator]


def test_what_was_reported_survives_its_document() -> None:
    health = sick(3).with_probe(NOW)
    assert Health.from_json(health.to_json()) == health
    circuit = started(4, tripped_at=NOW, trips=2, probed_at=NOW)
    assert Circuit.from_json(circuit.to_json()) == circuit
    (flag,) = judged(started(9), sick(9)).trips
    board = Board().tripped(flag).reset(flag.id, "ann", NOW)
    assert Board.from_json(board.to_json()) == board
    assert Board.from_json(Board().tripped(flag).to_json()) == Board().tripped(flag)


@given(st.lists(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=20), max_size=4))
def test_reports_add_up_in_any_order_and_reading_them_twice_changes_nothing(
    reports: list[list[tuple[int, bool]]],
) -> None:
    healths = []
    for report in reports:
        health = ALL_WELL
        for number, (ago, is_probe) in enumerate(sorted(report, reverse=True)):
            at, timeout = NOW - ago * SECOND, a_failure(FailureKind.TIMEOUT)
            health = health.with_probe(at) if is_probe else health.with_failure(timeout, at, f"r-{number}")
        healths.append(health)
    total = summed(healths)
    assert sum(total.sick.values()) == sum(not is_probe for report in reports for _, is_probe in report)
    assert summed(reversed(healths)).sick == total.sick
    circuit = started(20)
    once = judged(circuit, total)
    if once.trips:
        assert judged(once.circuits[ROUTE], total, *once.trips).trips == ()
    else:
        assert judged(once.circuits[ROUTE], total) == once
