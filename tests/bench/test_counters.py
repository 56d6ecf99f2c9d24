"""What is counted as what, on hand-made commits."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from scripts.bench.quota_live.counters import Counters, billed_reads, collection, purposes, worst_ten_seconds
from shared.core.admission.open_slots import TakenSlot
from shared.core.values.documents import Create, Delete, Increment, Update, Write

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
REQUEST, ATTEMPT, SLOT = "requests/a", "requests/a/attempts/0001", "taken_slots/m.1.0"


def change(**changes: object) -> Update:
    return Update(REQUEST, changes, "1")


CLOSED = Update(ATTEMPT, {"ended_at": NOON}, "1")


@pytest.mark.parametrize(
    ("commit", "expected"),
    [
        pytest.param([Create(REQUEST, {})], ["intake"], id="intake"),
        pytest.param([change(status="released", unused_slot=None)], ["release"], id="release"),
        pytest.param(
            [Update("pump/pump", {}, "1"), Create("calendars/m", {})], ["pump", "calendar"], id="the pump's own"
        ),
        pytest.param([Increment("evidence/boot", {"reports": 1})], ["evidence"], id="evidence"),
        pytest.param([change(status="rendering"), Create(ATTEMPT, {})], ["attempt", "attempt"], id="the claim"),
        pytest.param([change(lease_until=NOON)], ["lease"], id="the lease renewed"),
        pytest.param(
            [change(status="succeeded", announce="pending"), CLOSED, Increment("ledger/day_t_0", {})],
            ["settlement"] * 3,
            id="the end of an attempt",
        ),
        pytest.param([change(announce=None)], ["announcement"], id="the announcement"),
        pytest.param(
            [change(status="queued", wake_at=None, unused_slot=None), CLOSED],
            ["settlement"] * 2,
            id="queued again after a failed attempt",
        ),
        pytest.param(
            [Create(REQUEST, {"status": "released"}), Create(SLOT, TakenSlot("m.1.0", "m", NOON, "r-1").to_json())],
            ["intake", "release"],
            id="a start in an open slot",
        ),
        pytest.param(
            [Create(SLOT, TakenSlot("m.1.0", "m", NOON).to_json()), Delete(SLOT, "1")],
            ["open slots"] * 2,
            id="an open slot taken back",
        ),
        pytest.param([Create("rejected/1", {})], ["other"], id="a rejection"),
    ],
)
def test_a_write_is_counted_for_what_it_is_for(commit: list[Write], expected: list[str]) -> None:
    assert purposes(commit, "render") == expected


def test_what_goes_back_unstarted_is_admission_with_all_it_takes() -> None:
    slot = {"model": "m"}
    assert purposes([change(status="queued", unused_slot=slot)], "pump") == ["given back"]
    undone: list[Write] = [change(status="queued", unused_slot=slot), Delete(ATTEMPT, "1")]
    assert purposes(undone, "render") == ["given back"] * 2
    late: list[Write] = [change(status="queued", unused_slot=slot), CLOSED, Increment("ledger/day_t_0", {})]
    assert purposes(late, "render") == ["given back"] * 3


def test_a_request_the_pump_puts_to_sleep_is_admission() -> None:
    assert purposes([change(status="queued", wake_at=NOON)], "pump") == ["put to sleep"]
    assert purposes([change(wake_at=NOON)], "pump") == ["put to sleep"]


def test_admission_counts_nothing_of_intake_attempt_and_settlement() -> None:
    counters = Counters()
    counters.note_commit("intake", [Create(REQUEST, {})], NOON)
    counters.note_commit("pump", [Update("pump/pump", {}, "1"), Update("calendars/m", {}, "1")], NOON)
    counters.note_commit("pump", [change(status="released")], NOON)
    counters.note_commit("render", [change(status="rendering"), Create(ATTEMPT, {})], NOON)
    counters.note_commit("render", [change(status="succeeded"), CLOSED], NOON)
    assert counters.admission_writes() == 3
    assert counters.writes() == 8
    assert counters.of("render", "create") == 1


def test_the_hottest_document_is_the_one_written_most_often_in_the_time_looked_at() -> None:
    counters = Counters()
    for second in range(100):
        counters.note_commit("pump", [Update("pump/pump", {}, "1")], NOON + timedelta(seconds=second))
    for _ in range(30):
        counters.note_commit("render", [Increment("ledger/d", {})], NOON + timedelta(seconds=50))
    for _ in range(500):
        counters.note_commit("pump", [Update("calendars/m", {}, "1")], NOON - timedelta(seconds=1))
    hottest = counters.hottest(NOON.timestamp(), NOON.timestamp() + 100)
    assert [(heat.path, heat.mean, heat.worst) for heat in hottest] == [("pump/pump", 1, 1), ("ledger/d", 0.3, 3)]


def test_the_worst_ten_seconds_may_begin_anywhere() -> None:
    assert worst_ten_seconds({7: 5, 16: 5, 17: 1}) == 1.0
    assert worst_ten_seconds({7: 5, 17: 6}) == 0.6


def test_counters_of_several_processes_add_up_and_survive_the_file() -> None:
    one = Counters()
    for _ in range(10):
        one.note_commit("pump", [Update("pump/pump", {}, "1")], NOON)
    one.note("pump", "query", "requests", 100)
    one.note("pump", "conflict", "", 0)
    read = Counters.from_json(json.loads(json.dumps(one.to_json())))
    total = Counters()
    total.add(read)
    total.add(one)
    assert (total.reads(), total.writes(), total.refused()) == (200, 20, 2)
    assert total.hottest(NOON.timestamp(), NOON.timestamp() + 10)[0].writes == 20
    assert total.flows() == ["pump"]


def test_a_document_written_once_takes_no_room_in_the_report() -> None:
    counters = Counters()
    counters.note_commit("intake", [Create(REQUEST, {})], NOON)
    assert counters.to_json()["seconds"] == {}


def test_an_empty_query_and_an_empty_count_cost_a_read() -> None:
    assert [billed_reads("query", count) for count in (0, 1, 100)] == [1, 1, 100]
    assert [billed_reads("count", count) for count in (0, 1, 1000, 1001)] == [1, 1, 1, 2]


def test_an_attempt_is_of_its_sub_collection() -> None:
    assert collection(ATTEMPT) == "requests/attempts"
    assert collection("pump/pump") == "pump"
