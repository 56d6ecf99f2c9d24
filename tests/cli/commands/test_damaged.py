"""Lists over a store with a damaged request: what cannot be read is said, and the rest is shown."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.cli import stores
from tests.cli.conftest import json_lines, renderlane


def damage(home: Path, path: str, **fields: Any) -> None:
    with sqlite3.connect(home / "state.db") as connection:
        (text,) = connection.execute("SELECT data FROM documents WHERE path = ?", [path]).fetchone()
        changed = json.dumps(json.loads(text) | fields)
        connection.execute("UPDATE documents SET data = ? WHERE path = ?", [changed, path])
    connection.close()


@pytest.fixture
def damaged(home: Path) -> Path:
    ended = {"status": "failed", "outcome": {"code": "crashed", "message": "", "advice": ""}}
    stores.write(home, *(stores.queued(name, changes=dict(ended)) for name in ("a-bad", "b-worse", "c-good", "d-old")))
    damage(home, "requests/a-bad", created_at={"$at": "tomorrow"})
    damage(home, "requests/b-worse", route=None)
    damage(home, "requests/d-old", deadline={"$at": "2-01-01T00:00:00.000000Z"})
    return home


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize("options", [(), ("--status", "failed"), ("--tenant", "default"), ("--limit", "1")])
def test_a_list_names_what_it_cannot_read_and_shows_the_rest(options: tuple[str, ...]) -> None:
    listed = renderlane("list", *options)
    assert listed.exit_code == 0
    assert "c-good" in listed.stdout or "d-old" in listed.stdout
    for item in ("requests/a-bad", "requests/b-worse"):
        assert f"{item}: skipped" in listed.stderr or options == ("--limit", "1")


@pytest.mark.usefixtures("damaged")
def test_as_json_what_cannot_be_read_has_a_line_of_its_own() -> None:
    lines = {
        json_line["request_id"]: json_line["status"] for json_line in json_lines(renderlane("list", "--json").stdout)
    }
    assert lines == {"a-bad": "unreadable", "b-worse": "unreadable", "c-good": "failed", "d-old": "failed"}


@pytest.mark.usefixtures("damaged")
def test_a_revival_by_filter_leaves_out_what_it_cannot_read() -> None:
    preview = renderlane("revive", "--status", "failed")
    assert preview.exit_code == 0
    assert "2 requests would be retried" in preview.stdout
    assert "requests/a-bad: skipped" in preview.stderr


@pytest.mark.usefixtures("damaged")
def test_one_that_is_named_by_its_id_is_said_to_be_damaged() -> None:
    shown = renderlane("status", "a-bad")
    assert shown.exit_code == 1
    assert "requests/a-bad cannot be read" in shown.stderr
