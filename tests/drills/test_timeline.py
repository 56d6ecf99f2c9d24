"""Events become few lines, each by whom and with its second."""

from __future__ import annotations

from typing import Any

from scripts.drills.timeline import Story, TimelineRow
from scripts.drills.verdict import figures, to_json
from tests.drills.builders import a_call, a_trip, an_end, at, played


def an_answer(seconds: float, outcome: str, effect: str = "final") -> dict[str, Any]:
    route = "standard gemini-3-pro-image 1K"
    return {
        "message": "attempt_ended", "time": at(seconds).isoformat(), "route": route, "outcome": outcome,
        "effect": effect, "request_id": "r-1",
    }  # fmt: skip


def lines_of(*events: dict[str, Any]) -> list[TimelineRow]:
    lines: list[TimelineRow] = []
    story = Story(lines.append)
    story.mark("traffic begins")
    for event in events:
        story.heard(event)
    story.flush()
    assert story.lines == lines
    return lines[1:]


def test_answers_of_a_few_seconds_are_one_line() -> None:
    (line,) = lines_of(an_answer(0, "succeeded"), an_answer(1, "succeeded"), an_answer(2, "overload", "queued"))
    assert line.who == "worker"
    assert line.what == (
        "overload: 1 gemini-3-pro-image 1K; succeeded: 2 gemini-3-pro-image 1K (1 back to the queue)"
    )  # fmt: skip
    assert line.at == at(0)


def test_a_breaker_stands_in_its_place_among_the_answers() -> None:
    lines = lines_of(an_answer(0, "overload"), a_trip(1), an_answer(2, "succeeded"), an_answer(9, "succeeded"))
    assert [line.who for line in lines] == ["worker", "breaker", "worker", "worker"]
    assert "trip use-nano-banana-2" in lines[1].what


def test_what_went_before_the_first_mark_is_no_part_of_the_story() -> None:
    lines: list[TimelineRow] = []
    story = Story(lines.append)
    story.heard(an_answer(0, "succeeded"))
    story.flush()
    assert lines == []


def test_somebody_who_was_told_finds_the_runbook() -> None:
    event = {"message": "escalation", "time": at(0).isoformat(), "what": "the key is rejected", "runbook": "credential"}
    (line,) = lines_of(event)
    assert line.who == "escalation"
    assert "runbook: credential" in line.what


def test_the_verdict_counts_what_the_provider_saw() -> None:
    calls = [a_call(seconds=1, outcome="service_unavailable"), a_call(seconds=2), a_call(seconds=70)]
    values = figures(played([an_end(), an_end("r-2", "queued")], calls, [a_trip(4), a_trip(72, "reset")]))
    assert (values["requests"], values["images"], values["waiting"]) == (2, 1, 1)
    assert (values["primary_calls_in_the_failure"], values["primary_calls_that_failed"]) == (2, 1)
    assert values["breaker_tripped_after_seconds"] == 4.0
    assert values["breaker_reset_after_mending_seconds"] == 12.0
    assert values["primary_back_after_mending_seconds"] == 10.0


def test_the_timeline_of_the_json_counts_seconds_from_the_first_request() -> None:
    document = to_json(played([an_end()], [a_call()]), [TimelineRow(at(3), "drill", "the failure begins")])
    assert document["timeline"] == [{"second": 5.0, "who": "drill", "what": "the failure begins"}]
    assert document["held"] is True
