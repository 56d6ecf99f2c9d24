"""One process a home: a lock that the system lets go of even when its holder is killed."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from shared.config import Settings

LOOKS = 5
PAUSE = 0.05
"""Seconds between two looks."""


class AlreadyRunning(Exception):
    """Another process runs this home."""


@contextlib.contextmanager
def hold(settings: Settings) -> Iterator[None]:
    """Holds the home's lock; the system lets go of it even when the process is killed."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with _path(settings).open("w") as file:
        for _ in range(LOOKS):
            if _locked(file):
                yield
                return
            time.sleep(PAUSE)  # somebody may only have been looking
    raise AlreadyRunning(
        f"{settings.home} is in use by another `renderlane up`. Stop that one, or set RENDERLANE_HOME."
    )


def is_held(settings: Settings) -> bool:
    """Whether some process holds this home's lock."""
    try:
        with _path(settings).open("r+") as file:
            return not _locked(file)
    except FileNotFoundError:
        return False


def _locked(file: TextIO) -> bool:
    """Take the lock until `file` is closed; False where somebody has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _path(settings: Settings) -> Path:
    return settings.home / "up.lock"
