"""A home in a folder of the test's own, the command in this process, and `renderlane up` as a process beside it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest
from click.testing import CliRunner, Result

from scripts.cli.main import cli
from tests.cli.money import other_units

ROOT = Path(__file__).resolve().parents[2]
OUR_VARIABLES = ("RENDERLANE_", "GEMINI_", "GOOGLE_", "PUBSUB_", "FIRESTORE_", "COLUMNS")
PATIENCE = 60.0


@dataclass
class Process:
    """A verb in a process of its own."""

    process: subprocess.Popen[str]
    first_line: str
    errors: list[str] = field(default_factory=list)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def rest(self) -> str:
        """What it wrote on standard output after the first line."""
        assert self.process.stdout is not None
        return self.process.stdout.read()


Start = Callable[..., contextlib.AbstractContextManager[Process]]


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OUR_VARIABLES)}
    return kept | {"RENDERLANE_HOME": str(home)} | more


@contextlib.contextmanager
def started(home: Path, *arguments: str, **more: str) -> Iterator[Process]:
    """Runs until the end of the block; ready when it has written its first line."""
    code = "from scripts.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=environment(home, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        started_process = Process(process, "")
        reader = threading.Thread(target=_read, args=(process.stderr, started_process.errors))
        reader.start()
        try:
            started_process.first_line = process.stdout.readline()
            yield started_process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(PATIENCE)
            reader.join(PATIENCE)


def _read(stream: IO[str], into: list[str]) -> None:
    into.extend(stream)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that nobody has started, for commands of this process."""
    _settle_in(tmp_path / "home", monkeypatch)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def running_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One running home for all tests of a file."""
    home = tmp_path_factory.mktemp("running") / "home"
    with started(home, "up", "--port", "0", "--latency", "fixed:0.05") as up:
        assert up.first_line, "".join(up.errors)
        yield home


@pytest.fixture
def in_running_home(running_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    _settle_in(running_home, monkeypatch)
    return running_home


def _settle_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(OUR_VARIABLES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RENDERLANE_HOME", str(home))
    monkeypatch.chdir(ROOT)


def renderlane(*arguments: str, stdin: str | None = None) -> Result:
    """The command in this process. `stdout` and `stderr` of the result are apart.

    Its JSON is looked through on the way: no verb may print a second unit of money.
    """
    result = CliRunner().invoke(cli, arguments, input=stdin, prog_name="renderlane")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if {"--json", "--raw"} & set(arguments):
        for line in result.stdout.splitlines():
            assert list(other_units(_parsed(line))) == [], arguments
    return result


def _parsed(line: str) -> Any:
    """None where a line is no JSON: what a verb says of wrong usage."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
