"""What goes wrong after a publish says that it was published, and keeps the id; a file's name is not paid for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.local import lock
from tests.cli.conftest import ROOT, environment, renderlane

CODE = "from scripts.cli.main import main; main()"


def shell(home: Path, redirected: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with its streams as a shell redirects them."""
    words = ["sh", "-c", f'exec "$@" {redirected}', "sh", sys.executable, "-c", CODE, *arguments]
    return subprocess.run(
        words, cwd=ROOT, env=environment(home), capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_full_standard_output_loses_no_id(home: Path, more: tuple[str, ...]) -> None:
    ended = shell(home, ">/dev/full", "submit", "a red cube", *more)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "were published" in ended.stderr
    first = ended.stderr.splitlines()[0]
    assert json.loads(first)["request_id"] if more else first.startswith("20")


def test_a_reader_that_left_loses_no_id(home: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-c", CODE, "submit", "a red cube", "--id", "kept"]
    ended = subprocess.run(
        words,
        cwd=ROOT,
        env=environment(home),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(write)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.splitlines()[0] == "kept"


@pytest.mark.parametrize("redirected", [">&-", "2>&-", ">&- 2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_end_nothing_and_reach_no_database(home: Path, redirected: str) -> None:
    ended = shell(home, redirected, "submit", "a red cube", "--id", "kept")
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    looked = shell(home, redirected, "list")
    assert looked.returncode == 0, looked.stderr
    assert (home / "state.db").read_bytes().startswith(b"SQLite format 3")


def test_a_closed_standard_input_is_an_empty_one(home: Path) -> None:
    ended = shell(home, "<&-", "submit", "-")
    assert ended.returncode == 2
    assert "standard input has no lines" in ended.stderr


def test_a_lock_of_another_account_does_not_undo_a_publish(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> lock.Standing:
        return "unreadable"

    monkeypatch.setattr(lock, "_look", closed)
    result = renderlane("submit", "a red cube", "--id", "kept")
    assert result.exit_code == 0
    assert result.stdout == "kept\n"
    assert "belongs to another account" in result.stderr


def test_trouble_with_the_remarks_does_not_undo_a_publish(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> lock.Standing:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(lock, "_look", broken)
    result = renderlane("submit", "a red cube", "--id", "kept")
    assert (result.exit_code, result.stdout) == (0, "kept\n")
    assert "cannot tell whether" in result.stderr


@pytest.mark.parametrize(
    "name", ["requests.json", "requests.ndjson", "requests.JSONL", "requests.jsonl.gz", "requests", "my requests.txt"]
)
def test_a_file_of_another_ending_is_no_prompt(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text('{"request_id": "a", "prompt": "x"}\n')
    for what in (name, f"./{name}", str(tmp_path / name)):
        result = renderlane("submit", what)
        assert result.exit_code == 2
        assert ".jsonl" in result.stderr
        assert "submit - <" in result.stderr
    assert not (home / "state.db").exists(), "nothing was published"


@pytest.mark.parametrize(
    "name", ["missing.json", "data/missing.ndjson", "missing.JSONL", "missing.jsonl.gz", "sky.png"]
)
def test_a_missing_file_is_no_prompt_either(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = renderlane("submit", name)
    assert result.exit_code == 2
    assert "there is no such file" in result.stderr
    assert not (home / "state.db").exists()


@pytest.mark.parametrize(
    "prompt", ["a red cube", "cube", "a page of requests.json", "a cube." * 600, "v1.5", "the word node.js", "a\x7fb"]
)
def test_words_are_a_prompt(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompt: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert renderlane("submit", prompt).exit_code == 0


def test_a_removed_current_folder_is_told(home: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    words = ["sh", "-c", f'rmdir "{gone}"; exec "$@"', "sh", sys.executable, "-c", CODE, "list"]
    variables = environment(home) | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(words, cwd=gone, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "the current folder no longer exists" in ended.stderr
