"""`doctor --live` on the simulator: every kind of answer, the report, the proposed diff, and never above the budget."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scripts.doctor.registered import WANTED
from scripts.doctor_live import differences, report
from scripts.doctor_live.api import Api
from scripts.doctor_live.differences import CatalogueDifference, corrected
from scripts.doctor_live.outcome import ProbeOutcome
from scripts.doctor_live.probes import PROMPT, Probe, ProbePlan, plan
from scripts.doctor_live.report import Circumstances
from scripts.doctor_live.run import Examined, examine
from scripts.simulator.api.server import served
from scripts.simulator.engine.simulation import Simulation
from scripts.simulator.provider.faults import Fault
from shared.adapters.gemini.vertex_lane import VertexLane
from shared.core.catalogue.reader import read_catalogue
from shared.core.limits.live_quota import UsageByModel
from shared.core.provider.usage import Usage
from shared.core.values.money import in_dollars
from tests.builders import a_catalogue
from tests.fakes.slots import at_once

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
PRO, NB21, LITE, LEGACY = (
    "gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image", "gemini-2.5-flash-image"
)  # fmt: skip
TEXT = Path("shared/catalogue.toml").read_text("utf-8")
KEY = "AQ.of-nobody-0123456789"


async def no_wait(_seconds: float) -> None:
    """The simulator answers at once; a full minute is not waited for."""


async def unread() -> UsageByModel | None:
    return None


@asynccontextmanager
async def asking(simulation: Simulation) -> AsyncIterator[tuple[Api, str]]:
    async with served(simulation) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        steps = iter(range(1_000_000))
        yield Api(client, KEY, a_catalogue(), lambda: NOW, lambda: float(next(steps)), no_wait), url


async def examined(
    *faults: Fault, budget: int = 20_000_000, only: str | None = None, simulation: Simulation | None = None
) -> tuple[Examined, Simulation, ProbePlan]:
    simulation = simulation or Simulation(pictures="cached")
    simulation.set_faults(faults)
    chosen = plan(a_catalogue(), budget_micros=budget)
    if only is not None:
        chosen = ProbePlan(tuple(probe for probe in chosen.probes if probe.kind == only), budget)
    async with asking(simulation) as (api, _):
        return await examine(api, chosen, a_catalogue(), unread, None, lambda _outcome: None), simulation, chosen


def of(ran: Examined, kind: str, model: str) -> list[ProbeOutcome]:
    return [outcome for outcome in ran.outcomes if (outcome.probe.kind, outcome.probe.model) == (kind, model)]


async def test_each_called_model_is_asked_for_everything_that_the_catalogue_says_of_it() -> None:
    ran, simulation, chosen = await examined()
    assert ran.left_out == ()
    for model in a_catalogue().models.values():
        if model.status == "retired":
            continue
        assert [outcome.code for outcome in of(ran, "answers", model.id)] == ["image"]
        assert [outcome.code for outcome in of(ran, "background", model.id)] == ["image"]
        for outcome in of(ran, "size", model.id):
            assert outcome.made == (outcome.probe.image_size in model.image_tokens)
            if outcome.made:
                assert outcome.usage is not None
                assert outcome.usage.image_out == model.image_tokens[outcome.probe.image_size]
        for outcome in of(ran, "lane", model.id):
            assert outcome.made == (outcome.probe.lane in model.lanes)
            assert not outcome.made or outcome.tier_served == outcome.probe.lane
        for outcome in of(ran, "ratio", model.id):
            assert outcome.made == (outcome.probe.aspect_ratio in model.aspect_ratios)
    bill = simulation.ledger.bill().total
    assert sum(outcome.cost_micros or 0 for outcome in ran.outcomes) == bill.cost_micros, "the books are the bill"
    unexpected = [outcome.probe for outcome in ran.outcomes if outcome.made and outcome.probe.expected == "refused"]
    assert bill.cost_micros <= chosen.expected_micros + sum(probe.most_micros for probe in unexpected)


async def test_a_dollar_is_never_passed_and_what_is_left_out_is_listed() -> None:
    for budget in (50_000, 300_000, 1_000_000):
        ran, simulation, chosen = await examined(budget=budget)
        assert 0 < simulation.ledger.bill().total.cost_micros <= budget
        assert len(ran.left_out) + len(ran.outcomes) == len(chosen.probes)
        assert ran.left_out
    assert chosen.expected_micros <= 1_000_000


async def test_where_background_is_refused_the_model_is_asked_in_the_foreground() -> None:
    ran, _, _ = await examined(Fault(kind="background_unsupported"), budget=400_000)
    (background,) = of(ran, "background", LITE)
    (answers,) = of(ran, "answers", LITE)
    assert (background.code, background.http_status, background.cost_micros) == ("invalid_request", 400, 0)
    assert answers.made
    assert answers.cost_micros
    changes = differences.differences(ran.outcomes, a_catalogue())
    assert {change.answer for change in changes if change.key == "background.standard"} == {"no"}


async def test_a_rejected_key_ends_it_and_says_nothing_about_any_model() -> None:
    ran, _, chosen = await examined(Fault(kind="credential"))
    assert [outcome.code for outcome in ran.outcomes] == ["credential"]
    assert len(ran.left_out) == len(chosen.probes) - 1
    assert differences.differences(ran.outcomes, a_catalogue()) == []


async def test_a_model_that_is_gone_is_asked_nothing_more_and_proposed_as_retired() -> None:
    ran, simulation, _ = await examined(Fault(kind="gone", model=LEGACY))
    calls = [call for call in simulation.ledger.since() if call.model == LEGACY]
    assert len(calls) == 2, "in the background and in the foreground"
    changes = differences.differences(ran.outcomes, a_catalogue())
    status = [change for change in changes if change.key == "status"]
    assert [(change.table, change.answer) for change in status] == [(f'models."{LEGACY}"', "retired")]
    assert read_catalogue(corrected(TEXT, status, NOW.date())).models[LEGACY].status == "retired"


async def test_a_full_minute_is_waited_for_and_a_bad_moment_is_no_statement() -> None:
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    simulation = Simulation(pictures="cached")
    simulation.set_faults([Fault(kind="quota", seconds=7, times=1), Fault(kind="overload", nth=(2,))])
    probe = next(probe for probe in plan(a_catalogue()).probes if probe.kind == "answers")
    async with served(simulation) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        api = Api(client, KEY, a_catalogue(), lambda: NOW, lambda: 0.0, wait)
        first = await api.ask(probe)
    assert waited == [pytest.approx(7, abs=0.01)]
    assert not first.made or first.cost_micros
    assert differences.differences([ProbeOutcome(probe, "overload", 503)], a_catalogue()) == []


async def test_other_token_counts_become_a_corrected_line() -> None:
    ran, _, _ = await examined(Fault(kind="other_tokens", model=NB21, size="4K"), only="size")
    changes = differences.differences(ran.outcomes, a_catalogue())
    (difference,) = [
        change for change in changes if change.table == f'models."{NB21}"' and change.key == "image_tokens.4K"
    ]
    assert difference.catalogue == "3780"
    after = corrected(TEXT, [difference], NOW.date())
    assert read_catalogue(after).models[NB21].image_tokens["4K"] == int(difference.answer)
    proposed = differences.diff(TEXT, after, "shared/catalogue.toml")
    changed = [line for line in proposed.splitlines() if re.match(r"^[-+][^-+]", line)]
    assert len(changed) == 2
    assert difference.answer in changed[1]


@pytest.mark.parametrize(
    ("difference", "check"),
    [
        (CatalogueDifference(f'models."{PRO}"', "background.standard", "unknown", "yes", ""),
         lambda ran: ran.models[PRO].capabilities.background_in("standard") == "yes"),
        (CatalogueDifference(f'models."{PRO}"', "background.standard", "unknown", "no", ""),
         lambda ran: ran.models[PRO].capabilities.background_in("standard") == "no"),
        (CatalogueDifference(f'models."{LITE}"', "thinking", "", '["minimal"]', ""),
         lambda ran: ran.models[LITE].capabilities.thinking == ("minimal",)),
        (CatalogueDifference(f'models."{NB21}"', "thinking", "", '["minimal", "low", "medium", "high"]', ""),
         lambda now: now.models[NB21].capabilities.thinking == ("minimal", "low", "medium", "high")),
        (CatalogueDifference(f'google."{PRO}".flex', "", "offered", "refused", ""),
         lambda ran: "flex" not in ran.models[PRO].lanes and "batch" in ran.models[PRO].lanes),
        (CatalogueDifference(f'google."{NB21}".flex', "", "not offered", "offered", ""),
         lambda ran: "flex" not in ran.models[NB21].lanes),
    ],
)  # fmt: skip
def test_a_correction_leaves_a_catalogue_that_can_be_read(difference: CatalogueDifference, check: Any) -> None:
    assert check(read_catalogue(corrected(TEXT, [difference], NOW.date())))


async def test_looks_cost_what_the_projects_usage_says_and_nothing_is_left_behind() -> None:
    counts = iter([{LITE: {"rpm": 3}}, {LITE: {"rpm": 8}}])

    async def usage() -> UsageByModel | None:
        return next(counts)

    simulation = Simulation(pictures="cached")
    chosen = ProbePlan(tuple(probe for probe in plan(a_catalogue()).probes if probe.background)[:1], 1_000_000)
    async with asking(simulation) as (api, _):
        ran = await examine(api, chosen, a_catalogue(), usage, None, lambda _outcome: None)
        (outcome,) = ran.outcomes
        assert (await api.get(f"/v1/interactions/{outcome.interaction_id}"))[0] == 404
    assert "5 GETs of one interaction answered 200; the project's usage meanwhile: rpm +5" in ran.facts["get"]
    assert ran.facts["delete"] == "DELETE answered 200, and GET 404 afterwards"
    assert ran.facts["webhooks"] == "GET /v1/webhooks answered 200, 0 registered"


async def test_registered_webhooks_are_listed_with_what_they_lack() -> None:
    simulation = Simulation(pictures="cached")
    simulation.webhooks.register("ours", "https://worker.example/arrive", WANTED)
    simulation.webhooks.register("theirs", "https://other.example/", WANTED[:1])
    for number in range(60):
        simulation.webhooks.register(f"more {number}", f"https://more.example/{number}", WANTED)
    async with asking(simulation) as (api, _):
        ran = await examine(api, ProbePlan((), 1_000_000), a_catalogue(), unread, None, lambda _outcome: None)
    text = ran.facts["webhooks"]
    assert text.startswith("GET /v1/webhooks answered 200, 62 registered: https://worker.example/arrive enabled; ")
    assert f"https://other.example/ enabled, without {', '.join(WANTED[1:])}; " in text
    assert text.endswith("https://more.example/59 enabled"), "the second page too"


async def test_vertex_is_asked_by_its_own_lane() -> None:
    simulation = Simulation(pictures="cached")
    whole = plan(a_catalogue(), vertex=True)
    chosen = ProbePlan(tuple(probe for probe in whole.probes if probe.kind == "vertex"), 5_000_000)
    async with asking(simulation) as (api, url):
        lane = VertexLane("shop", base_url=url)
        ran = await examine(api, chosen, a_catalogue(), unread, lane, lambda _outcome: None)
        await lane.close()
    assert {outcome.probe.model for outcome in ran.outcomes if outcome.made} == {
        model.id for model in a_catalogue().models.values() if "vertex" in model.lanes
    }
    assert {outcome.mime_type for outcome in ran.outcomes} == {"image/png"}
    assert await at_once()


async def test_the_report_holds_all_that_is_documented_and_neither_key_nor_image() -> None:
    ran, _, chosen = await examined(Fault(kind="rejected", model=NB21, message=f"bad key {KEY} for {PROMPT}"))
    about = Circumstances(NOW, "https://example.com", True, "auth", "shop", "1", "3.6.1", None)
    changes = differences.differences(ran.outcomes, a_catalogue())
    document = report.document(about, chosen, ran, changes, differences.diff(TEXT, TEXT, "x"))
    text = json.dumps(document) + report.markdown(document)
    assert KEY not in text
    assert "data:" not in text
    page = Path("docs/doctor-live.md").read_text("utf-8")
    for name in document:
        assert f"`{name}`" in page, name
    probe = in_dollars(document["probes"][0])
    for name in probe:
        assert f"`{name}`" in page, name
    for name in probe["probe"]:
        assert f"`{name}`" in page, name
    assert document["format"] == report.FORMAT
    assert report.markdown(document).startswith("# doctor --live, 2026-11-29T12:00:00+00:00")


def test_the_estimate_counts_an_image_of_every_model_and_stays_below_a_dollar() -> None:
    chosen = plan(a_catalogue())
    assert 0 < chosen.expected_micros < 1_000_000
    assert {probe.model for probe in chosen.expected} == {
        model.id for model in a_catalogue().models.values() if model.status != "retired"
    }


def test_a_diff_can_be_applied() -> None:
    after = corrected(
        TEXT, [CatalogueDifference(f'models."{PRO}"', "background.standard", "unknown", "yes", "")], NOW.date()
    )
    lines = differences.diff(TEXT, after, "shared/catalogue.toml").splitlines(keepends=True)
    assert [line[1:] for line in lines if line.startswith("+") and not line.startswith("+++")]
    assert "".join(difflib.restore(difflib.ndiff(TEXT.splitlines(True), after.splitlines(True)), 2)) == after


def test_a_thinking_level_that_comes_without_being_believed_in_is_added() -> None:
    probe = Probe("thinking", LEGACY, "standard", "1K", "refused", 1, thinking="high")
    made = ProbeOutcome(probe, "image", 200, model_served=LEGACY, usage=Usage(image_out=1290), width=1, height=1)
    assert [change.answer for change in differences.differences([made], a_catalogue())] == ['["high"]']


def test_the_time_of_a_probe_is_bounded_by_its_model() -> None:
    assert all(model.timeout <= timedelta(minutes=9) for model in a_catalogue().models.values())
