"""The race: the judge finds what is planted, the tables say what the JSON says, and each loss has its reason."""

from __future__ import annotations

import ast
import asyncio
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from scripts.bench.harness.percentile import finite_percentile
from scripts.bench.race import chart, machine, main, report, track
from scripts.bench.race.checker import EntrantFigures, Recorded, check
from scripts.bench.race.courier import PushSubscription, RetryPolicy, envelope
from scripts.bench.race.entrants import KINDS, OURS, lines_of_code
from scripts.bench.race.gate import Gate
from scripts.bench.race.gauge import Gauge, processor_seconds, proportional_bytes, tree
from scripts.bench.race.reasons import NO_REASON
from scripts.bench.race.scene import RaceScene, SceneRequest, ideal_seconds
from scripts.bench.race.scenes import PRO, QUICK, SCENES, STANDARD

RACE = json.loads(main.RACE.read_text("utf-8"))


def an_order(number: int, **changes: Any) -> SceneRequest:
    order = SceneRequest(id=f"r-{number}", at=0.0, prompt=f"a lighthouse {number}", model=STANDARD)
    return replace(order, **changes)


def a_scene(*orders: SceneRequest, **changes: Any) -> RaceScene:
    return replace(RaceScene(name="test", title="a test", orders=orders, within=100.0, figures=("lost",)), **changes)


def a_call(order: SceneRequest, **changes: Any) -> dict[str, Any]:
    call = {"api": "interactions", "prompt_sha256": order.prompt_sha256, "status": 200, "outcome": "image"}
    call |= {"charged": True, "cost_micros": 40_000, "served_model": order.model}
    return call | {"finished_at": "2026-11-29T12:00:00+00:00"} | changes


def recorded(scene: RaceScene, calls: list[dict[str, Any]], *delivered: int, **changes: Any) -> Recorded:
    return replace(
        Recorded(
            began=1_000.0,
            published={order.id: 1_000.0 + order.at for order in scene.orders},
            delivered={f"r-{number}": 1_001.0 + number for number in delivered},
            calls=calls,
        ),
        **changes,
    )


def test_a_scene_without_faults_has_figures_without_faults() -> None:
    scene = a_scene(an_order(0), an_order(1))
    figures = check(scene, recorded(scene, [a_call(order) for order in scene.orders], 0, 1, booked_micros=80_000))
    assert (figures.images, figures.lost, figures.primary, figures.makespan) == (2, 0, 2, 2.0)
    assert (figures.rejected, figures.sick_calls, figures.paid_twice, figures.wasted_micros) == (0, 0, 0, 0)
    assert (figures.billed_micros, figures.cost_error_micros) == (80_000, 0)
    assert (figures.wait_p50, figures.wait_worst, figures.published_late) == (1.0, 2.0, 0.0)


def test_a_request_without_an_image_is_lost_and_its_charges_are_wasted() -> None:
    scene = a_scene(an_order(0), an_order(1))
    figures = check(scene, recorded(scene, [a_call(order) for order in scene.orders], 0))
    assert (figures.lost, figures.makespan, figures.wasted_micros, figures.paid_twice) == (1, None, 40_000, 0)


def test_a_second_charge_is_paid_twice_and_wasted() -> None:
    order = an_order(0)
    scene = a_scene(order)
    calls = [a_call(order), a_call(order, cost_micros=30_000, finished_at="2026-11-29T12:00:09+00:00")]
    figures = check(scene, recorded(scene, calls, 0))
    assert (figures.paid_twice, figures.wasted_micros) == (1, 30_000)


def test_rejected_and_sick_calls_are_counted_apart() -> None:
    order = an_order(0)
    scene = a_scene(order)
    failed = {"charged": False, "cost_micros": 0, "served_model": ""}
    calls = [
        a_call(order, status=429, **failed),
        a_call(order, status=503, **failed),
        a_call(order, status=None, **failed),
        a_call(order, status=None, finished_at=None, **failed),
        a_call(order),
    ]
    figures = check(scene, recorded(scene, calls, 0))
    assert (figures.rejected, figures.sick_calls) == (1, 2)


def test_looks_at_interactions_and_the_first_image_are_no_calls_of_the_scene() -> None:
    order = an_order(0)
    scene = a_scene(order)
    calls = [a_call(order), a_call(order, api="interaction_get", charged=False), a_call(an_order(99))]
    assert check(scene, recorded(scene, calls, 0)).billed_micros == 40_000


def test_an_image_of_the_fallback_is_not_the_primary_model_s() -> None:
    order = an_order(0, model=PRO, fallback=STANDARD)
    scene = a_scene(order)
    figures = check(scene, recorded(scene, [a_call(order, served_model=STANDARD)], 0))
    assert (figures.images, figures.primary) == (1, 0)


def test_an_interactive_request_without_an_image_waits_for_ever() -> None:
    scene = a_scene(*(an_order(number, priority="interactive") for number in range(3)), an_order(3, priority="bulk"))
    figures = check(scene, recorded(scene, [], 0, 1))
    assert (figures.interactive_p50, figures.interactive_p99, figures.interactive_missing) == (2.0, None, 1)


def test_poison_is_never_lost_and_what_it_costs_is_wasted() -> None:
    good, bad = an_order(0), an_order(1, poison=True)
    scene = a_scene(good, bad)
    figures = check(scene, recorded(scene, [a_call(good), a_call(bad), a_call(bad)], 0))
    assert (figures.lost, figures.poison_calls, figures.wasted_micros, figures.paid_twice) == (0, 2, 80_000, 1)


def test_goodput_is_the_share_of_the_limit_in_the_window() -> None:
    scene = a_scene(*(an_order(number) for number in range(10)), limits={STANDARD: 60}, window=(2.0, 12.0))
    assert check(scene, recorded(scene, [], *range(10))).goodput == 0.9


def test_a_percentile_that_never_came_is_no_figure() -> None:
    assert [finite_percentile(range(1, 101), share) for share in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert finite_percentile([1, math.inf], 0.99) is None
    assert finite_percentile([], 0.5) is None


def test_the_ideal_time_fills_each_window_of_the_limit() -> None:
    scene = a_scene(*(an_order(number) for number in range(150)), limits={STANDARD: 60})
    assert ideal_seconds(scene) == 121.0
    assert ideal_seconds(replace(scene, limits={})) == 1.0


def test_the_ideal_time_knows_when_the_limit_is_halved() -> None:
    scene = a_scene(*(an_order(number) for number in range(240)), limits={STANDARD: 120})
    assert ideal_seconds(scene) == 61.0
    assert ideal_seconds(replace(scene, limits_later=(50.0, {STANDARD: 60}))) == 121.0


async def test_a_message_is_delivered_until_it_is_acknowledged() -> None:
    answers, pauses = iter([False, False, True]), list[float]()
    courier = await _delivered(answers, pauses)
    assert (courier.acknowledged, courier.dead_letters, pauses) == ({"m"}, set(), [1.0, 2.0])


async def test_a_message_that_fails_too_often_is_a_dead_letter() -> None:
    pauses = list[float]()
    courier = await _delivered(iter([False] * 10), pauses)
    assert (courier.acknowledged, courier.dead_letters) == (set(), {"m"})
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


async def _delivered(answers: Any, pauses: list[float]) -> PushSubscription:
    async def post(data: bytes) -> bool:
        return bool(next(answers))

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    courier = PushSubscription(post, RetryPolicy(), sleep)
    await courier.publish("m", b"{}")
    return courier


async def test_entrants_begin_in_turn_once_all_are_ready() -> None:
    pauses = list[float]()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    gate = Gate(3, stagger=3.0, sleep=sleep)
    first = asyncio.create_task(gate.ready())
    await asyncio.sleep(0)
    assert not first.done()
    gate.leave()
    await gate.ready()
    await first
    assert sorted(pauses) == [0.0, 3.0]


def test_the_gauge_weighs_a_process_and_those_below_it() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60 & read line"], stdin=subprocess.PIPE, start_new_session=True) as shell:
        try:
            assert os.getpid() in set(tree(os.getpid()))
            assert shell.pid in set(tree(os.getpid()))
            gauge = Gauge()
            gauge.look([os.getpid()])
            assert gauge.cpu_seconds >= processor_seconds(os.getpid())[0] - 0.5
            assert gauge.peak_bytes >= proportional_bytes(os.getpid()) * 0.5
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
    assert proportional_bytes(shell.pid) == 0
    gauge.look([shell.pid])


def test_a_message_is_pushed_as_pub_sub_pushes_it() -> None:
    assert envelope(b"{}")["message"] == {"data": "e30="}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", SCENES)
def test_every_scene_can_be_judged(name: str, quick: bool) -> None:
    scene = SCENES[name](quick)
    assert scene.name == name
    assert len({order.id for order in scene.orders}) == len({order.prompt for order in scene.orders})
    assert len({order.id for order in scene.orders}) == len(scene.orders)
    assert set(scene.figures) <= report.COLUMNS.keys()
    assert ideal_seconds(scene) <= scene.within or scene.window or name == "interactive"


def test_the_full_race_and_the_quick_one_keep_their_time() -> None:
    for quick, minutes, names in ((False, 30.0, tuple(SCENES)), (True, 3.6, QUICK)):
        scenes = [SCENES[name](quick) for name in names]
        assert sum(scene.within * (len(KINDS) if scene.alone else 1) for scene in scenes) <= 60 * minutes


def test_peers_are_pinned_and_no_index_is_named() -> None:
    for line in machine.REQUIREMENTS.read_text("utf-8").splitlines():
        assert re.fullmatch(r"[a-z-]+(\[[a-z,]+\])?==[\d.]+", line), line


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_a_team_writes_is_counted_from_its_file(kind: Any) -> None:
    for file in kind.files:
        text = (machine.PEERS / file).read_text("utf-8")
        if file.endswith(".py"):
            ast.parse(text)
    assert 0 < kind.lines() < 150


def test_blank_lines_comments_and_the_first_docstring_are_no_code() -> None:
    assert lines_of_code('"""What it does."""\n\n# why\nimport os\n\nprint(os.name)  # here\n') == 2


def figures_of(**changes: Any) -> dict[str, Any]:
    order = an_order(0)
    scene = a_scene(order)
    figures: EntrantFigures = check(scene, recorded(scene, [a_call(order)], 0))
    return report.figures_json(figures) | changes


def a_race(ours: Mapping[str, Any], theirs: Mapping[str, Any], *figures: str) -> dict[str, Any]:
    scene = {"title": "a test", "figures": list(figures), "entrants": {OURS: ours, "plain": theirs}}
    return {
        "measured_on": "2026-11-29",
        "machine": "2 processors",
        "entrants": report.kinds_json([kind for kind in KINDS if kind.name in (OURS, "plain")]),
        "scenes": {"test": scene},
    }


def test_a_peer_that_is_ahead_is_named_with_a_reason() -> None:
    race = a_race(figures_of(sick_calls=3), figures_of(sick_calls=2), "sick_calls", "lost")
    assert [(loss.figure, loss.peers) for loss in report.losses(race, "test")] == [("sick_calls", ("plain",))]
    assert f"sick calls, behind plain handler: {NO_REASON}" in report.markdown(race)


def test_a_difference_within_the_noise_is_no_loss_and_a_missing_figure_is_none_either() -> None:
    race = a_race(figures_of(cpu_ms=40.5, wait_p50=1.0), figures_of(cpu_ms=40.0, wait_p50=None), "cpu", "p50")
    assert report.losses(race, "test") == []


def test_books_that_agree_with_the_bill_are_ahead_of_none() -> None:
    race = a_race(figures_of(booked_micros=None), figures_of(booked_micros=40_000), "cost_error")
    assert [loss.peers for loss in report.losses(race, "test")] == [("plain",)]
    _, rows = report.table(race, "test")
    assert [row[1] for row in rows] == ["no books", "$0"]


def test_an_entrant_that_could_not_run_says_why() -> None:
    race = a_race(figures_of(), {"missing": "no PostgreSQL"}, "lost", "cpu")
    assert report.table(race, "test")[1][1] == ["plain handler: no PostgreSQL", "", ""]
    assert report.losses(race, "test") == []


def test_where_the_packages_cannot_be_had_only_renderlane_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_packages() -> Path:
        raise machine.Missing("the peers' packages cannot be installed (no network): only Renderlane runs")

    async def played(kind: Any, scene: RaceScene, folder: Path, python: Path, gate: Gate) -> Recorded:
        await gate.ready()
        return recorded(scene, [], 0)

    monkeypatch.setattr(machine, "python", no_packages)
    monkeypatch.setattr(track, "play", played)
    race = asyncio.run(main.run(KINDS, [a_scene(an_order(0))], stagger=0))
    rows = race["scenes"]["test"]["entrants"]
    assert rows[OURS]["images"] == 1
    assert {"no network" in row["missing"] for name, row in rows.items() if name != OURS} == {True}


def test_a_queue_without_postgresql_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def played(kind: Any, scene: RaceScene, folder: Path, python: Path, gate: Gate) -> Recorded:
        if kind.name == "queue":
            raise machine.Missing("PostgreSQL's postgres is not installed")
        await gate.ready()
        return recorded(scene, [], 0)

    monkeypatch.setattr(machine, "python", lambda: Path(sys.executable))
    monkeypatch.setattr(track, "play", played)
    rows = asyncio.run(main.run(KINDS, [a_scene(an_order(0))], stagger=0))["scenes"]["test"]["entrants"]
    assert [name for name, row in rows.items() if "missing" in row] == ["queue"]


def test_a_row_that_the_bench_has_disturbed_is_not_shown() -> None:
    assert report.undisturbed(figures_of(published_late=5.0)) == figures_of(published_late=5.0)
    late = report.undisturbed(figures_of(published_late=129.1))
    assert late == {"missing": "not measured, the bench published requests 129 s too late"}
    race = a_race(figures_of(), late, "lost")
    assert report.table(race, "test")[1][1] == [
        "plain handler: not measured, the bench published requests 129 s too late",
        "",
    ]


def test_scenes_that_are_run_again_replace_their_own_only() -> None:
    race = a_race(figures_of(), figures_of(), "lost")
    rerun = race | {"measured_on": "2026-12-01", "scenes": {"test": {"title": "again"}}}
    both = main.updated(race | {"scenes": race["scenes"] | {"other": {"title": "other"}}}, rerun)
    assert both["measured_on"] == "2026-12-01"
    assert {name: scene["title"] for name, scene in both["scenes"].items()} == {"test": "again", "other": "other"}


def test_the_page_shows_the_committed_race() -> None:
    page = main.PAGE.read_text("utf-8")
    assert report.put_into(page, RACE) == page, "run ./scripts/bench/run race --redraw"


def test_the_chart_shows_the_committed_race() -> None:
    drawn = main.CHART.read_text("utf-8")
    assert chart.draw(RACE) == drawn, "run ./scripts/bench/run race --redraw"
    assert ElementTree.fromstring(drawn).tag.endswith("svg")


def test_every_figure_in_which_renderlane_is_behind_has_its_reason() -> None:
    behind = [loss for scene in RACE["scenes"] for loss in report.losses(RACE, scene)]
    assert [loss for loss in behind if report.reason(loss) == NO_REASON] == []


def test_the_committed_race_is_a_full_one_of_all_entrants() -> None:
    assert list(RACE["scenes"]) == list(SCENES)
    assert list(RACE["entrants"]) == [kind.name for kind in KINDS]
    for name, played in RACE["scenes"].items():
        assert played["title"] == SCENES[name](False).title
        assert list(played["entrants"]) == [kind.name for kind in KINDS]
        assert all(report.undisturbed(row) == row for row in played["entrants"].values())


@pytest.mark.slow
@pytest.mark.parametrize("name", [OURS, "plain", "jitter", "litellm"])
async def test_an_entrant_runs_a_small_scene_against_the_simulator(name: str, tmp_path: Path) -> None:
    """LiteLLM with packages of its own, which take ten seconds to install, once. Procrastinate needs PostgreSQL."""
    (kind,) = (kind for kind in KINDS if kind.name == name)
    orders = [an_order(number) for number in range(3)]
    scene = a_scene(*orders, within=60.0, latency=0.1)
    try:
        python = await asyncio.to_thread(machine.python) if name == "litellm" else Path(sys.executable)
    except machine.Missing as error:
        pytest.skip(str(error))
    figures = check(scene, await track.play(kind, scene, tmp_path / name, python, Gate(1)))
    assert (figures.images, figures.lost, figures.rejected, figures.paid_twice) == (3, 0, 0, 0)
    if name == "litellm":  # it books in dollars as floats
        assert abs(figures.cost_error_micros or 0) <= 3
    else:
        assert figures.cost_error_micros == (0 if name == OURS else None)
    assert figures.peak_mb > 10
