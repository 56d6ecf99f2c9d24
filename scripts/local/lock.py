"""One process per home, and one per database file: locks that the system releases even when their holder is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from scripts.local import private_home
from shared.adapters.process import private_file
from shared.config import Settings, SqliteSettings

LOOKS = 5
PAUSE = 0.05
"""Seconds between two looks."""

Standing: TypeAlias = Literal["held", "free", "unreadable"]


class AlreadyRunning(Exception):
    """Another process runs this home, or another home on the same database file."""


class LockUnusable(Exception):
    """The lock cannot be opened; names the file, its owner and what to do."""


@contextlib.contextmanager
def hold(settings: Settings) -> Iterator[None]:
    """Holds the home's lock and the database's. Raises AlreadyRunning or LockUnusable."""
    private_home.prepare(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_exclusive(_of_home(settings), f"{settings.home} is", "RENDERLANE_HOME"))
        database = _of_database(settings)
        if database is not None:
            assert isinstance(settings.store, SqliteSettings)
            stack.enter_context(_exclusive(database, f"the database {settings.store.path} is", "RENDERLANE_STORE"))
        yield


def standing(settings: Settings) -> Standing:
    """Whether a process renders for this home. Checking creates no file."""
    states = {_look(path) for path in (_of_home(settings), _of_database(settings)) if path is not None}
    return "held" if "held" in states else "unreadable" if "unreadable" in states else "free"


@contextlib.contextmanager
def _exclusive(path: Path, what_is: str, variable: str) -> Iterator[None]:
    file = _open(path)
    try:
        for _ in range(LOOKS):
            if _locked(file):
                break
            time.sleep(PAUSE)  # somebody may only have been looking
        else:
            raise AlreadyRunning(f"{what_is} in use by another `renderlane up`. Stop that one, or set {variable}.")
        yield
    finally:
        os.close(file)


def _open(path: Path) -> int:
    """Created if it is missing. A lock that can only be read works as well. Raises LockUnusable."""
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        try:
            return os.open(path, flags | os.O_CLOEXEC, private_file.FILE)
        except PermissionError as error:
            failure: OSError = error
        except OSError as error:
            failure = error
            break
    raise LockUnusable(_remedy(path, failure)) from failure


def _look(path: Path) -> Standing:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return "free"
    except OSError:
        return "unreadable"
    try:
        return "free" if _locked(file) else "held"
    except OSError:
        return "unreadable"
    finally:
        os.close(file)


def _remedy(path: Path, failure: OSError) -> str:
    text = f"{path}: found a lock that cannot be opened ({failure.strerror}"
    try:
        owner = path.stat().st_uid
    except OSError:
        return f"{text}). Make its folder writable, or set RENDERLANE_HOME to another one."
    if owner == os.geteuid():
        return f"{text}). Make it readable: chmod 600 {path}"
    return (
        f"{text}; it belongs to {_name(owner)}); allowed: one of this account. Was `renderlane up` started with sudo? "
        f"Stop it, then `sudo chown -R {_name(os.geteuid())} {path.parent}`, or set RENDERLANE_HOME to another folder."
    )


def _name(account: int) -> str:
    try:
        return pwd.getpwuid(account).pw_name
    except KeyError:
        return str(account)


def _locked(file: int) -> bool:
    """Take the lock until `file` is closed; False if another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _of_home(settings: Settings) -> Path:
    return settings.home / "up.lock"


def _of_database(settings: Settings) -> Path | None:
    """Beside the file itself, with links and detours resolved. The home's own database has the home's lock too.

    Not on the database: where file locks are emulated (NFS, macOS), that would be one of SQLite's own.
    """
    if not isinstance(settings.store, SqliteSettings):
        return None
    path = settings.store.path.resolve()
    return path.with_name(f"{path.name}-up.lock")
