"""Under the usual umask (022) no other account of the machine reads a home: prompts, images, the console's key."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local import private_home
from shared.config import Settings
from tests.cli.conftest import renderlane, started


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> dict[str, str]:
    """What others may touch, if they may enter the folder."""
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
    return {str(path.relative_to(folder.parent)): oct(mode) for path, mode in modes.items() if mode & 0o077}


def test_a_home_and_its_files_are_made_for_one_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("RENDERLANE_HOME", str(home))
    with started(home, "up", "--port", "0", "--latency", "fixed:0.05") as up:
        assert renderlane("submit", "a red cube", "--id", "r-1", "--wait", "--timeout", "60").exit_code == 0
        while_running = open_to_others(home)
        assert up.stop() == 0
    inside_images = f"home{os.sep}images{os.sep}"
    exposed = {name for name in {**while_running, **open_to_others(home)} if not name.startswith(inside_images)}
    assert exposed == set()
    assert stat.S_IMODE((home / "images").stat().st_mode) == 0o700, "nobody else enters the folder of the images"


def test_a_submit_before_the_first_start_makes_it_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENDERLANE_HOME", str(tmp_path / "home"))
    assert renderlane("submit", "a red cube").exit_code == 0
    assert open_to_others(tmp_path / "home") == {}


def test_an_open_home_of_an_earlier_version_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "images").mkdir(parents=True)
    names = ("state.db", "state.db-wal", "state.db-shm", "events.jsonl", "traces.jsonl", "traces.jsonl.1", "up.json")
    for name in names:
        (home / name).touch(0o644)
    private_home.prepare(Settings.read({"RENDERLANE_HOME": str(home)}, tmp_path))
    assert open_to_others(home) == {}


def test_a_folder_that_is_no_home_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o755)
    (tmp_path / "shared" / "something").touch()
    private_home.prepare(Settings.read({"RENDERLANE_HOME": str(tmp_path / "shared")}, tmp_path))
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o755


def test_a_folder_for_all_is_not_closed_by_a_home_in_it(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "state.db").touch(0o644)
    private_home.prepare(Settings.read({"RENDERLANE_HOME": str(shared)}, tmp_path))
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
    assert stat.S_IMODE((shared / "state.db").stat().st_mode) == 0o600


def test_a_links_target_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "public").mkdir(mode=0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / "images").symlink_to(tmp_path / "public")
    private_home.prepare(Settings.read({"RENDERLANE_HOME": str(home)}, tmp_path))
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o755
