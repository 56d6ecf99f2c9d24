"""Which form of documents a SQLite file holds: a number in its header, so that a file of another version is refused.

Raised whenever documents change so that this code could not read the old ones.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from shared.adapters.sqlite.connection import Transaction
from shared.config import InvalidSetting

FORMAT = 1
"""0 is a file from before files were numbered, or one to which nothing was ever written."""


def check_format(path: Path | str, transaction: Transaction) -> None:
    """Number a new file. Raises InvalidSetting for one with documents of another format."""
    if not is_of_this_format(path, transaction.connection):
        transaction.connection.execute(f"PRAGMA user_version = {FORMAT}")


def is_of_this_format(path: Path | str, connection: sqlite3.Connection) -> bool:
    """False for a new file. Raises InvalidSetting for one with documents of another format."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == FORMAT:
        return True
    if version == 0 and not _has_documents(connection):
        return False
    written = "an earlier" if version < FORMAT else "a later"
    raise InvalidSetting(
        f"RENDERLANE_STORE: found {path} of format {version}, which {written} version wrote; allowed: format {FORMAT}. "
        "Let that version finish what waits in it; then set the file aside, or name another place with RENDERLANE_HOME."
    )


def _has_documents(connection: sqlite3.Connection) -> bool:
    execute = connection.execute
    if execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'documents'").fetchone() is None:
        return False
    return execute("SELECT 1 FROM documents LIMIT 1").fetchone() is not None
