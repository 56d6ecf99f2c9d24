"""`status --watch`: until the request has ended, on a terminal and elsewhere."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scripts.cli.data.see.requests import StoredRequest
from scripts.cli.data.see.wait_reasons import WaitReasons
from scripts.cli.views.see.follow import line
from shared.core.lifecycle import head_changes
from shared.core.provider.outcome import EXPIRED
from shared.core.records.request import RequestRecord
from tests.builders import a_record, a_request_record
from tests.cli import stores
from tests.cli.conftest import ROOT, environment, json_lines, renderlane, started

pytestmark = pytest.mark.slow


def test_a_request_is_followed_to_its_end_one_line_a_change(in_running_home: Path) -> None:
    renderlane("submit", "a red cube", "--id", "followed")
    _until_known("followed")
    result = renderlane("status", "followed", "--watch")
    assert result.exit_code == 0
    last = result.stdout.splitlines()[-1]
    assert "followed  succeeded" in last
    assert "$" in last
    assert len(set(result.stdout.splitlines())) == len(result.stdout.splitlines())


def test_with_json_every_line_is_a_status_document(in_running_home: Path) -> None:
    renderlane("submit", "a red cube", "--id", "as-lines")
    _until_known("as-lines")
    documents = json_lines(renderlane("status", "as-lines", "--watch", "--json").stdout)
    assert documents[-1]["status"] == "succeeded"
    assert {document["request_id"] for document in documents} == {"as-lines"}


def test_an_unknown_id_is_told_and_not_waited_for(in_running_home: Path) -> None:
    renderlane("submit", "a red cube", "--id", "known-one", "--wait")
    result = renderlane("status", "known-one", "never-seen", "--watch")
    assert result.exit_code == 1
    assert "known-one  succeeded" in result.stdout
    assert "never-seen: no such request" in result.stderr


def test_on_a_terminal_the_sheet_is_redrawn_and_stays(in_running_home: Path) -> None:
    renderlane("submit", "a red cube", "--id", "on-screen")
    _until_known("on-screen")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", "from scripts.cli.main import main; main()", "status", "on-screen", "--watch"],
        cwd=ROOT, env=environment(in_running_home, TERM="xterm", COLUMNS="100", LINES="40"), stdout=theirs,
        stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        os.close(theirs)
        shown = _all_of(ours)
        assert process.wait(20) == 0
    assert "succeeded" in shown
    assert "\x1b[?25h" in shown, "the cursor is shown again"


def test_an_interrupt_ends_it_without_a_trace(home: Path) -> None:
    """No worker runs: the request is never rendered."""
    stores.write(home, stores.queued("waits"))
    with started(home, "status", "waits", "--watch") as process:
        assert "waits  queued" in process.first_line
        assert process.stop(signal.SIGINT) == 130
    assert "Traceback" not in "".join(process.errors)
    assert "stopped watching" in "".join(process.errors)


def test_a_line_says_when_which_and_what() -> None:
    at = datetime(2026, 11, 22, 12, 30, 5, tzinfo=UTC)
    rendering = a_request_record(status="rendering", reason=None, attempt_count=2, updated_at=at)
    assert (
        line(StoredRequest("a", rendering), WaitReasons())
        == "12:30:05 UTC  a  rendering  attempt 2 on nano-banana-2.1 1K"
    )
    over = RequestRecord.from_json(a_record() | head_changes.ended("expired", EXPIRED, at))
    assert line(StoredRequest("a", over), WaitReasons()) == "12:30:05 UTC  a  expired    expired, $0.0000"


def _all_of(terminal: int) -> str:
    body = b""
    while True:
        try:
            more = os.read(terminal, 65_536)
        except OSError:  # the other side is closed
            break
        if not more:
            break
        body += more
    os.close(terminal)
    return body.decode()


def _until_known(request_id: str) -> None:
    """Intake has it."""
    for _ in range(400):
        if renderlane("status", request_id, "--json").exit_code == 0:
            return
    raise AssertionError(f"{request_id} was never taken in")
