"""`renderlane gateway`: what is missing is said, what is found is written down, the small test really calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scripts.cli.data import worker_home
from shared.core.catalogue.gateway_proof import ITEMS, TEST
from shared.core.routing.flag import Flag
from shared.flows.operations import flags
from tests.builders import CATALOGUE_FILE
from tests.cli.conftest import json_lines, renderlane, started
from tests.fakes.memory import RecordedSignals

KEY = "sk-test-key-of-nobody-0123456789"
VARIABLE = "RENDERLANE_GATEWAY_KEY_LAOZHANG"
PRO = "gemini-3-pro-image"


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway on a socket; its address."""
    home = tmp_path_factory.mktemp("gateway")
    with started(home, "simulator", "--gateway", "--latency", "fixed:0", "--pictures", "cached") as simulator:
        assert simulator.first_line.startswith("GATEWAY SIMULATOR"), "".join(simulator.errors)
        yield simulator.first_line.split()[4]


@pytest.fixture
def catalogue(home: Path, tmp_path: Path, stand_in: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped catalogue with the stand-in's address."""
    path = tmp_path / "catalogue.toml"
    path.write_text(CATALOGUE_FILE.read_text("utf-8").replace("https://api.laozhang.ai", stand_in))
    monkeypatch.setenv("RENDERLANE_CATALOGUE", str(path))
    return path


def record(item: str) -> None:
    result = renderlane("gateway", "record", "laozhang", item, "--evidence", f"the console says {item}", "--by", "ann")
    assert result.exit_code == 0, result.stderr


def test_a_gateway_is_off_and_says_what_is_missing(home: Path) -> None:
    listed = renderlane("gateway")
    assert listed.exit_code == 0
    assert listed.stdout.startswith("laozhang")
    assert "off" in listed.stdout
    assert "no key" in listed.stdout
    assert all(f"{item} is missing" in listed.stdout for item in ITEMS)
    assert not home.exists(), "looking makes no home"


def test_the_list_as_json_is_one_object_a_gateway(home: Path) -> None:
    for arguments in (("gateway", "--json"), ("gateway", "list", "--json"), ("gateway", "show", "laozhang", "--json")):
        (row,) = json_lines(renderlane(*arguments).stdout)
        assert (row["gateway"], row["on"], row["key"]) == ("laozhang", False, False)
        assert row["lacks"] == dict.fromkeys(ITEMS, "is missing")
        assert row["prices_usd"][PRO] == "0.090000"


def test_all_items_and_a_test_that_passed_turn_it_on(
    catalogue: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    for item in [name for name in ITEMS if name != TEST]:
        record(item)
    assert f"LACKING  {TEST}" in renderlane("gateway", "show", "laozhang").stdout
    proved = renderlane("gateway", "prove", "laozhang", "--by", "ann", "--yes", "--json")
    assert proved.exit_code == 0, proved.stderr
    (facts,) = json_lines(proved.stdout)
    assert facts["passed"] is True
    assert (facts["http_status"], facts["returned_model"], facts["cost_usd"]) == (200, PRO, "0.090000")
    assert len(facts["prompt_sha256"]) == 64
    assert facts["latency_ms"] >= 0
    (row,) = json_lines(renderlane("gateway", "show", "laozhang", "--json").stdout)
    assert row["on"] is True
    assert row["lacks"] == {}
    assert row["proof"]["price"]["by"] == "ann"
    assert "ok       logged-test" in renderlane("gateway", "show", "laozhang").stdout
    assert KEY not in json.dumps(row)


def test_a_test_that_fails_is_on_record_and_turns_nothing_on(
    catalogue: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "AIza-a-key-that-the-stand-in-refuses")
    proved = renderlane("gateway", "prove", "laozhang", "--by", "ann", "--yes")
    assert proved.exit_code == 1
    assert "credential" in proved.stdout
    (row,) = json_lines(renderlane("gateway", "show", "laozhang", "--json").stdout)
    assert row["lacks"][TEST].endswith(
        "failed: credential: " + row["proof"][TEST]["facts"]["outcome"].partition(": ")[2]
    )


def test_the_logged_test_is_charged_and_so_asks_first(
    catalogue: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    result = renderlane("gateway", "prove", "laozhang", "--by", "ann", stdin="n\n")
    assert result.exit_code == 1
    assert "$0.090000 by the catalogue. Continue?" in result.stdout
    assert json_lines(renderlane("gateway", "--json").stdout)[0]["proof"][TEST] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "nobody"), "found 'nobody'; allowed: laozhang"),
        (("record", "laozhang", "logged-test", "--evidence", "x", "--by", "ann"), "'logged-test' is not one of"),
        (("record", "laozhang", "price", "--evidence", " ", "--by", "ann"), "evidence and who gives it"),
        (("record", "laozhang", "price", "--evidence", "x" * 2_001, "--by", "ann"), "at most 2,000"),
        (("prove", "laozhang", "--by", "ann", "--yes"), f"{VARIABLE}: found nothing"),
        (("prove", "laozhang", "--by", "ann", "--yes", "--model", "gpt"), "found 'gpt'; allowed: gemini-3-pro-image"),
    ],
)
def test_wrong_usage_is_told(home: Path, arguments: tuple[str, ...], message: str) -> None:
    result = renderlane("gateway", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_key_of_a_gateway_that_nobody_knows_is_refused_at_start(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENDERLANE_GATEWAY_KEY_ELSEWHERE", KEY)
    result = renderlane("up", "--port", "0")
    assert result.exit_code == 2
    assert "RENDERLANE_GATEWAY_KEY_ELSEWHERE" in result.stderr
    assert "allowed: laozhang" in result.stderr
    assert KEY not in result.stderr


async def trip_use_gateway() -> None:
    settings = worker_home.read_settings()
    async with worker_home.reading(settings) as store:
        now = datetime.now(UTC)
        flag = Flag("use-gateway-ann", "use-gateway", "ann", "a drill", now, now + timedelta(hours=1))
        await flags.trip(store, RecordedSignals(), flag)


def test_a_home_renders_through_a_proven_gateway_on_call_s_word(
    catalogue: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the proof to the bill, through a worker in a process of its own."""
    monkeypatch.setenv(VARIABLE, KEY)
    for item in [name for name in ITEMS if name != TEST]:
        record(item)
    assert renderlane("gateway", "prove", "laozhang", "--by", "ann", "--yes").exit_code == 0
    asyncio.run(trip_use_gateway())
    path = home.parent / "requests.jsonl"
    line = {"request_id": "r-1", "prompt": "a red cube", "model": PRO, "image_size": "4K", "allow": {"gateway": True}}
    path.write_text(json.dumps(line) + "\n")
    settings = {"RENDERLANE_CATALOGUE": str(catalogue), VARIABLE: KEY}
    with started(home, "up", "--port", "0", "--latency", "fixed:0", **settings) as up:
        assert up.first_line, "".join(up.errors)
        result = renderlane("submit", str(path), "--wait", "--raw")
    assert result.exit_code == 0, result.stdout + result.stderr
    (request,) = json_lines(result.stdout)
    assert (request["route"]["lane"], request["cost_usd"]) == ("gateway", "0.090000")
    (attempt,) = request["attempts"]
    assert (attempt["contract"], attempt["operating_owner"]) == ("gateway:laozhang", "laozhang.ai")
    assert request["receipt"]["delivered"]["image_size"] == "4K"
