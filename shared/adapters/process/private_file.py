"""Files and folders of one account: prompts, images and the console's key are in them. POSIX modes 0600 and 0700."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

FILE, FOLDER = 0o600, 0o700


def opener(path: str, flags: int) -> int:
    """For `open(..., opener=opener)`: a new file belongs to the account alone. An existing one keeps its mode."""
    return os.open(path, flags, FILE)


def append_to(path: Path) -> BinaryIO:
    """Unbuffered. Raises OSError."""
    return open(path, "ab", buffering=0, opener=opener)


def make_file(path: Path) -> None:
    """Create an empty one if it is missing: SQLite gives its side files the mode of the database. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE))


def make_folder(path: Path) -> None:
    """With its parents, which get the usual mode. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=FOLDER, exist_ok=True)


def tighten(path: Path) -> None:
    """Remove all permissions of group and others, if the path exists and is ours. A link's target is unchanged."""
    with contextlib.suppress(OSError):
        stat_result = path.lstat()
        is_ours = stat_result.st_uid == os.geteuid() and (
            stat.S_ISREG(stat_result.st_mode) or stat.S_ISDIR(stat_result.st_mode)
        )
        if is_ours and stat_result.st_mode & 0o077:
            path.chmod(stat.S_IMODE(stat_result.st_mode) & 0o700)
