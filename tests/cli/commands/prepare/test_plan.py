"""`renderlane plan`."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.data import worker_home
from shared.core.limits.live_quota import PATH, LiveLimits, LiveQuota
from shared.core.values.documents import Create
from shared.core.values.money import usd
from tests.cli.conftest import renderlane

BANANA = "gemini-nano-banana-2.1"
AT = ("--at", "2026-12-01T09:00:00Z")
SMALL = ("--backlog", "40", "--limits", "*=rpm:20", *AT)


def planned(*arguments: str) -> dict[str, Any]:
    result = renderlane("plan", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    payload: dict[str, Any] = json.loads(result.stdout)
    return payload


def refused(*arguments: str) -> str:
    result = renderlane("plan", *arguments)
    assert result.exit_code == 2
    return result.stderr


def test_a_plan_names_time_waits_cost_and_what_holds_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = renderlane("plan", *SMALL, "--of", "final:2K=1,final:4K=1")
    assert result.exit_code == 0
    assert max(len(line.rstrip()) for line in result.stdout.splitlines()) <= 80
    for part in ("as asked", "one size lower", "flex lane", "batch lane", "all started after", "wait normal p99",
                 "cost, estimate", "idle quota", "rpm", "24 h target", "rpm 20 (--limits)"):  # fmt: skip
        assert part in result.stdout


def test_the_same_plan_as_one_object(home: Path) -> None:
    plan = planned(*SMALL)
    standard, batch = plan["alternatives"]
    assert (standard["name"], batch["name"]) == ("as asked", "batch lane")
    assert 60 <= standard["course"]["begun"] < 67
    assert standard["cost_usd"]["listed"] == usd(40 * 33_600)
    assert batch["course"] is None
    assert plan["limits"][BANANA]["rpm"] == {"value": 20, "source": "--limits", "at": None}
    assert plan == planned(*SMALL)


def test_what_never_begins_is_null(home: Path, tmp_path: Path) -> None:
    line = {"prompt": "a lighthouse", "deadline": "2026-12-01T09:00:10Z"}
    file = tmp_path / "load.jsonl"
    file.write_text("\n".join(json.dumps(line | {"request_id": f"r-{number}"}) for number in range(30)))
    course = planned(str(file), "--limits", "*=rpm:20", *AT)["alternatives"][0]["course"]
    assert course["unrendered"] == 10
    assert course["waits"]["normal"]["p99"] is None


def test_limits_come_from_the_configuration_where_nothing_was_started(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RENDERLANE_QUOTA", "*=rpm:30")
    limits = planned("--backlog", "5", "--limits", "*=rpd:100", *AT)["limits"][BANANA]
    assert {name: (item["value"], item["source"]) for name, item in limits.items()} == {
        "rpm": (30, "configured"),
        "rpd": (100, "--limits"),
    }
    assert not home.exists()


def test_the_live_reading_holds_over_the_configuration(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENDERLANE_QUOTA", "*=rpm:30")
    home.mkdir()
    (home / "state.db").touch()
    read_at = datetime(2026, 12, 1, 8, 57, tzinfo=UTC)
    reading = LiveQuota(read_at).with_limits({BANANA: LiveLimits({"rpm": 50}, read_at)}, read_at)

    async def write() -> None:
        async with worker_home.reading(worker_home.read_settings()) as store:
            await store.commit(Create(PATH, reading.to_json()))

    asyncio.run(write())
    result = renderlane("plan", "--backlog", "5", *AT)
    assert "rpm 50 (live, 3 min old)" in result.stdout


def test_a_limit_that_nobody_knows_is_said_to_be_taken_as_none(home: Path) -> None:
    assert "no known rate limit" in renderlane("plan", "--backlog", "5", *AT).stdout


def test_arrivals_and_curves_and_backlogs_add_up(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "curve.csv"
    file.write_text("minute,requests\n0,3\n1,4\n")
    load = planned("--backlog", "5", "--curve", str(file), "--arrivals", "10/m", "--for", "1m", "--even", *AT)["load"]
    assert load["requests"] == 22


def test_what_would_be_rejected_is_told_by_line(home: Path) -> None:
    result = renderlane("plan", "scripts/samples/requests.jsonl", *AT)
    assert result.exit_code == 0
    assert 'will be rejected: scripts/samples/requests.jsonl:20: image_size: found "2k"' in result.stderr


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_chart_is_drawn_by_its_ending(home: Path, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"plan.{ending}"
    assert renderlane("plan", *SMALL, "--of", "final:2K=1,draft=1", "--chart", str(file)).exit_code == 0
    assert file.read_bytes().startswith(b"\x89PNG" if ending == "png" else b"<?xml")


def test_a_chart_that_cannot_be_written_is_told(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "no-such-folder" / "plan.png"
    assert "cannot be written" in refused(*SMALL, "--chart", str(file))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a load: FILE"),
        (("a.jsonl", "--backlog", "3"), "give either FILE or a synthetic load"),
        (("no-such-file.jsonl",), "cannot be read"),
        (("--arrivals", "5/m"), "must be used together"),
        (("--arrivals", "999999/s", "--for", "9d"), "allowed: 200,000 in all"),
        (("--arrivals", "1/h", "--for", "1s"), "has no request"),
        (("--backlog", "3", "--mix", "urgent"), "--mix: found 'urgent'; allowed: interactive"),
        (("--backlog", "3", "--of", "8K"), "--of: found '8K'"),
        (("--backlog", "3", "--limits", "*=rpm:0"), "found 0 (--limits)"),
        (("--backlog", "3", "--limits", "rpm"), "--limits: found 'rpm'"),
        (("--backlog", "3", "--latency", "slow"), "--latency"),
        (("--backlog", "3", "--at", "2026-12-01"), "a time with a time zone"),
        (("--backlog", "3", "--chart", "plan.gif"), "ends in .svg or .png"),
    ],
)
def test_what_cannot_be_planned_is_told_what_is_allowed(home: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in " ".join(refused(*arguments).split())


def test_the_plan_that_the_documentation_shows_can_be_repeated(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = Path("docs/operations/planning-and-drills.md").read_text("utf-8")
    section = page.split("## Plan before a load test")[1].split("\n## ")[0]
    (line,) = [
        splitline for splitline in section.splitlines() if splitline.strip().startswith(".venv/bin/renderlane plan")
    ]
    result = renderlane(*shlex.split(line)[1:])
    assert result.exit_code == 0
    names = re.findall(r"^     (\w[\w ,]+?)  ", section, re.MULTILINE)
    assert {"requests", "all started after", "cost, estimate", "waits for"} <= set(names)
    assert all(f"\n {name} " in result.stdout for name in names)
