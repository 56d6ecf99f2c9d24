"""Every verb says what to do about a home that an earlier version wrote."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.cli import stores
from tests.cli.conftest import renderlane


@pytest.mark.parametrize("arguments", [("up", "--port", "0"), ("list",), ("submit", "a red cube"), ("cancel", "a")])
def test_an_old_home_is_refused_with_the_remedy(home: Path, arguments: tuple[str, ...]) -> None:
    stores.write(home, stores.queued("waits"))
    file = sqlite3.connect(home / "state.db")
    file.execute("PRAGMA user_version = 0")
    file.commit()
    file.close()
    result = renderlane(*arguments)
    assert result.exit_code == 2
    assert "an earlier version wrote" in result.stderr
    assert "RENDERLANE_HOME" in result.stderr
    assert "Traceback" not in result.stderr
