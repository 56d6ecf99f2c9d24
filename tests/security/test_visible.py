"""No text of a caller steers an operator's terminal, or ends a line of a log that is one JSON object a line."""

from __future__ import annotations

import asyncio
import io
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.cli.views.terminal import VisibleConsole
from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.adapters.telemetry.json_log import JsonSignals
from shared.config import Settings
from shared.core.lifecycle import request_record
from shared.core.messages.render_request import InvalidRequest, parse_message
from shared.core.observability import events
from shared.core.validation.visible import json_line, json_visible, visible
from shared.core.values.documents import Create
from tests.builders import NOW, a_record, a_request, an_attempt
from tests.cli.conftest import renderlane
from tests.fakes.virtual_clock import VirtualClock

ATTACKS = (
    "\x1b]0;owned\x07", "\x1b[2J", "\x9b31m", "\x07", "\x08\x08", "\x7f", "\u202eevil", "\u2066x\u2069", "a\u2028b",
    "a\u2029b", "a\x85b", "\u200b", "\ufeff", "\U000e0041", "a\rb", "a\x0bb\x0cc", "\u061c",
)  # fmt: skip
READABLE = "Größe, naïve, 日本語, עברית, العربية, 🏳️‍🌈 👩‍👩‍👧 «»…\u00a0—"


def steering(text: str, but: str = "\n") -> set[str]:
    """By Unicode's own categories, not by our list."""
    characters = {name for name in text if unicodedata.category(name) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    return characters - set(but) - {"\u200c", "\u200d"}


@given(st.text())
def test_nothing_that_steers_is_left(text: str) -> None:
    assert steering(visible(text), but="") == set()
    assert steering(visible(text, keep="\n")) == set()
    line = json_line({"a": text})
    assert steering(line, but="") == set()
    assert json.loads(line) == {"a": text}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_shown_and_not_done(attack: str) -> None:
    assert steering(visible(attack), but="") == set()
    assert "\\" in visible(attack)
    assert len(json_line([attack]).splitlines()) == 1


def test_every_letter_stays_readable() -> None:
    assert visible(READABLE) == READABLE
    assert json.loads(json_line(READABLE)) == READABLE
    assert "日本語" in json_line(READABLE)
    assert json_visible('{\n  "a": "é"\n}') == '{\n  "a": "é"\n}'


def test_a_table_of_the_command_holds_no_control_character() -> None:
    stream = io.StringIO()
    VisibleConsole(file=stream, width=100, markup=False).print("".join(ATTACKS), "a\nb")
    assert steering(stream.getvalue()) == set()
    assert "a\nb" in stream.getvalue()


def test_an_event_is_one_line_for_every_reader() -> None:
    stream = io.StringIO()
    JsonSignals(stream, VirtualClock(), "local").emit(
        events.BAD_MESSAGE, function="intake", message_id="1", reason="".join(ATTACKS)
    )
    assert len(stream.getvalue().splitlines()) == 1
    assert json.loads(stream.getvalue())["reason"] == "".join(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("place", ["field", "label", "value"])
def test_a_rejection_holds_no_control_character(attack: str, place: str) -> None:
    payload: dict[str, Any] = {"request_id": "r-1", "prompt": "x"}
    hostile: dict[str, dict[str, Any]] = {
        "field": {f"n{attack}": 1},
        "label": {"labels": {f"__{attack}__": "v"}},
        "value": {"lane": f"standard{attack}"},
    }
    payload |= hostile[place]
    with pytest.raises(InvalidRequest) as rejected:
        raise (
            invalid_request
            if isinstance(invalid_request := _parsed(payload), InvalidRequest)
            else InvalidRequest((), None)
        )
    assert steering("\n".join(str(problem) for problem in rejected.value.problems)) == set()


def _parsed(payload: dict[str, Any]) -> object:
    try:
        return parse_message(json.dumps(payload).encode())
    except InvalidRequest as error:
        return error


@pytest.mark.parametrize(
    "words",
    [
        ("status", "r-1", "--prompt"),
        ("status", "r-1", "--json"),
        ("packet", "r-1", "--with-prompt"),
        ("packet", "r-1", "--with-prompt", "--json"),
        ("list",),
    ],
    ids=" ".join,
)
def test_no_verb_writes_a_callers_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("RENDERLANE_HOME", str(tmp_path / "home"))
    hostile = "a cube " + "".join(ATTACKS)

    async def prepare() -> None:
        store = wiring.store(Settings.read({"RENDERLANE_HOME": str(tmp_path / "home")}, tmp_path), SystemClock())
        begun, attempt = an_attempt(a_request(request_id="r-1", prompt=hostile), now=NOW)
        changed = {**attempt.data, "outcome": {"code": "x", "message": hostile, "advice": hostile}}
        await store.commit(Create(begun.path, begun.data), Create(attempt.path, changed))
        await store.commit(
            Create(request_record.path("r-2"), a_record(a_request(request_id="r-2", prompt=hostile), now=NOW))
        )
        await store.close()

    asyncio.run(prepare())
    result = renderlane(*words)
    assert result.exit_code == 0, result.output
    assert steering(result.stdout) == set()


@pytest.mark.parametrize("columns", ["0", "", "-1", "x", "00"])
def test_a_width_of_nothing_is_no_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """COLUMNS=0 printed an empty queue. Report: https://github.com/rapid7/rex-text/pull/71"""
    monkeypatch.setenv("RENDERLANE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", columns)

    async def prepare() -> None:
        store = wiring.store(Settings.read({"RENDERLANE_HOME": str(tmp_path / "home")}, tmp_path), SystemClock())
        await store.commit(Create(request_record.path("r-1"), a_record(a_request(request_id="r-1"), now=NOW)))
        await store.close()

    asyncio.run(prepare())
    for verb in ("list", "cost", "flags"):
        assert renderlane(verb).stdout.strip(), verb
    assert "r-1" in renderlane("list").stdout
