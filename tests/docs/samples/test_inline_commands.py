"""Every `renderlane` command inside a sentence of a page or of the runbook is run on a one-machine home.

Blocks of commands are in test_samples_here.py. Commands in code and templates are parsed only (test_commands.py).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from msgspec import Struct

from scripts.simulator.provider.faults import REFUSE_MARK
from tests.cli.conftest import in_running_home, renderlane, running_home
from tests.docs.samples.samples import PAGES, ROOT

__all__ = ["in_running_home", "running_home"]
pytestmark = pytest.mark.slow
INLINE = re.compile(r"`(?:\.venv/bin/)?renderlane ([^`]+)`")
FLEET = '"$(terraform -chdir=terraform output -raw fleet)"'
PARSED_ONLY: Mapping[str, str] = {
    "up": "serves until it is stopped: tests/cli/commands/run/test_up.py runs it",
    "up --limits": "serves until it is stopped, and is named without a value",
    "simulator --gateway": "serves until it is stopped",
    "simulator --no-background": "serves until it is stopped",
    "drill NAME": "lasts a minute: tests/cli/commands/prepare/test_drill.py runs it",
    "drill outage": "lasts a minute: tests/cli/commands/prepare/test_drill.py runs it",
    "doctor --live": "asks the real API: tests/cli/commands/prepare/test_doctor_live.py runs it against the simulator",
    "submit": "named without what it needs",
    "tenant": "named without what it needs",
    "plan": "named without what it needs",
    "budget": "named without what it needs",
    "flags reset ID": "named without its reason, which a terminal asks for",
    "cost --reconcile": "named without its file",
    "flags trip --preview": "named without its flag",
    "flags trip use-vertex": "named without its reason, which a terminal asks for",
}
"""Why a command is not run. It is only called with --help, and its options are parsed."""
PLACEHOLDERS: Mapping[str, str] = {
    "TENANT": "shop", "USD": "12.50", "TEXT": "a reason", "CODE": "overload", "NAME": "use-flex",
    "background:LANE/MODEL": "background:standard/gemini-3-pro-image", "probe-...": "made", "FILE": "requests.jsonl",
    "FILE|ID": "made", "EXPORT.csv": "export.csv",
}  # fmt: skip
OF_ENDED, OF_FLAGS = ("revive",), ("flags extend", "flags reset")
"""Verbs whose ID is that of a request without an image, and of a flag."""
SKU = "Generate_content image output token count for Gemini 3 Pro Image"


def inline() -> Iterator[tuple[str, str]]:
    """Each command once, with the first page that has it. Decisions tell what was."""
    pages = [ROOT / page for page in PAGES]
    pages += [path for path in sorted((ROOT / "docs").rglob("*.md")) if "decisions" not in path.parts]
    commands: set[str] = set()
    for page in pages:
        for text in INLINE.findall(page.read_text("utf-8")):
            command = re.sub(r"\s+", " ", text)
            if command not in commands:
                commands.add(command)
                yield str(page.relative_to(ROOT)), command


COMMANDS = list(inline())
RUN = [(page, command) for page, command in COMMANDS if command not in PARSED_ONLY]


class Prepared(Struct, frozen=True):
    """What the pages' placeholders stand for."""

    folder: Path
    flag_id: str

    def words(self, command: str) -> list[str]:
        words = shlex.split(command.replace(FLEET, "4x8@us-central1"))
        ids = {"ID": "made"}
        if command.startswith(OF_ENDED):
            ids = {"ID": "refused"}
        elif command.startswith(OF_FLAGS):
            ids = {"ID": self.flag_id, "NAME": self.flag_id}
        return [ids.get(word, PLACEHOLDERS.get(word, word)) for word in words]


@pytest.fixture
def prepared(in_running_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    """A request with an image, one without, one of another tenant, and a flag; ids are the same each time."""
    renderlane("submit", "a lighthouse", "--id", "made", "--wait")
    renderlane("submit", f"a lighthouse {REFUSE_MARK}", "--id", "refused", "--wait")
    renderlane("submit", "a lighthouse", "--id", "spring-hero-001", "--tenant", "shop", "--wait")
    tripped = renderlane("flags", "trip", "use-flex", "--tenant", "nobody", "--reason", "a test", "--json").stdout
    flag = re.search(r'"id": ?"([\w-]+)"', tripped) or re.search(r"(use-flex-[0-9a-f]+)", renderlane("flags").stdout)
    assert flag, tripped
    monkeypatch.chdir(tmp_path)
    Path("requests.jsonl").write_text('{"request_id": "r-1", "prompt": "a lighthouse"}\n', "utf-8")
    Path("export.csv").write_text(
        "usage_start_time,service.description,sku.description,cost,currency\n"
        f"2026-11-29 09:00:00 UTC,Gemini API,{SKU},0,USD\n",
        "utf-8",
    )
    return Prepared(tmp_path, flag[1])


@pytest.mark.parametrize(("page", "command"), RUN, ids=[command for _, command in RUN])
def test_a_command_in_a_sentence_runs(page: str, command: str, prepared: Prepared) -> None:
    """Exit codes 1 and 3 tell of a request or of the world, 2 of a wrong command."""
    words = prepared.words(command)
    ended = renderlane(*words)
    assert ended.exit_code in (0, 1, 3), f"{page}: renderlane {shlex.join(words)}\n{ended.output}"
    assert ended.output.strip()


@pytest.mark.parametrize("command", PARSED_ONLY)
def test_a_command_that_is_not_run_is_on_a_page_and_exists(command: str) -> None:
    assert command in [text for _, text in COMMANDS]
    words = [word for word in command.split() if word.islower() and not word.startswith("-")]
    assert renderlane(*words[:2], "--help").exit_code == 0


def test_most_commands_are_run() -> None:
    assert len(RUN) >= 43
    assert len(PARSED_ONLY) <= 15
