"""What this machine may use is checked at the start, and a home with few file descriptors loses nothing."""

from __future__ import annotations

import asyncio
import errno
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.local.accept_reports import AcceptReports
from scripts.local.limits import descriptors_for, fit, fit_memory
from shared.config import InvalidSetting
from tests.cli.conftest import ROOT, environment, json_lines, renderlane

COUNT = 120


@given(st.integers(1, 100_000), st.integers(1, 1_000_000))
def test_the_capacity_that_is_taken_needs_no_more_descriptors_than_there_are(capacity: int, descriptors: int) -> None:
    if descriptors < descriptors_for(1):
        with pytest.raises(InvalidSetting, match=f"ulimit -n {descriptors_for(capacity)}"):
            fit(capacity, descriptors)
        return
    fitted = fit(capacity, descriptors)
    assert 1 <= fitted.capacity <= capacity
    assert descriptors_for(fitted.capacity) <= descriptors
    assert bool(fitted.notes) == (fitted.capacity < capacity)


def test_the_remedy_that_is_named_is_enough() -> None:
    assert fit(200, descriptors_for(200)).capacity == 200
    (note,) = fit(200, 256).notes
    assert "ulimit -n 1512" in note
    assert fit(20, 256).notes == ()


def test_a_small_machine_carries_less_and_says_so() -> None:
    assert fit_memory(200, 1_000_000_000).notes == ()
    fitted = fit_memory(200, 500_000_000)
    assert fitted.capacity == 100
    assert "RENDERLANE_CAPACITY=100" in fitted.notes[0]
    assert fit_memory(200, 1).capacity == 1


def test_a_moment_without_descriptors_is_reported_once_a_second() -> None:
    lines: list[str] = []
    now = [0.0]
    report = AcceptReports(lines.append, lambda: now[0])
    loop = asyncio.new_event_loop()
    for moment in range(30):
        now[0] = moment * 0.1
        for _ in range(1000):
            report(loop, {"message": "socket.accept()", "exception": OSError(errno.EMFILE, "Too many open files")})
    loop.close()
    assert len(lines) == 3
    assert "9999 more" in lines[1]
    assert "ulimit -n" in lines[0]


def test_other_errors_of_the_loop_are_reported_as_ever() -> None:
    class Loop:
        def __init__(self) -> None:
            self.contexts: list[Any] = []

        def default_exception_handler(self, context: Any) -> None:
            self.contexts.append(context)

    loop, context = Loop(), {"message": "x", "exception": ValueError("a fault of ours")}
    AcceptReports(lambda _line: None)(loop, context)  # type: ignore[arg-type]
    assert loop.contexts == [context]


def _limited(descriptors: int) -> Any:
    def set_limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    return set_limit


def test_a_home_with_256_descriptors_renders_everything_and_says_little(home: Path, tmp_path: Path) -> None:
    requests = [{"request_id": f"r-{number}", "prompt": "a red cube"} for number in range(COUNT)]
    file = tmp_path / "requests.jsonl"
    file.write_text("".join(f"{json.dumps(request)}\n" for request in requests))
    errors = tmp_path / "stderr"
    code = "from scripts.cli.main import main; main()"
    with (
        errors.open("w") as sink,
        subprocess.Popen(
            [sys.executable, "-c", code, "up", "--port", "0", "--latency", "fixed:0.5"], cwd=ROOT, text=True,
            env=environment(home), stdout=subprocess.PIPE, stderr=sink, preexec_fn=_limited(256),
        ) as up,
    ):  # fmt: skip
        try:
            assert up.stdout is not None
            assert "ready" in up.stdout.readline()
            assert renderlane("submit", str(file), "--wait", "--timeout", "240").exit_code == 0
        finally:
            up.terminate()
            up.wait(90)
    documents = json_lines(renderlane("list", "--limit", str(COUNT), "--json").stdout)
    assert [document["status"] for document in documents] == ["succeeded"] * COUNT
    assert {document["attempt_count"] for document in documents} == {1}
    text = errors.read_text()
    assert "instead of 200" in text
    assert "Traceback" not in text
    assert len(text) < 2_000


def test_a_home_that_could_carry_nothing_says_what_it_needs(home: Path) -> None:
    code = "from scripts.cli.main import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "up", "--port", "0"], cwd=ROOT, env=environment(home), text=True,
        capture_output=True, timeout=60, check=False, preexec_fn=_limited(100),
    )  # fmt: skip
    assert ended.returncode == 2
    assert "file descriptors" in ended.stderr
    assert "ulimit -n" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["RENDERLANE_HOME"])
def test_a_full_disk_is_refused_before_anything_is_paid(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts.local import limits
    from shared.config import Settings

    settings = Settings.read({"RENDERLANE_HOME": str(home)}, Path.cwd())
    monkeypatch.setattr(limits, "_free", lambda _folder: 1_000_000)
    with pytest.raises(InvalidSetting, match=f"{name}: found 1,000,000 bytes free"):
        limits.disk_notes(settings)
    monkeypatch.setattr(limits, "_free", lambda _folder: 100_000_000)
    assert len(limits.disk_notes(settings)) == 2
