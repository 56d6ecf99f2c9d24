"""`renderlane drill`: the failures that it rehearses, each for real and shortly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from scripts.cli.commands.prepare import drill
from scripts.drills import run_worker
from scripts.drills.drill_catalogue import DRILLS, scene_of
from scripts.drills.recording import DrillRecording
from scripts.drills.traffic import NB21, PRIMARY
from tests.cli.conftest import renderlane

UNDER_WAY = {"queued", "released", "rendering"}
"""Also where a drill ends before all have ended: a probe may be on its way at that moment."""
PATIENCE = {"quota": 15.0, "credential": 4.0}
"""Seconds for drills that leave requests waiting; others end as soon as all have ended."""


def test_the_command_knows_every_drill() -> None:
    assert tuple(DRILLS) == drill.NAMES


def test_a_drill_that_is_not_known_is_refused_with_those_that_are() -> None:
    result = renderlane("drill", "flood")
    assert result.exit_code == 2
    assert "'outage', 'quota', 'slow', 'refusal', 'credential', 'gone', 'lost-answer'" in result.stderr


@pytest.fixture(scope="module")
def drills() -> Mapping[str, DrillRecording]:
    """All of them beside each other; the way back takes half a minute and is not awaited."""
    chosen = [
        replace(scene_of(name, 12.0 if name == "outage" else 6.0, recovered=False), patience=PATIENCE.get(name, 180.0))
        for name in DRILLS
    ]
    return asyncio.run(run_worker.play_all(chosen, 6, lambda _: None))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["outage", "slow", "gone"])
def test_everybody_has_an_image_while_the_primary_is_away(drills: Mapping[str, DrillRecording], name: str) -> None:
    recording = drills[name]
    assert set(recording.statuses()) == {"succeeded"}
    away = [
        ended_request
        for ended_request in recording.delivered
        if ended_request.model == NB21 and any(PRIMARY in why for why in ended_request.reasons)
    ]
    assert away, "the next model has made some of them, and the receipt says why"
    assert any(call.outcome != "image" or call.client_disconnected for call in recording.failing())


@pytest.mark.slow
def test_in_an_outage_the_breaker_trips_and_nothing_is_paid_for_in_vain(drills: Mapping[str, DrillRecording]) -> None:
    recording = drills["outage"]
    assert len(recording.breaker("trip")) == 1
    assert recording.wasted_micros == 0
    assert recording.paid_images == len(recording.requests)


@pytest.mark.slow
def test_a_slow_route_is_not_asked_again_by_the_same_request(drills: Mapping[str, DrillRecording]) -> None:
    recording = drills["slow"]
    for request in recording.requests:
        assert sum(call.client_disconnected for call in recording.of(request.request_id)) <= 1


@pytest.mark.slow
def test_refusals_end_refused_after_one_call_and_others_have_images(drills: Mapping[str, DrillRecording]) -> None:
    recording = drills["refusal"]
    assert recording.problems() == []
    assert recording.statuses()["refused"] >= 3


@pytest.mark.slow
def test_without_the_days_quota_deadlines_are_kept_and_others_wait(drills: Mapping[str, DrillRecording]) -> None:
    recording = drills["quota"]
    assert set(recording.statuses()) - UNDER_WAY == {"succeeded"}
    assert set(recording.statuses()) & UNDER_WAY
    assert all(request.status == "succeeded" for request in recording.requests if "deadline" in request.fields)
    assert recording.wasted_micros == 0


@pytest.mark.slow
def test_a_dead_key_loses_nothing_and_somebody_is_told(drills: Mapping[str, DrillRecording]) -> None:
    recording = drills["credential"]
    assert set(recording.statuses()) <= {"succeeded", *UNDER_WAY}, "a probe lets them go within seconds of the mending"
    assert recording.events_of("escalation", runbook="credential")
    assert recording.wasted_micros == 0


@pytest.mark.slow
def test_a_model_that_is_gone_is_warned_of_once(drills: Mapping[str, DrillRecording]) -> None:
    assert len(drills["gone"].events_of("route_lacking")) == 1


@pytest.mark.slow
def test_the_command_tells_a_timeline_and_a_verdict_and_touches_no_home(home: Path) -> None:
    result = renderlane("drill", "gone", "--seconds", "2", "--json")
    report = json.loads(result.stdout)
    assert report["figures"]["images"] == report["figures"]["requests"] > 0
    assert {line["who"] for line in report["timeline"]} >= {"drill", "worker", "pump"}
    assert "DRILL on a simulator" in result.stderr
    assert result.exit_code == (0 if report["held"] else 1)
    assert not home.exists()
