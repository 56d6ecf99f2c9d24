"""A SQLite file opened to look only: nobody who writes has to wait for it, and a read-only copy will do.

Reports of what happens otherwise: https://github.com/coleifer/huey/issues/445 (database is locked).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

READ_TIMEOUT_SECONDS = 5.0

Readable: TypeAlias = Literal["ready", "without all indexes", "no"]
"""What a file can do: slow queries are better than none."""


def open_to_read(
    path: Path, may_read: Callable[[sqlite3.Connection], Readable], least: Readable
) -> sqlite3.Connection | None:
    """None where the file is missing, cannot be read so, or is not as good as `least`. Raises what `may_read` does."""
    for how in _ways(path):
        try:
            connection = sqlite3.connect(
                f"{path.as_uri()}?{how}", uri=True, timeout=READ_TIMEOUT_SECONDS, isolation_level=None,
                cached_statements=256,
            )  # fmt: skip
        except sqlite3.OperationalError:
            continue
        try:
            readiness = may_read(connection)
        except sqlite3.OperationalError:
            connection.close()
            continue
        except BaseException:
            connection.close()
            raise
        if readiness == "ready" or readiness == least:
            return connection
        connection.close()
        return None
    return None


def _ways(path: Path) -> list[str]:
    """With the shared memory of a write-ahead log; where that cannot be made (a read-only folder) and the log is
    empty, as a file that does not change.
    """
    log = path.with_name(f"{path.name}-wal")
    is_whole = not log.exists() or log.stat().st_size == 0
    return ["mode=ro", *(["mode=ro&immutable=1"] if is_whole else [])]
