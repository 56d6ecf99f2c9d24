"""The scenes are data that the simulator takes, and the same traffic each time."""

from __future__ import annotations

from datetime import datetime

import pytest

from scripts.drills import drill_catalogue, scenes
from scripts.drills.scene import DrillScene
from scripts.drills.traffic import LIVELY, PRIMARY, Traffic
from scripts.simulator.provider import faults
from shared.core.messages.render_request import RenderRequest
from tests.builders import NOW

EVERY = [*scenes.ALL, *(drill_catalogue.scene_of(name) for name in drill_catalogue.DRILLS)]


@pytest.mark.parametrize("scene", EVERY, ids=lambda scene: scene.name)
def test_the_simulator_takes_its_script_and_its_requests_are_requests(scene: DrillScene) -> None:
    assert faults.check(scene.script()) == scene.script()
    assert scene.holds, "a scene without a promise proves nothing"
    for number in range(len(scene.traffic.mix)):
        request = RenderRequest.parse(scene.traffic.request(scene.name, number, NOW))
        assert request.request_id == f"{scene.name}-{number:05d}"


def test_a_failure_ends_when_the_scene_says_so_unless_it_stays() -> None:
    outage, gone = scenes.BY_NAME["outage"], scenes.BY_NAME["gone"]
    assert [(fault.after, fault.until) for fault in outage.script()] == [(0.0, 60.0)]
    assert [fault.until for fault in gone.script()] == [None]


def test_a_flapping_failure_is_on_as_long_as_it_is_off() -> None:
    script = scenes.BY_NAME["flapping"].script()
    assert [(fault.after, fault.until) for fault in script] == [(0, 6), (12, 18), (24, 30), (36, 42)]


def test_traffic_is_the_same_each_time_and_as_dense_as_it_says() -> None:
    traffic = Traffic(2.0, 100.0, LIVELY)
    assert list(traffic.arrivals()) == list(traffic.arrivals())
    assert 160 < traffic.count < 240
    assert list(Traffic(0, 0, at_once=3).arrivals()) == [0.0, 0.0, 0.0]


def test_a_deadline_counts_from_the_sending() -> None:
    request = scenes.BY_NAME["deadline"].traffic.request("deadline", 0, NOW)
    assert (datetime.fromisoformat(request["deadline"]) - NOW).total_seconds() == 8


def test_quick_plays_one_of_each_kind_and_awaits_no_recovery() -> None:
    chosen = scenes.scenes(scenes.QUICK, quick=True)
    assert all(scene.recovery == 0 for scene in chosen)
    assert sum(scene.traffic.seconds for scene in chosen) < 120


@pytest.mark.parametrize("name", drill_catalogue.DRILLS)
def test_a_drill_is_a_scene_of_the_bench_under_lively_traffic(name: str) -> None:
    scene, base = drill_catalogue.scene_of(name, 10.0), scenes.BY_NAME[drill_catalogue.DRILLS[name].scene]
    assert {fault.kind for fault in scene.faults} == {fault.kind for fault in base.faults}
    assert {hold.promise for hold in base.holds} <= {hold.promise for hold in scene.holds}
    assert scene.lasts == 10.0
    tenants = {fields.get("tenant") for fields in scene.traffic.mix}
    assert len(tenants) > 2
    assert all(fault.model in (None, PRIMARY) for fault in scene.faults)
