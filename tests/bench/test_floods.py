"""What a run of the floods bench is judged by."""

from __future__ import annotations

from msgspec.structs import replace

from scripts.bench.floods import flood, restart
from scripts.bench.floods.plan import FULL, PROMISES
from scripts.bench.floods.publisher import Published
from scripts.bench.floods.watcher import Answers

WELL = Answers(100, 20.0, 200.0, 0)
GOOD = flood.FloodRun(
    FULL, idle_bytes=130_000_000, peak_bytes=170_000_000, flood=Published(20_000, 10.0), taken_in_seconds=100.0,
    missing=0, interactive=[1.0, 5.0], unserved=0, answers={"API status": WELL}, rendered=300,
)  # fmt: skip
AGAIN = restart.RestartRun(20_000, 240, 5.0, 6.0, 239.0, 120_000_000, 170_000_000, 0, {"API status": WELL})


def test_a_run_that_keeps_every_promise_has_no_problem() -> None:
    assert GOOD.problems(PROMISES) == []
    assert AGAIN.problems(PROMISES) == []


def test_each_promise_that_is_broken_is_named() -> None:
    slow = Answers(100, PROMISES.page_p50_ms + 1, 200.0, 1)
    broken = replace(
        GOOD, peak_bytes=GOOD.idle_bytes + PROMISES.memory_bytes + 1, missing=1, unserved=2,
        interactive=[PROMISES.interactive_seconds + 1], answers={"console overview": slow},
    )  # fmt: skip
    problems = " ".join(broken.problems(PROMISES))
    for words in (
        "1 acknowledged",
        "2 interactive",
        "waited 63.0 s",
        "memory grew by 150 MB",
        "1 of 100",
        "p50 251 ms",
    ):
        assert words in problems, problems
    again = replace(AGAIN, lost=3, first_render_seconds=99.0, starts_per_minute=200.0, peak_bytes=10**9)
    problems = " ".join(again.problems(PROMISES))
    for words in ("3 requests", "99.0 s", "200 starts a minute of 240", "memory grew by 880 MB"):
        assert words in problems, problems


def test_percentiles_are_of_what_was_measured() -> None:
    answers = Answers.of([float(number) for number in range(1, 201)], 3)
    assert (answers.count, answers.p50_ms, answers.p99_ms, answers.unanswered) == (200, 100.0, 198.0, 3)
    assert Answers.of([], 0).count == 0
