"""The home belongs to one account: no other account reads its prompts, its images or the console's key."""

from __future__ import annotations

import stat
from pathlib import Path

from shared.adapters.process import private_file
from shared.config import InvalidSetting, Settings, SqliteSettings

RESERVE = "disk-reserve"
OF_A_HOME = (
    "state.db", "state.db-wal", "state.db-shm", "events.jsonl", *(f"events.jsonl.{number}" for number in range(1, 4)),
    "traces.jsonl", "traces.jsonl.1", "up.json", "up.lock", "images", RESERVE,
)  # fmt: skip
"""What a home contains; a folder with none of it is not treated as one."""


def prepare(settings: Settings) -> None:
    """The folder, and what an earlier version left readable for others. Raises InvalidSetting if it cannot be
    created."""
    home = settings.home
    is_new = not home.exists()
    try:
        private_file.make_folder(home)
    except OSError as error:
        raise InvalidSetting(
            f"RENDERLANE_HOME: found {str(home)!r}, which cannot be made ({error.strerror})"
        ) from error
    if is_new:
        return
    inside = [home / name for name in OF_A_HOME]
    if any(item.exists() for item in inside) and not _belongs_to_all(home):
        private_file.tighten(home)
    for path in [*inside, *_elsewhere(settings)]:
        private_file.tighten(path)


def _belongs_to_all(folder: Path) -> bool:
    """/tmp and the account's own home folder are not ours to close."""
    return bool(folder.stat().st_mode & stat.S_ISVTX) or folder.resolve() == Path.home().resolve()


def _elsewhere(settings: Settings) -> list[Path]:
    """The database if it is not in the home. Images elsewhere are meant to be read by others: their folder is
    unchanged."""
    if not isinstance(settings.store, SqliteSettings):
        return []
    path = settings.store.path
    return [path.with_name(f"{path.name}{end}") for end in ("", "-wal", "-shm")]
