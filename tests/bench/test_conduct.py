"""Scenes played for real, by the worker and by a plain script; the flag over a backlog."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from scripts.bench.conduct import flag_scene, report
from scripts.bench.conduct.flag_scene import FlagFigures, FlagScale, judge
from scripts.drills import run_baseline, run_worker
from scripts.drills.scenes import BY_NAME, CALM
from scripts.drills.traffic import NB21, PRO
from shared.core.records.receipt import DeliveredImage, Receipt
from shared.core.records.versioned import Request, request_in
from shared.core.values.documents import Document
from tests.builders import NOW, a_record
from tests.drills.builders import IMAGE_COSTS, a_call, at

BENT = ("model gemini-3-pro-image -> gemini-nano-banana-2.1: flag use-nano-banana-2 by bench: the quota is short",)


def a_request(name: str, status: str = "queued", version: str = "1", **more: Any) -> Request:
    return request_in(Document(f"requests/{name}", a_record(status=status) | more, version, NOW))


def a_render(name: str, model: str, *, explained: bool) -> Request:
    image, why = DeliveredImage(model, "1K", "standard", 1, 1), BENT if explained else ()
    receipt = Receipt(image, IMAGE_COSTS, "metered", IMAGE_COSTS, why, ("f",) if explained else ()).to_json()
    return a_request(name, "succeeded", "2", release=1, cost_micros=IMAGE_COSTS, receipt=receipt)


def figures(after: list[Request], calls: list[Any]) -> FlagFigures:
    before = {versioned.id: a_request(versioned.id) for versioned in after}
    return judge(before, {versioned.id: versioned for versioned in after}, calls, at(0), at(15))


def by(model: str, name: str, seconds: float) -> Any:
    return a_call(name, seconds, model=model, served_model=model)


def test_a_flag_that_bends_in_time_and_rewrites_nothing_holds() -> None:
    after = [
        a_render("a", PRO, explained=False),
        a_render("b", NB21, explained=True),
        a_render("c", PRO, explained=False),
        a_request("d"),
    ]
    flag_figures = figures(after, [by(PRO, "a", 1.0), by(NB21, "b", 2.0), by(PRO, "c", 17.0)])
    assert flag_figures.problems() == []
    assert (flag_figures.trip.first_new, flag_figures.trip.last_old, flag_figures.reset.first_new) == (2.0, 1.0, 2.0)
    assert flag_figures.to_json()["trip"] == {"first_new_seconds": 2.0, "last_old_seconds": 1.0}


def test_a_late_effect_a_rewritten_backlog_and_a_wrong_receipt_are_told() -> None:
    after = [a_render("a", PRO, explained=True), a_render("b", NB21, explained=True), a_request("d", version="2")]
    flag_figures = figures(after, [by(PRO, "a", 4.0), by(NB21, "b", 2.0), by(PRO, "x", 17.0)])
    text = "; ".join(flag_figures.problems())
    assert "trip: the last call of the old route left 4.0 s later" in text
    assert "1 queued documents were rewritten" in text
    assert "1 receipts are wrong: a" in text


def test_a_release_that_came_to_nothing_does_not_count_as_rewriting() -> None:
    flag_figures = figures([a_request("d", version="2", release=1)], [])
    assert (flag_figures.untouched, flag_figures.rewritten) == (0, 0)


@pytest.mark.slow
async def test_double_delivery_costs_the_worker_nothing_and_a_plain_script_everything_twice() -> None:
    scene = BY_NAME["twice"]
    scene = replace(scene, traffic=replace(scene.traffic, seconds=2.0), latency="fixed:0.1")
    worker, script = await run_worker.play(scene), await run_baseline.play(scene)
    assert worker.problems() == []
    assert len(worker.calls) == len(worker.requests) == worker.paid_images
    assert script.paid_images == 2 * len(script.requests)
    assert script.wasted_micros == sum(call.cost_micros for call in script.calls) // 2
    figures = report.to_json({"twice": worker, CALM: worker}, {"twice": script, CALM: script})
    assert figures["twice"]["held"] is True
    assert figures["twice"]["google_genai"]["wasted_micros"] > 0


@pytest.mark.slow
async def test_refusals_empty_and_malformed_answers_end_as_they_must() -> None:
    def shortly(name: str) -> Any:
        scene = BY_NAME[name]
        return replace(scene, traffic=replace(scene.traffic, seconds=6.0), calm_first=0.0, latency="fixed:0.1")

    reported: list[str] = []
    chosen = [shortly(name) for name in ("refusal", "empty", "malformed")]
    recordings = await run_worker.play_all(
        chosen, 3, lambda played: reported.append(played.scene.name), longest=timedelta(minutes=2)
    )
    assert {name: played.problems() for name, played in recordings.items()} == {name: [] for name in recordings}
    assert sorted(reported) == ["empty", "malformed", "refusal"]


@pytest.mark.slow
async def test_receipts_name_what_came_otherwise_and_the_ledger_is_the_bill() -> None:
    scene = BY_NAME["receipts"]
    played = await run_worker.play(replace(scene, traffic=replace(scene.traffic, seconds=6.0), latency="fixed:0.1"))
    assert played.problems() == []
    assert played.booked_micros == played.charged_micros > 0


@pytest.mark.slow
async def test_a_gateway_without_balance_costs_its_requests_a_moment_and_a_plain_script_its_images() -> None:
    scene = BY_NAME["no-balance"]
    worker, script = await asyncio.gather(run_worker.play(scene), run_baseline.play(scene))
    assert worker.problems() == []
    assert len(worker.delivered) == len(worker.requests)
    assert len(script.delivered) < len(script.requests)
    assert len(script.failed()) > len(worker.failed())


@pytest.mark.slow
def test_a_flag_over_a_backlog_is_seen_by_the_provider_and_rewrites_nothing() -> None:
    lines: list[str] = []
    flag_figures = asyncio.run(flag_scene.play(FlagScale(600, 4.0), lines.append))
    assert flag_figures.queued == 600
    assert flag_figures.bent > 0
    assert flag_figures.untouched > 0
    assert flag_figures.rewritten == 0
    assert flag_figures.receipts_wrong == []
    assert flag_figures.booked_micros == flag_figures.charged_micros
    assert lines
