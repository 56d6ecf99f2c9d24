"""`renderlane packet`: what support asks for, and a curl line that a provider takes."""

from __future__ import annotations

import json
import shlex
from typing import Any

import httpx2
import pytest

from shared.core.observability import repro_packet
from shared.core.provider.outcome import Outcome
from shared.core.records.attempt import AttemptRecord
from shared.core.values.route import Route
from tests.builders import NOW
from tests.cli.conftest import renderlane, started

MARKER = 'zebra-crossing-in-the-rain-4711, it\'s "quoted"'


@pytest.fixture(scope="module")
def failed_home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A home on a simulator of its own, whose first request was refused and whose second succeeded."""
    home = tmp_path_factory.mktemp("packet") / "home"
    with started(home, "simulator", "--port", "0", "--latency", "fixed:0.02") as simulator:
        url = next(word for word in simulator.first_line.replace("|", " ").split() if word.startswith("http"))
        with started(home, "up", "--port", "0", GOOGLE_GEMINI_BASE_URL=url, GEMINI_API_KEY="AQ.key-of-the-test") as up:
            assert up.first_line, "".join(up.errors)
            yield home, url


@pytest.fixture
def in_failed_home(failed_home: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    home, url = failed_home
    monkeypatch.setenv("RENDERLANE_HOME", str(home))
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", url)
    monkeypatch.setenv("GEMINI_API_KEY", "AQ.key-of-the-test")
    return str(url)


def of(request_id: str, *options: str) -> dict[str, Any]:
    result = renderlane("packet", request_id, "--json", *options)
    assert result.exit_code == 0, result.stderr
    payload: dict[str, Any] = json.loads(result.stdout)
    return payload


def sent_by(curl: str) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Address, headers and body, as a shell would read the line."""
    words = shlex.split(curl)
    assert words[:2] == ["curl", "-sS"]
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    return words[2], headers, json.loads(words[words.index("-d") + 1])


@pytest.mark.usefixtures("in_failed_home")
def test_the_packet_of_a_refused_request_names_every_item_of_the_list() -> None:
    renderlane("submit", "[refuse] " + MARKER, "--id", "refused-1", "--wait")
    made = of("refused-1")
    assert made["model"] == "gemini-nano-banana-2.1"
    assert made["route"] == {"lane": "standard", "model": "gemini-nano-banana-2.1", "image_size": "1K"}
    assert made["key_kind"] == "auth"
    assert made["project"] == "local"
    assert made["attempt"] == 1
    assert made["outcome"]["code"] == "refused"
    assert made["http_status"] is not None
    assert made["provider_request_id"]
    for name in ("image_size", "outcome", "started_at", "ended_at", "latency_ms", "trace_id", "contract"):
        assert made[name], name
    assert made["billing"].keys() >= {"usage", "cost_usd", "cost_basis", "price_source", "price_checked"}
    assert made["billing"]["price_source"]


def test_the_curl_line_repeats_the_call_and_holds_no_key(in_failed_home: str) -> None:
    renderlane("submit", MARKER, "--id", "made-1", "--wait")
    made = of("made-1", "--with-prompt")
    assert made["prompt"] == MARKER
    assert "AQ.key" not in json.dumps(made)
    url, headers, body = sent_by(made["curl"])
    assert url == f"{in_failed_home}/v1beta/interactions"
    assert headers["x-goog-api-key"] == "$GEMINI_API_KEY"
    again = httpx2.post(url, json=body, headers=headers | {"x-goog-api-key": "AQ.key-of-the-test"}, trust_env=False)
    assert again.status_code == 200, again.text
    assert again.json()["model"].removeprefix("models/") == made["model_served"].removeprefix("models/")


@pytest.mark.usefixtures("in_failed_home")
def test_the_prompt_is_shown_on_request_only() -> None:
    renderlane("submit", MARKER, "--id", "made-2", "--wait")
    for options in ((), ("--json",)):
        output = renderlane("packet", "made-2", *options).stdout
        assert "zebra" not in output
        assert "curl -sS" in output
    assert "zebra" in renderlane("packet", "made-2", "--with-prompt").stdout


@pytest.mark.usefixtures("in_failed_home")
def test_an_attempt_or_request_that_is_not_there_is_said_so() -> None:
    renderlane("submit", "a red cube", "--id", "made-3", "--wait")
    result = renderlane("packet", "made-3", "--attempt", "7")
    assert (result.exit_code, "no attempt 7; it has 1" in result.stderr) == (1, True)
    assert renderlane("packet", "nobody").exit_code == 1


def an_attempt(number: int, outcome: Outcome | None) -> AttemptRecord:
    return AttemptRecord(number, Route("standard", "m", "1K"), NOW, estimate_micros=1, outcome=outcome)


def test_without_a_number_the_last_attempt_that_failed_is_meant() -> None:
    attempts = [
        an_attempt(number, Outcome(code, "") if code else None)
        for number, code in enumerate(("timeout", "overload", "succeeded", None), 1)
    ]
    assert repro_packet.chosen(attempts, None) == attempts[1]
    assert repro_packet.chosen(attempts[2:3], None) == attempts[2]
    assert repro_packet.chosen(attempts, 3) == attempts[2]
    assert repro_packet.chosen([], None) is None
