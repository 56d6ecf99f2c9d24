"""Which form of documents a SQLite file holds: a number in its header, so that a file of another version is refused.

Raised whenever documents change so that this code could not read the old ones.
"""

from __future__ import annotations

from pathlib import Path

from shared.adapters.sqlite_file import Transaction
from shared.config import InvalidSetting

FORMAT = 1
"""0 is a file from before files were numbered, or one that nothing was ever written to."""


def check_format(path: Path | str, transaction: Transaction) -> None:
    """Number a new file. Raises InvalidSetting for one that holds documents of another format."""
    execute = transaction.connection.execute
    (found,) = execute("PRAGMA user_version").fetchone()
    if found == FORMAT:
        return
    if found == 0 and not _has_documents(transaction):
        execute(f"PRAGMA user_version = {FORMAT}")
        return
    written = "an earlier" if found < FORMAT else "a later"
    raise InvalidSetting(
        f"RENDERLANE_STORE: found {path} of format {found}, which {written} version wrote; allowed: format {FORMAT}. "
        "Let that version finish what waits in it; then set the file aside, or name another place with RENDERLANE_HOME."
    )


def _has_documents(transaction: Transaction) -> bool:
    execute = transaction.connection.execute
    if execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'documents'").fetchone() is None:
        return False
    return execute("SELECT 1 FROM documents LIMIT 1").fetchone() is not None
