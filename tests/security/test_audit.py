"""What an operator does by hand is an event of the home, by the account that did it."""

from __future__ import annotations

import asyncio
import getpass
import json
from pathlib import Path

import pytest

from scripts.cli.data import worker_home
from scripts.cli.data.steer import audit
from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.config import InvalidSetting, Settings
from shared.core.lifecycle import request_record
from shared.core.values.documents import Create
from tests.builders import NOW, a_record, a_request, an_attempt
from tests.cli.conftest import renderlane


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RENDERLANE_HOME", str(tmp_path / "home"))

    async def prepare() -> None:
        store = wiring.store(Settings.read({"RENDERLANE_HOME": str(tmp_path / "home")}, tmp_path), SystemClock())
        begun, attempt = an_attempt(a_request(request_id="r-1", prompt="a secret cube"), now=NOW)
        await store.commit(Create(begun.path, begun.data), Create(attempt.path, attempt.data))
        await store.commit(Create(request_record.path("r-2"), a_record(a_request(request_id="r-2"), now=NOW)))
        await store.close()

    asyncio.run(prepare())
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("words", "action", "request_id"),
    [
        (("cancel", "r-1"), "cancel", "r-1"),
        (("cancel", "--status", "queued", "--yes"), "cancel", "r-2"),
        (("budget", "web", "--limit", "5"), "budget", None),
        (("tenant", "web", "--weight", "2"), "tenant-weight", None),
        (("status", "r-1", "--prompt"), "show-prompt", "r-1"),
        (("packet", "r-1", "--with-prompt"), "show-prompt", "r-1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_deed_by_hand_is_an_event(home: Path, words: tuple[str, ...], action: str, request_id: str | None) -> None:
    result = renderlane(*words)
    has_begun = words == ("cancel", "r-1")  # it ends as it ends: "not yet"
    assert result.exit_code == (3 if has_begun else 0), result.output
    text = (home / "events.jsonl").read_text("utf-8")
    (event,) = [item for item in map(json.loads, text.splitlines()) if item["message"] == "operated"]
    assert (event["action"], event["request_id"], event["actor"]) == (action, request_id, getpass.getuser())
    assert "secret" not in text


@pytest.mark.parametrize("words", [("status", "r-1"), ("budget", "web"), ("tenant", "web"), ("packet", "r-1")])
def test_a_look_is_none(home: Path, words: tuple[str, ...]) -> None:
    renderlane(*words)
    assert not (home / "events.jsonl").exists()


def test_trouble_with_the_events_undoes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(settings: Settings) -> None:
        raise InvalidSetting("it cannot be written")

    monkeypatch.setattr(worker_home, "events", closed)
    result = renderlane("budget", "web", "--limit", "5")
    assert result.exit_code == 0
    assert "could not write this to the events" in result.stderr


def test_an_account_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert audit.account().startswith("uid ")
