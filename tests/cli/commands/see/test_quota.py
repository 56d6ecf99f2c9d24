"""`renderlane quota`, from a store written by hand and from a running home."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scripts.cli.data import worker_home
from scripts.local.home import Home, Simulated, running
from shared.core.admission.slot_calendar import Calendar, Weight
from shared.core.limits.effective import Learned
from shared.core.limits.enforced import Enforced
from shared.core.limits.live_quota import PATH, LiveLimits, LiveQuota
from shared.core.limits.quota import Limits
from shared.core.routing.background_proof import PATH as BACKGROUND
from shared.core.routing.background_proof import BackgroundProof, Proofs
from shared.core.times.pacific import pacific_day
from shared.core.values.documents import Create
from shared.flows.pump_status import PUMP
from shared.flows.upkeep.live_quota import read_live_quota
from tests.builders import a_catalogue
from tests.cli.conftest import json_lines, renderlane

PRO, LITE = "gemini-3-pro-image", "gemini-3.1-flash-lite-image"
LATER = datetime(2096, 11, 23, 8, tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


def a_store(
    home: Path, live: LiveQuota | None = None, calendars: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """A home that has run, and runs no more."""
    home.mkdir()
    (home / "state.db").touch()
    writes = [Create(f"calendars/{model}", document) for model, document in (calendars or {}).items()]
    if live is not None:
        writes.append(Create(PATH, live.to_json()))

    async def write() -> None:
        async with worker_home.reading(worker_home.read_settings()) as store:
            await store.commit(*writes)

    if writes:
        asyncio.run(write())


def live(minutes_ago: float = 1, **dims: int | None) -> LiveQuota:
    at = now() - timedelta(minutes=minutes_ago)
    return LiveQuota(tried_at=at).with_limits({PRO: LiveLimits(dims, at)}, at)


def row(text: str, dimension: str, model: str = "3-pro") -> list[str]:
    """The cells of one line of the table, its model left out."""
    lines = text.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.split()[:1] == [model]]
    return next(line.replace(model, "", 1).split() for line in lines[start:] if f" {dimension} " in line)


def test_each_limit_is_shown_with_its_source_its_age_and_its_use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENDERLANE_QUOTA", f"{PRO}=rpm:5,concurrency:20,spend10m_usd:10.50")
    begun = now()
    bucket = int(begun.timestamp() * 2) - 20
    days = {pacific_day(begun + timedelta(days=ahead)): 640 for ahead in (0, 1)}  # midnight may pass meanwhile
    calendar = Calendar(buckets={bucket: Weight(7, 7, 1_234), bucket - 200: Weight(9, 9, 9)}, days=days)
    learned = {"rpm": Learned(30, begun - timedelta(hours=2), 60).to_json()}
    reading = live(3, rpm=60, tpm=4_000_000, rpd=None).with_usage(
        {PRO: {"rpm": 12, "rpd": 990}}, begun - timedelta(minutes=2)
    )
    a_store(home, reading, {PRO: {**calendar.to_json(), "learned": learned}})
    shown = renderlane("quota").stdout
    assert "live limits read 3 min ago, the project's usage 2 min ago" in shown
    assert row(shown, "rpm") == ["rpm", "30", "learned", "2", "h", "7", "12"]
    assert row(shown, "ipm") == ["ipm", "unknown", "-", "-", "7", "-"]
    assert row(shown, "tpm") == ["tpm", "4,000,000", "live", "3", "min", "1,234", "0"]
    assert row(shown, "rpd") == ["rpd", "unlimited", "live", "3", "min", "640", "990"]
    assert row(shown, "concurrency") == ["concurrency", "20", "configured", "-", "-", "-"]
    assert row(shown, "spend10m_usd") == ["spend10m_usd", "$10.5000", "configured", "-", "-", "-"]
    assert row(shown, "-", "3.1-flash-lite") == ["-", "unknown", "-", "-", "-", "-"]


def test_every_model_that_is_called_has_a_line(home: Path) -> None:
    a_store(home)
    called = {model.id for model in a_catalogue().models.values() if model.status != "retired"}
    assert {json_line["model"] for json_line in json_lines(renderlane("quota", "--json").stdout)} == called


def test_as_json_it_is_one_object_a_model(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENDERLANE_QUOTA", "*=rpm:5,concurrency:20")
    reading = live(rpm=60, rpd=None)
    a_store(home, reading, {PRO: Calendar().close(LATER, "quota_day").to_json()})
    by_model = {json_line["model"]: json_line for json_line in json_lines(renderlane("quota", "--json").stdout)}
    read_at = reading.tried_at.isoformat().replace("+00:00", "Z")
    assert set(by_model[PRO].pop("account").values()) == {None}, "no tier is configured"
    assert by_model[PRO] == {
        "model": PRO,
        "limits": {
            "rpm": {"value": 60, "unlimited": False, "source": "live", "at": read_at},
            "rpd": {"value": None, "unlimited": True, "source": "live", "at": read_at},
            "concurrency": {"value": 20, "unlimited": False, "source": "configured", "at": None},
        },
        "used": {"rpm": 0, "ipm": 0, "tpm": 0, "rpd": 0},
        "project_used": None,
        "background": {},
        "closed_until": "2096-11-23T08:00:00Z",
        "closed_why": "quota_day",
        "live_read_at": read_at,
        "live_tried_at": read_at,
        "live_problem": None,
        "usage_read_at": None,
        "usage_problem": None,
    }
    assert by_model[LITE]["limits"]["rpm"] == {"value": 5, "unlimited": False, "source": "configured", "at": None}


def test_a_closed_model_is_named_with_its_opening_and_a_reopened_one_is_not(home: Path) -> None:
    closed = Calendar().close(LATER, "quota_day").to_json()
    a_store(home, None, {PRO: closed, LITE: Calendar().close(now() - timedelta(hours=1), "quota_minute").to_json()})
    shown = renderlane("quota").stdout
    assert f"{PRO} is closed until 2096-11-23 08:00:00 UTC (quota_day)" in shown
    assert "quota_minute" not in shown


def test_a_problem_is_shown_with_its_age_and_its_remedy_beside_the_last_good_values(home: Path) -> None:
    begun = now()
    reading = live(90, rpm=60)
    reading = reading.without_limits("denied", "Permission denied", "Grant the role", begun - timedelta(minutes=7))
    reading = reading.without_limits("denied", "Permission denied", "Grant the role", begun)
    reading = reading.without_usage("disabled", "API off", "Switch it on", begun - timedelta(minutes=2))
    a_store(home, reading)
    shown = renderlane("quota").stdout
    assert "live limits read 1 h ago" in shown
    assert "limits cannot be read, for 7 min: denied: Permission denied\n  Grant the role" in shown
    assert "usage cannot be read, for 2 min: disabled: API off\n  Switch it on" in shown
    assert row(shown, "rpm") == ["rpm", "60", "live", "1", "h", "0", "-"]
    document = json_lines(renderlane("quota", "--json").stdout)[0]
    assert (document["live_problem"]["code"], document["usage_problem"]["remedy"]) == ("denied", "Switch it on")


def test_a_reading_that_nobody_repeats_is_told(home: Path) -> None:
    a_store(home, live(10, rpm=60))
    assert "last tried 10 min ago: is a worker running?" in renderlane("quota").stdout


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "not read yet"),  # the built-in simulator would be asked
        ({"GEMINI_API_KEY": "AQ.key"}, "off (RENDERLANE_LIVE_QUOTA)"),
        ({"RENDERLANE_LIVE_QUOTA": "off"}, "off (RENDERLANE_LIVE_QUOTA)"),
        ({"GEMINI_API_KEY": "AQ.key", "RENDERLANE_LIVE_QUOTA": "limits@http://127.0.0.1:9"}, "not read yet"),
    ],
)
def test_without_a_reading_it_is_said_why(
    home: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    a_store(home)
    assert message in " ".join(renderlane("quota").stdout.split())


@pytest.mark.parametrize("columns", [60, 80])
def test_it_fits_a_narrow_terminal(home: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("RENDERLANE_QUOTA", "*=concurrency:200,spend10m_usd:200")
    reading = live(rpm=20_000, tpm=20_000_000, rpd=None).with_usage({PRO: {"tpm": 12_345_678}}, now())
    a_store(home, reading, {PRO: Calendar().close(LATER, "quota_day").to_json()})
    shown = renderlane("quota").stdout
    assert max(len(line) for line in shown.splitlines()) <= columns
    for whole in ("20,000,000", "unlimited", "configured", "$200.0000"):
        assert whole in shown


def test_a_home_that_never_ran_has_no_quota(home: Path) -> None:
    result = renderlane("quota")
    assert result.exit_code == 2
    assert "renderlane up" in result.stderr
    assert not home.exists()


async def _in_a_home(story: Callable[[Home], Awaitable[None]], limits: str) -> None:
    with worker_home.events(worker_home.read_settings()) as events:
        async with running(worker_home.read_settings(), 0, Simulated(limits, "fixed:0"), events) as home:
            await story(home)


def test_the_simulator_s_limits_are_live_from_the_start_and_follow_it(home: Path) -> None:
    outputs: list[str] = []

    async def story(running_home: Home) -> None:
        outputs.append((await asyncio.to_thread(renderlane, "quota", "--json")).stdout)
        assert running_home.simulator_url is not None
        async with httpx2.AsyncClient(base_url=running_home.simulator_url, trust_env=False) as simulator:
            await simulator.post("/control/limits", json={"limits": "*=rpm:600"})
        await read_live_quota(running_home.worker.ports, every=timedelta(0))
        outputs.append((await asyncio.to_thread(renderlane, "quota", "--json")).stdout)

    asyncio.run(_in_a_home(story, "*=rpm:60"))
    rows = [{json_line["model"]: json_line for json_line in json_lines(text)}[PRO] for text in outputs]
    assert [item["limits"]["rpm"]["value"] for item in rows] == [60, 600]
    assert [item["limits"]["rpm"]["source"] for item in rows] == ["live", "live"]
    assert rows[0]["project_used"]["rpm"] == 0
    events = [json.loads(line) for line in (home / "events.jsonl").read_text().splitlines()]
    changed = [event for event in events if event["message"] == "live_limit_changed"]
    assert {(item["dimension"], item["old"], item["new"]) for item in changed} == {("rpm", 60, 600)}


@pytest.mark.parametrize(
    ("environment", "limits"),
    [({"RENDERLANE_LIVE_QUOTA": "off"}, "*=rpm:60"), ({"RENDERLANE_QUOTA": "*=rpm:6"}, "")],
    ids=["switched off", "only RENDERLANE_QUOTA names limits"],
)
def test_the_simulator_is_not_asked_where_that_is_meant(
    home: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], limits: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    outputs: list[str] = []

    async def story(running_home: Home) -> None:
        outputs.append((await asyncio.to_thread(renderlane, "quota", "--json")).stdout)

    asyncio.run(_in_a_home(story, limits))
    row = {json_line["model"]: json_line for json_line in json_lines(outputs[0])}[PRO]
    assert row["live_tried_at"] is None
    assert row["limits"].get("rpm", {}).get("value") == (6 if "RENDERLANE_QUOTA" in environment else None)


def test_what_is_known_of_background_calls_stands_below_the_limits(home: Path) -> None:
    a_store(home)
    a_refused_proof(home)
    text = renderlane("quota").stdout
    assert f"background calls of standard/{PRO}: refused for 1 h" in " ".join(text.split())
    assert "background is not supported" in " ".join(text.split())
    shown = {one["model"]: one["background"] for one in json_lines(renderlane("quota", "--json").stdout)}
    assert shown[PRO]["standard"]["state"] == "refused"
    assert shown[LITE] == {}


def test_a_refusal_of_background_calls_is_reset_by_hand(home: Path) -> None:
    a_store(home)
    a_refused_proof(home)
    done = renderlane("flags", "reset", f"background:standard/{PRO}", "--reason", "the provider announced it")
    assert "which was refused: the next call is a canary" in done.stdout
    (of_pro,) = [one for one in json_lines(renderlane("quota", "--json").stdout) if one["model"] == PRO]
    assert of_pro["background"]["standard"]["state"] == "unproven"
    wrong = renderlane("flags", "reset", "background:batch/no-model", "--reason", "x")
    assert wrong.exit_code == 2
    assert "allowed: standard/" in " ".join(wrong.stderr.split())


def a_refused_proof(home: Path) -> None:
    proof = BackgroundProof().refused("background is not supported", now() - timedelta(hours=1))
    document = Create(BACKGROUND, Proofs({f"standard/{PRO}": proof}).to_json())

    async def write() -> None:
        async with worker_home.reading(worker_home.read_settings()) as store:
            await store.commit(document)

    asyncio.run(write())


def test_limits_are_those_of_the_worker_whatever_this_shell_has(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_store(home)
    worker = Enforced({"*": Limits(rpm=30, concurrency=2)}, 50)

    async def write() -> None:
        async with worker_home.reading(worker_home.read_settings()) as store:
            await store.commit(Create(PUMP, {"enforces": worker.to_json()}))

    asyncio.run(write())
    assert row(renderlane("quota").stdout, "rpm")[:2] == ["rpm", "30"]
    monkeypatch.setenv("RENDERLANE_QUOTA", "*=rpm:30,concurrency:2")
    assert "ignored" not in renderlane("quota").stderr
    monkeypatch.setenv("RENDERLANE_QUOTA", "*=rpm:999")
    result = renderlane("quota")
    assert row(result.stdout, "rpm")[:2] == ["rpm", "30"]
    assert "RENDERLANE_QUOTA of this shell is ignored" in result.stderr
