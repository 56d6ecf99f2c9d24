"""The file of events is bounded, and a disk that takes nothing costs lines and no request."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path

import pytest

from shared.adapters.telemetry.event_file import KEPT, EventFile, open_events
from shared.adapters.telemetry.json_log import JsonSignals
from shared.core.observability import events
from tests.contract.fake_clock import FakeClock


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def test_the_file_is_set_aside_by_size_and_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(path, largest=100, kept=3)
    for number in range(100):
        file.write(f"line {number:04}\n".encode())
    file.close()

    names = sorted(item.name for item in tmp_path.iterdir())
    assert names == ["events.jsonl", "events.jsonl.1", "events.jsonl.2", "events.jsonl.3"]
    assert all((tmp_path / name).stat().st_size <= 110 for name in names)
    kept = [line for name in reversed(names) for line in _lines(tmp_path / name)]
    assert kept == [f"line {number:04}" for number in range(100 - len(kept), 100)], "the newest ones, in order, whole"


def test_an_event_is_in_the_file_when_it_was_emitted(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with open_events(path) as stream:
        JsonSignals(stream, FakeClock(), "p").emit(events.DISK_HAS_ROOM, places=["größe"])
        (line,) = _lines(path)
        assert json.loads(line)["places"] == ["größe"]
        assert stream.name == str(path)
    assert path.stat().st_mode & 0o077 == 0


class _FullDisk(io.BytesIO):
    """Takes `room` bytes more; then part of a write, then nothing."""

    room = 1 << 30

    def write(self, data: object) -> int:
        part = bytes(data)[: self.room]  # type: ignore[call-overload]
        if not part:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(part)
        return super().write(part)


def test_a_full_disk_loses_lines_says_so_once_and_writes_whole_lines_again(tmp_path: Path) -> None:
    remarks: list[str] = []
    file = EventFile(tmp_path / "events.jsonl", say=remarks.append)
    disk = _FullDisk()
    assert file._file is not None
    file._file.close()
    file._file = disk
    file.write(b"one\n")
    disk.room = 2
    for line in (b"two\n", b"three\n", b"four\n"):
        assert file.write(line) == len(line), "the writer is told nothing"
    disk.room = 1 << 30
    file.write(b"five\n")

    assert disk.getvalue().splitlines() == [b"one", b"tw", b"five"], "a torn line ends before the next"
    assert len(remarks) == 2
    assert "No space left on device" in remarks[0]
    assert "3 events were lost" in remarks[1]


def test_a_file_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        open_events(tmp_path / "missing" / "events.jsonl")


def test_what_is_kept_is_named_among_the_files_of_a_home() -> None:
    from scripts.local.private_home import OF_A_HOME

    assert {f"events.jsonl.{number}" for number in range(1, KEPT + 1)} <= set(OF_A_HOME)
