"""Every verb ends with the code that docs/cli.md lists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from scripts.cli.commands.prepare import drill
from scripts.cli.main import VERBS
from scripts.drills import assertions
from shared.core.lifecycle import head_changes
from shared.core.provider.outcome import CANCELLED
from shared.core.values.documents import Create
from tests.cli import stores
from tests.cli.conftest import json_lines, renderlane, started
from tests.drills import builders

REQUEST = '{"request_id": "asked", "prompt": "a cube"}'
BAD_REQUEST = '{"request_id": "asked", "prompt": "a cube", "model": "dalle-3"}'
DAYS = "usage_start_time,service.description,sku.description,cost,currency\n"

ON_A_RUNNING_HOME = [
    ("submit 'a cube' --id good --wait", 0),
    ("submit 'a cube [refuse]' --id refused --wait", 1),
    ("submit 'a cube' --id good --lane nonsense", 2),
    ("submit 'a cube' --model dalle-3", 2),
    ("submit 'a cube' --timeout 1", 2),
    ("submit 'a cube' --id later --group of-tests", 0),
    ("status good", 0),
    ("status --raw", 2),
    ("status refused", 1),
    ("status refused --json", 1),
    ("status refused --watch", 1),
    ("status good refused", 1),
    ("status nobody", 1),
    ("status 'two words'", 2),
    ("cancel good", 1),
    ("cancel refused --json", 1),
    ("cancel not-there-yet", 0),
    ("cancel", 2),
    ("cancel good --tenant web", 2),
    ("cancel --tenant nobody", 0),
    ("list", 0),
    ("list --tenant nobody", 0),
    ("list --status rejected", 0),
    ("list --status nonsense", 2),
    ("explain good", 0),
    ("explain nobody", 1),
    ("explain - < " + BAD_REQUEST, 1),
    ("explain - < " + REQUEST, 0),
    ("explain 'two words'", 2),
    ("trace good", 0),
    ("trace nobody", 1),
    ("trace 'two words'", 2),
    ("packet good", 0),
    ("packet good --attempt 9", 1),
    ("packet nobody", 1),
    ("packet good --attempt 0", 2),
    ("revive good", 1),
    ("revive nobody", 1),
    ("revive --outcome refused", 2),
    ("revive --status failed", 0),
    ("quota", 0),
    ("quota --nonsense", 2),
    ("flags", 0),
    ("flags history", 0),
    ("flags trip pause --tenant nobody --reason test --preview", 0),
    ("flags trip pause --to 1K --reason test", 2),
    ("flags reset nothing --reason test", 2),
    ("flags extend nothing --for 1h --reason test", 2),
    ("gateway", 0),
    ("gateway show laozhang", 0),
    ("gateway show nobody", 2),
    ("gateway prove laozhang --by ann --yes", 2),
    ("gateway record laozhang nonsense --evidence x --by ann", 2),
    ("tenant web", 0),
    ("tenant web --weight 0", 2),
    ("tenant web webhook list", 0),
    ("tenant web webhook remove we_nothing", 2),
    ("tenant web webhook replay nobody", 1),
    ("tenant web webhook replay", 2),
    ("cost", 0),
    ("cost --since 2026-02-01 --until 2026-01-01", 2),
    ("cost --reconcile EXPORT", 1),
    ("cost --reconcile NOWHERE", 2),
    ("budget web", 0),
    ("budget web --limit 5", 0),
    ("budget web --limit much", 2),
    ("budget nobody-yet --period month", 2),
    ("plan --backlog 5", 0),
    ("plan", 2),
    ("plan --backlog 5 --limits '*=rpm:0'", 2),
    ("plan --backlog 5 --at yesterday", 2),
    ("doctor --strict", 1),
    ("doctor --load nonsense", 2),
    ("doctor --yes", 2),
    ("doctor --live", 2),
    ("drill nonsense", 2),
    ("drill gone --seconds 1", 2),
    ("up --port nonsense", 2),
    ("simulator --latency nonsense", 2),
]
"""After `<`, what standard input has."""


@pytest.mark.usefixtures("in_running_home")
@pytest.mark.parametrize(("words", "code"), ON_A_RUNNING_HOME)
def test_a_verb_ends_with_the_code_that_is_documented(words: str, code: int, tmp_path: Path) -> None:
    for name, prompt in (("good", "a cube"), ("refused", "a cube [refuse]")):
        renderlane("submit", prompt, "--id", name, "--wait")
    export = tmp_path / "export.csv"
    export.write_text(f"{DAYS}2026-11-22,Gemini API,gemini-3-pro-image standard image,100,USD\n")
    verb, _, stdin = words.replace("EXPORT", str(export)).partition(" < ")
    ended = renderlane(*shlex.split(verb), stdin=stdin or None)
    assert ended.exit_code == code, ended.stdout + ended.stderr


def test_every_verb_is_in_the_table() -> None:
    assert {words.split()[0] for words, _ in ON_A_RUNNING_HOME} == set(VERBS)


def test_the_documented_rows_are_the_codes_that_occur() -> None:
    text = Path("docs/cli.md").read_text("utf-8").partition("## Exit codes")[2].partition("##")[0]
    rows = [line.split("|")[1:4] for line in text.splitlines() if line.startswith("| `")]
    documented = {re.findall(r"`(\w+)", verb)[0]: (one.strip() != "", three.strip() != "") for verb, one, three in rows}
    ones = {words.split()[0] for words, code in ON_A_RUNNING_HOME if code == 1} | {"gateway", "drill"}  # tested below
    assert {verb for verb, (has_one, _) in documented.items() if has_one} == ones
    assert {verb for verb, (_, has_three) in documented.items() if has_three} == {"submit", "cancel", "packet"}


READS = ("list", "status a", "quota", "cost", "budget web", "flags", "tenant web", "explain a", "trace a", "packet a")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("words", READS)
def test_a_home_that_nobody_started_is_a_wrong_configuration(words: str) -> None:
    ended = renderlane(*words.split())
    assert (ended.exit_code, "no worker has ever run here" in ended.stderr) == (2, True)


@pytest.mark.usefixtures("home")
def test_before_the_first_start_one_may_look_ahead() -> None:
    for words in ("gateway", "plan --backlog 5", "cancel not-yet", "doctor", "explain - < " + REQUEST):
        verb, _, stdin = words.partition(" < ")
        ended = renderlane(*verb.split(), stdin=stdin or None)
        assert ended.exit_code == 0, (words, ended.stderr)
    assert renderlane("doctor", "--strict").exit_code == 1


@pytest.mark.usefixtures("home")
def test_what_was_waited_for_and_has_not_happened_yet_is_three() -> None:
    waited = renderlane("submit", "a cube", "--id", "slow", "--wait", "--timeout", "0")
    assert (waited.exit_code, "Timed out" in waited.stderr) == (3, True)


def test_cancel_says_what_became_of_it_and_three_is_not_yet(home: Path) -> None:
    begun = stores.queued("begun", changes={"status": "rendering", "attempt_count": 1})
    over = head_changes.ended("cancelled", CANCELLED, stores.TRIPPED_AT)
    gone = Create("requests/web~gone", stores.queued("gone", tenant="web", changes=over).data)
    stores.write(home, begun, stores.queued("waits"), gone)
    sent = renderlane("cancel", "begun", "waits", "new")
    assert sent.exit_code == 3
    assert "begun: its attempt has begun and ends as it ends; see `renderlane status begun`" in sent.stdout
    assert "waits: cancellation sent, not processed yet; see `renderlane status waits`" in sent.stdout
    assert "new: no such request yet; the cancellation is kept for 30 days" in sent.stderr
    ended = renderlane("cancel", "web~gone", "waits", "--json")
    assert ended.exit_code == 1
    assert json_lines(ended.stdout) == [
        {"request_id": "gone", "tenant": "web", "effect": "ended before", "status": "cancelled"},
        {"request_id": "waits", "tenant": "default", "effect": "sent", "status": "queued"},
    ]


def test_packet_of_a_request_without_an_attempt_is_not_yet(home: Path) -> None:
    stores.write(home, stores.queued("waits"))
    assert renderlane("packet", "waits").exit_code == 3
    assert renderlane("packet", "waits", "--attempt", "1").exit_code == 1


def test_cancel_waits_for_a_running_worker_and_says_that_it_is_cancelled(home: Path) -> None:
    with started(home, "up", "--port", "0", "--latency", "fixed:0.05") as up:
        assert up.first_line, "".join(up.errors)
        assert renderlane("flags", "trip", "pause", "--tenant", "held", "--reason", "a test").exit_code == 0
        renderlane("submit", "a cube", "--id", "held-1", "--tenant", "held")
        while "no such request" in renderlane("status", "held-1").stderr:
            pass  # not taken in yet
        ended = renderlane("cancel", "held-1", "--timeout", "60")
    assert (ended.exit_code, ended.stdout) == (0, "held-1: cancelled\n")


@pytest.mark.parametrize("kept", [True, False])
def test_a_drill_whose_promises_are_not_kept_is_one(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    holds = [] if kept else [assertions.due_ones_have_images()]
    due = builders.an_end(status="queued", fields={"deadline": builders.at(60).isoformat()})
    played = builders.played([due], holds=holds)
    monkeypatch.setattr(drill, "_play", lambda *_, **__: (played, []))
    assert renderlane("drill", "outage").exit_code == (0 if kept else 1)
