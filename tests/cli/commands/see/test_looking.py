"""Looking takes no write lock: it works while somebody holds it, and on a copy that cannot be written."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import wiring
from shared.adapters.process.system_clock import SystemClock
from shared.adapters.sqlite import connection
from shared.adapters.sqlite.reading import Readable, open_to_read
from shared.config import Settings
from shared.core.lifecycle import request_record
from shared.core.values.documents import Create, Document
from tests.builders import NOW, a_record, a_request
from tests.cli.conftest import json_lines, renderlane

LOOKS = (("list",), ("list", "--json"), ("status", "r-1"), ("cost",), ("flags",), ("quota",), ("packet", "r-1"))


async def _with_a_request(home: Path) -> None:
    store = wiring.store(Settings.read({"RENDERLANE_HOME": str(home)}, home.parent), SystemClock())
    await store.commit(Create(request_record.path("r-1"), a_record(a_request(request_id="r-1"), now=NOW)))
    await store.close()


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def _timeless(text: str) -> str:
    """How long a request has waited differs from look to look, and so does its width."""
    return re.sub(r"[ \d.]+", " ", text)


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_a_look_needs_no_lock(home: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(_with_a_request(home))
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_SECONDS", 0.0)
    free = renderlane(*words)
    with locked(home / "state.db"):
        busy = renderlane(*words)
    assert (busy.exit_code, _timeless(busy.stdout)) == (free.exit_code, _timeless(free.stdout)), busy.stderr
    assert "locked" not in busy.stderr


def test_a_read_only_copy_can_be_looked_at(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere: what cannot be written is left to the read-only ways of SQLite."""
    asyncio.run(_with_a_request(home))
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    for path in copy.iterdir():
        path.chmod(0o400)
    copy.chmod(0o500)
    monkeypatch.setenv("RENDERLANE_HOME", str(copy))
    (request,) = json_lines(renderlane("list", "--json").stdout)
    assert request["request_id"] == "r-1"
    copy.chmod(0o700)


def test_a_look_changes_nothing_in_the_file(home: Path) -> None:
    asyncio.run(_with_a_request(home))
    before = (home / "state.db").read_bytes()
    for words in LOOKS:
        renderlane(*words)
    assert (home / "state.db").read_bytes() == before


async def test_a_stop_leaves_no_log_beside_the_file(home: Path) -> None:
    """A copy of state.db alone has everything."""
    settings = Settings.read({"RENDERLANE_HOME": str(home)}, home.parent)
    store = wiring.store(settings, SystemClock())
    await store.commit(Create(request_record.path("r-1"), a_record(a_request(request_id="r-1"), now=NOW)))
    assert isinstance(await store.get(request_record.path("r-1")), Document)
    await store.close()
    assert not (home / "state.db-wal").exists()


def test_a_file_without_a_newer_index_is_read_where_it_cannot_be_made(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(_with_a_request(home))
    with contextlib.closing(sqlite3.connect(home / "state.db")) as other:
        (name,) = other.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'documents\\_\\_%' ESCAPE '\\' LIMIT 1"
        ).fetchone()
        other.execute(f'DROP INDEX "{name}"')
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_SECONDS", 0.0)
    with locked(home / "state.db"):
        assert renderlane("list").exit_code == 0
    assert renderlane("list").exit_code == 0
    with contextlib.closing(sqlite3.connect(home / "state.db")) as other:
        assert other.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [name]).fetchone(), "made when it could be"


def test_what_is_not_there_is_not_opened(tmp_path: Path) -> None:
    def looks(connection: sqlite3.Connection) -> Readable:
        connection.execute("SELECT name FROM sqlite_master")
        return "ready"

    assert open_to_read(tmp_path / "none.db", looks, least="ready") is None
    assert not (tmp_path / "none.db").exists()
