"""A home that another version wrote is refused with the remedy, not read as far as it goes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from shared.adapters.sqlite.file_format import FORMAT
from shared.adapters.sqlite.store import SqliteStore
from shared.adapters.sqlite.topics import LocalTopics
from shared.config import InvalidSetting
from shared.core.values.documents import Create, Document
from tests.contract.fake_clock import FakeClock


async def a_home(tmp_path: Path) -> Path:
    """With one document."""
    path = tmp_path / "state.db"
    store = SqliteStore(path, FakeClock())
    await store.commit(Create("requests/a", {"status": "queued"}))
    await store.close()
    return path


def numbered(path: Path, number: int | None = None) -> int:
    """The number in the file, after it was set to another."""
    file = sqlite3.connect(path)
    try:
        if number is not None:
            file.execute(f"PRAGMA user_version = {number}")
            file.commit()
        return int(file.execute("PRAGMA user_version").fetchone()[0])
    finally:
        file.close()


async def test_a_new_file_is_numbered_and_opens_again(tmp_path: Path) -> None:
    path = await a_home(tmp_path)
    assert numbered(path) == FORMAT > 0
    store = SqliteStore(path, FakeClock())
    assert isinstance(await store.get("requests/a"), Document)
    await store.close()


@pytest.mark.parametrize(("number", "words"), [(0, "an earlier version"), (FORMAT + 1, "a later version")])
async def test_a_file_of_another_version_is_refused_by_the_store_and_the_topics(
    tmp_path: Path, number: int, words: str
) -> None:
    path = await a_home(tmp_path)
    numbered(path, number)
    store, topics = SqliteStore(path, FakeClock()), LocalTopics(path, FakeClock())
    with pytest.raises(InvalidSetting, match=words):
        await store.get("requests/a")
    with pytest.raises(InvalidSetting, match="RENDERLANE_HOME"):
        await store.commit(Create("requests/b", {}))
    with pytest.raises(InvalidSetting, match=words):
        await topics.ensure(())
    await store.close()
    await topics.close()
    assert numbered(path) == number, "it is left as it was"


async def test_a_file_that_only_the_topics_have_touched_is_new(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    topics = LocalTopics(path, FakeClock())
    await topics.ensure(())
    await topics.close()
    assert numbered(path) == FORMAT
    numbered(path, 0)
    store = SqliteStore(path, FakeClock())
    await store.commit(Create("requests/a", {"status": "queued"}))
    await store.close()
    assert numbered(path) == FORMAT
