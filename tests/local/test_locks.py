"""One process a home and one a database, however the database is named; a lock of another account is told."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.local import lock
from scripts.local.lock import AlreadyRunning, LockUnusable, hold, standing
from shared.config import Settings


def home_of(folder: Path, name: str, store: str | None = None) -> Settings:
    more = {} if store is None else {"RENDERLANE_STORE": f"sqlite:///{store}"}
    return Settings.read({"RENDERLANE_HOME": str(folder / name), **more}, folder)


def plain(folder: Path) -> str:
    return str(folder / "shared" / "state.db")


def detour(folder: Path) -> str:
    return f"{folder}/shared/../shared/state.db"


def linked_folder(folder: Path) -> str:
    (folder / "link").symlink_to(folder / "shared")
    return str(folder / "link" / "state.db")


def linked_file(folder: Path) -> str:
    (folder / "other.db").symlink_to(folder / "shared" / "state.db")
    return str(folder / "other.db")


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PAUSE", 0.0)


@pytest.mark.parametrize("named", [plain, detour, linked_folder, linked_file])
def test_two_homes_on_one_database_are_refused(tmp_path: Path, named: Callable[[Path], str]) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "state.db").touch()
    first, second = home_of(tmp_path, "a", plain(tmp_path)), home_of(tmp_path, "b", named(tmp_path))
    with hold(first):
        assert standing(second) == "held", "it renders what is published into that file"
        with pytest.raises(AlreadyRunning, match=r"state.db|other.db") as refused, hold(second):
            pass
    assert "RENDERLANE_STORE" in str(refused.value)
    with hold(second):
        pass


def test_a_home_whose_database_is_another_homes_is_refused(tmp_path: Path) -> None:
    first = home_of(tmp_path, "a")
    second = home_of(tmp_path, "b", str(tmp_path / "a" / "state.db"))
    with hold(first), pytest.raises(AlreadyRunning), hold(second):
        pass


def test_two_homes_of_their_own_run_side_by_side(tmp_path: Path) -> None:
    with hold(home_of(tmp_path, "a")), hold(home_of(tmp_path, "b")):
        pass


def test_the_same_home_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    settings = home_of(tmp_path, "a")
    assert standing(settings) == "free"
    with hold(settings):
        assert standing(settings) == "held"
        with pytest.raises(AlreadyRunning, match="RENDERLANE_HOME"), hold(settings):
            pass
    assert standing(settings) == "free"


def test_a_database_of_the_cloud_has_no_lock_file(tmp_path: Path) -> None:
    settings = Settings.read(
        {"RENDERLANE_HOME": str(tmp_path), "RENDERLANE_STORE": "firestore://p", "RENDERLANE_TOPICS": "pubsub://p"},
        tmp_path,
    )
    with hold(settings):
        assert [path.name for path in tmp_path.iterdir()] == ["up.lock"]


def _closed_to_us(monkeypatch: pytest.MonkeyPatch, refused: Callable[[int], bool]) -> None:
    """Tests may run as root, whom no mode keeps out."""
    real = os.open

    def opened(path: str, flags: int, *more: int, **named: int) -> int:
        if str(path).endswith("up.lock") and refused(flags):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)


def test_a_lock_of_another_account_that_may_be_read_locks_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = home_of(tmp_path, "a")
    with hold(settings):
        pass
    _closed_to_us(monkeypatch, lambda flags: bool(flags & os.O_RDWR))
    with hold(settings):
        assert standing(settings) == "held"


def test_a_lock_of_another_account_that_may_not_be_read_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = home_of(tmp_path, "a")
    with hold(settings):
        pass
    _closed_to_us(monkeypatch, lambda _: True)
    assert standing(settings) == "unreadable"
    with (
        pytest.raises(LockUnusable, match=r"belongs to \S+\); allowed: one of this account.*sudo chown -R"),
        hold(settings),
    ):
        pass


def test_the_locks_are_the_accounts_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with hold(home_of(tmp_path, "a")):
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").iterdir()}
    finally:
        os.umask(before)
    assert modes == {"up.lock": 0o600, "state.db-up.lock": 0o600}
