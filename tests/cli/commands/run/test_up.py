"""`renderlane up` and `renderlane simulator`: their line, their end, and what keeps them from starting."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scripts.bench.harness import rig
from scripts.cli.commands.run import up as up_command
from shared.config import Settings
from shared.core.values.money import usd
from tests.cli.conftest import ROOT, environment, json_lines, renderlane, started

NOWHERE = "http://127.0.0.1:9"
FOREGROUND = {"RENDERLANE_BACKGROUND": "off"}
"""Its attempts need the worker until their image comes: those are drained."""
QUICK = ("--port", "0", "--latency", "fixed:0.05")


def test_it_says_one_line_when_ready_and_stops_cleanly(home: Path) -> None:
    with started(home, "up", *QUICK) as up:
        address = re.match(
            r"renderlane ready at (http://127\.0\.0\.1:\d+) \| SIMULATOR: .*events\.jsonl\n", up.first_line
        )
        assert address, up.first_line
        assert httpx2.get(f"{address[1]}/healthz", trust_env=False).status_code == 200
        again = renderlane("up", "--port", "0")
        assert again.exit_code == 2
        assert "RENDERLANE_HOME" in again.stderr
        assert up.stop() == 0
        assert up.rest() == ""
    assert "stopping: 0 attempts in flight" in "".join(up.errors)
    assert (home / "events.jsonl").exists()


def test_what_was_submitted_before_the_start_is_rendered_after_it(home: Path) -> None:
    early = renderlane("submit", "a red cube", "--id", "early", "--wait", "--timeout", "0.2")
    assert early.exit_code == 3
    assert "no worker is running; start `renderlane up`" in early.stderr
    assert "Timed out after 0.2 s with 1 unfinished (1 sent)" in early.stderr
    with started(home, "up", *QUICK) as up:
        assert renderlane("submit", "a red cube", "--id", "early", "--wait", "--timeout", "60").exit_code == 0
        assert up.stop(signal.SIGINT) == 0


def test_a_stop_waits_for_attempts_and_says_so(home: Path) -> None:
    with started(home, "up", "--port", "0", "--latency", "fixed:4", **FOREGROUND) as up:
        renderlane("submit", "a red cube", "--id", "in-flight")
        _until_rendering("in-flight")
        assert up.stop() == 0
    errors = "".join(up.errors)
    assert "stopping: 1 attempt in flight" in errors
    assert "the provider" not in errors
    (document,) = json_lines(renderlane("status", "in-flight", "--raw").stdout)
    assert document["status"] == "succeeded"


def test_a_stop_leaves_a_call_in_the_background_with_the_provider_and_says_so(home: Path, tmp_path: Path) -> None:
    with started(tmp_path / "provider", "simulator", "--port", "0", "--latency", "fixed:6") as simulator:
        address = re.search(r"http://127\.0\.0\.1:\d+", simulator.first_line)
        assert address, simulator.first_line
        provider = {"GEMINI_API_KEY": "AQ.test", "GOOGLE_GEMINI_BASE_URL": address[0], "RENDERLANE_BACKGROUND": "on"}
        with started(home, "up", "--port", "0", **provider) as up:
            renderlane("submit", "a red cube", "--id", "in-flight")
            _until_awaiting("in-flight")
            assert up.stop() == 0
        errors = "".join(up.errors)
        assert "stopping: 0 attempts in flight, nothing to wait for" in errors
        assert "1 request awaits the provider; it is collected at the next start\n" in errors
        (left,) = json_lines(renderlane("status", "in-flight", "--raw").stdout)
        assert left["status"] == "rendering"
        with started(home, "up", "--port", "0", **provider) as up:
            assert renderlane("submit", "a red cube", "--id", "in-flight", "--wait", "--timeout", "60").exit_code == 0
            assert up.stop() == 0
        (collected,) = json_lines(renderlane("status", "in-flight", "--raw").stdout)
        assert (collected["status"], collected["attempt_count"]) == ("succeeded", 1)
        assert collected["cost_unknown_attempts"] == 0
        charged = [call["cost_micros"] for call in rig.calls(address[0]) if call["charged"]]
        assert [usd(micros) for micros in charged] == [collected["cost_usd"]]


def test_a_stop_says_that_the_built_in_simulator_forgets_its_calls(home: Path) -> None:
    with started(home, "up", "--port", "0", "--latency", "fixed:30", RENDERLANE_BACKGROUND="on") as up:
        renderlane("submit", "a red cube", "--id", "in-flight")
        _until_awaiting("in-flight")
        assert up.stop() == 0
    errors = "".join(up.errors)
    assert "1 request awaits the provider" in errors
    assert "the built-in simulator forgets" in errors


def test_a_closed_terminal_drains_like_a_stop(home: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and a started process ignores it too
    with started(home, "up", "--port", "0", "--latency", "fixed:3", **FOREGROUND) as up:
        renderlane("submit", "a red cube", "--id", "in-flight")
        _until_rendering("in-flight")
        up.process.send_signal(signal.SIGHUP)
        up.process.send_signal(signal.SIGHUP)  # a shell that goes may send several
        assert up.process.wait(120) == 0
    (document,) = json_lines(renderlane("status", "in-flight", "--raw").stdout)
    assert (document["status"], document["attempt_count"]) == ("succeeded", 1)


def test_a_key_of_another_product_is_ignored_and_that_is_said(home: Path) -> None:
    with started(home, "up", *QUICK, GOOGLE_API_KEY="AIza-of-another-product") as up:
        assert "SIMULATOR" in up.first_line
        assert up.stop() == 0
    text = "".join(up.errors)
    assert "GOOGLE_API_KEY is set but ignored" in text
    assert "GEMINI_API_KEY" in text
    assert "AIza" not in text


def test_two_homes_on_one_database_are_refused(home: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'shared.db'}"
    with started(home, "up", *QUICK, RENDERLANE_STORE=store) as up:
        with started(tmp_path / "other", "up", *QUICK, RENDERLANE_STORE=store) as second:
            assert second.first_line == ""
            assert second.process.wait(60) == 2
        assert "in use by another `renderlane up`" in "".join(second.errors)
        assert up.stop() == 0


@pytest.mark.parametrize(
    "variables",
    [
        {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "http_proxy": NOWHERE, "https_proxy": NOWHERE},
        {"ALL_PROXY": "socks5://127.0.0.1:9", "all_proxy": "socks5://127.0.0.1:9"},
        {"ALL_PROXY": NOWHERE, "NO_PROXY": "example.com"},
    ],
)
def test_the_built_in_simulator_is_reached_past_every_proxy(home: Path, variables: dict[str, str]) -> None:
    """Reports: https://github.com/urschrei/pyzotero/pull/375, https://github.com/AgentFlocks/flocks/pull/158"""
    with started(home, "up", "--port", "0", "--latency", "fixed:0.05", **variables) as up:
        assert renderlane("submit", "a red cube", "--wait", "--timeout", "60").exit_code == 0
        assert up.stop() == 0
    events = (home / "events.jsonl").read_text("utf-8")
    assert "unreadable" not in events


def test_a_killed_home_recovers_its_attempts(home: Path) -> None:
    with started(home, "up", "--port", "0", "--latency", "fixed:30", **FOREGROUND) as up:
        renderlane("submit", "a red cube", "--id", "killed")
        _until_rendering("killed")
        up.stop(signal.SIGKILL)
    with started(home, "up", *QUICK) as up:
        assert "recovered 1 attempt of an earlier run" in up.first_line
        assert up.stop() == 0


def test_waiting_can_be_broken_off(home: Path) -> None:
    # A parent that ignores SIGINT hands that down: the test is to hold under such a one too.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from scripts.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "submit", "a red cube", "--id", "left", "--wait"],
        cwd=ROOT, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as waiting:  # fmt: skip
        assert waiting.stderr is not None
        while "no worker is running" not in waiting.stderr.readline():
            pass
        time.sleep(0.5)
        waiting.send_signal(signal.SIGINT)
        _, errors = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    assert "the requests continue:  renderlane status left" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("variable", "value"),
    [("GEMINI_API_KEY", "AQ.something"), ("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9")],
)
@pytest.mark.parametrize("option", [("--limits", "*=rpm:60"), ("--latency", "fixed:1"), ("--seed", "7")])
def test_options_of_an_unused_simulator_are_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, option: tuple[str, str]
) -> None:
    monkeypatch.setenv(variable, value)
    result = renderlane("up", *option)
    assert result.exit_code == 2
    assert f"{option[0]} configures the built-in simulator" in result.stderr
    assert f"unset {variable}" in result.stderr
    assert value not in result.stderr


@pytest.mark.parametrize("option", [("--limits", "rpm:60"), ("--latency", "slow")])
@pytest.mark.parametrize("verb", ["up", "simulator"])
def test_a_misspelt_simulator_is_refused(home: Path, verb: str, option: tuple[str, str]) -> None:
    result = renderlane(verb, "--port", "0", *option)
    assert result.exit_code == 2
    assert option[0] in result.stderr


@pytest.mark.parametrize("verb", ["up", "simulator"])
def test_a_port_in_use_is_told_with_a_remedy(home: Path, verb: str) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        result = renderlane(verb, "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 2
    assert "--port 0" in result.stderr


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path, home: Path) -> None:
    home.write_text("a file stands in the way")
    result = renderlane("up", "--port", "0")
    assert result.exit_code == 2
    assert "RENDERLANE_HOME" in result.stderr


def test_the_simulator_alone_says_how_to_use_it(home: Path) -> None:
    with started(home, "simulator") as simulator:
        address = re.search(
            r"SIMULATOR ready at (\S+) .*GOOGLE_GEMINI_BASE_URL=(\S+) GEMINI_API_KEY=", simulator.first_line
        )
        assert address, simulator.first_line
        assert address[1] == address[2]
        assert httpx2.get(address[1], trust_env=False).status_code == 200
        assert simulator.stop() == 0
        assert simulator.rest() == ""


def _until_rendering(request_id: str) -> None:
    _until(request_id, lambda request: request["status"] == "rendering")


def _until_awaiting(request_id: str) -> None:
    """Until the provider has its call in the background."""
    _until(request_id, lambda request: request["status"] == "rendering" and request["collect_at"] is not None)


def _until(request_id: str, is_so: Callable[[dict[str, Any]], bool]) -> None:
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        documents = json_lines(renderlane("status", request_id, "--raw").stdout)
        if documents and is_so(documents[0]):
            return
        time.sleep(0.05)
    raise AssertionError(f"{request_id} never got so far")


def test_a_real_key_is_announced_and_not_used_without_a_yes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AQ.real")
    monkeypatch.setenv("RENDERLANE_DEFAULT_BUDGET", "5")
    result = renderlane("up", "--port", "0")
    assert result.exit_code == 2
    assert "LIVE: requests are rendered by Google and charged" in result.stderr
    assert "$5.000000 a day for each tenant" in result.stderr
    assert "--yes, or RENDERLANE_CONFIRM=live" in result.stderr
    assert not (home / "state.db").exists()


@pytest.mark.parametrize(("flags", "confirm"), [(["--yes"], ""), ([], "live")])
def test_a_confirmed_real_key_starts(
    home: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], confirm: str
) -> None:
    started: list[Settings] = []

    async def note(settings: Settings, *_: object) -> None:
        started.append(settings)

    monkeypatch.setattr(up_command, "_up", note)
    monkeypatch.setenv("GEMINI_API_KEY", "AQ.real")
    monkeypatch.setenv("RENDERLANE_CONFIRM", confirm)
    assert renderlane("up", *flags).exit_code == 0
    assert len(started) == 1


def test_a_confirmation_in_other_words_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENDERLANE_CONFIRM", "yes")
    result = renderlane("up")
    assert result.exit_code == 2
    assert "RENDERLANE_CONFIRM" in result.stderr
