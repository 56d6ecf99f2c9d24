"""Which home the command works on: settings, store and topics, and what is known about its last start."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from shared.adapters.process import private_file
from shared.config import InvalidSetting, LiveQuotaOff, LiveQuotaOn, LocalTopicsSettings, Settings, SqliteSettings

if TYPE_CHECKING:
    from shared.ports.messaging import Topics
    from shared.ports.store import Store

SIMULATOR = "SIMULATOR: no GEMINI_API_KEY, nothing is charged"


def read_settings() -> Settings:
    """Raises InvalidSetting."""
    try:
        here = Path.cwd()
    except FileNotFoundError as error:
        raise InvalidSetting("the current folder no longer exists. Change to another folder (cd).") from error
    os.environ.pop("GOOGLE_API_KEY", None)  # another product's: Google's SDK would use it and say so
    return Settings.read(os.environ, here)


@contextlib.asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[Store]:
    """The store, for reading. Reading never creates a home."""
    from shared import wiring
    from shared.adapters.process.system_clock import SystemClock

    if isinstance(settings.store, SqliteSettings) and not _exists(settings.store.path):
        raise InvalidSetting(
            f"RENDERLANE_HOME: no worker has ever run here: {settings.store.path} does not exist. "
            "Set it to the right folder, or start a worker with `renderlane up`."
        )
    store = wiring.store(settings, SystemClock())
    try:
        yield store
    finally:
        await store.close()


def has_store(settings: Settings) -> bool:
    """Whether there is anything to read: a home that was never started has no file."""
    return not isinstance(settings.store, SqliteSettings) or _exists(settings.store.path)


@contextlib.asynccontextmanager
async def publishing(settings: Settings) -> AsyncIterator[Topics]:
    """The topics. Local and emulated ones are created if they are missing: requests can wait for the first start."""
    from shared import wiring
    from shared.adapters.process.system_clock import SystemClock
    from shared.core.messages.topics import SUBSCRIPTIONS

    if isinstance(settings.topics, LocalTopicsSettings):
        from scripts.local import private_home

        private_home.prepare(settings)
    topics = wiring.topics(settings, SystemClock())
    try:
        if isinstance(settings.topics, LocalTopicsSettings) or os.environ.get("PUBSUB_EMULATOR_HOST", "").strip():
            await topics.ensure(SUBSCRIPTIONS)
        yield topics
    finally:
        await topics.close()


def warn_unless_running(settings: Settings) -> None:
    """Local requests are rendered by a process that has to be started."""
    from scripts.local.lock import standing

    if not isinstance(settings.topics, LocalTopicsSettings):
        return
    match standing(settings):
        case "held":
            pass
        case "free":
            click.echo(f"note: no worker is running; start `renderlane up` on {settings.home}", err=True)
        case "unreadable":
            click.echo(
                f"note: cannot tell whether `renderlane up` is running on {settings.home}: its lock belongs to another "
                "account or cannot be read",
                err=True,
            )


def may_run(settings: Settings) -> bool:
    """Whether a worker may process what is published: False if this home's worker certainly does not run."""
    from scripts.local.lock import standing

    return not isinstance(settings.topics, LocalTopicsSettings) or standing(settings) != "free"


def events(settings: Settings) -> TextIO:
    """The file of this home's events, for appending."""
    from scripts.local import private_home
    from shared.adapters.telemetry.event_file import open_events

    private_home.prepare(settings)
    try:
        return open_events(settings.home / "events.jsonl")
    except OSError as error:
        raise InvalidSetting(
            f"RENDERLANE_HOME: {error.filename or settings.home} cannot be written ({error.strerror}). "
            "Make it this account's (chown), or name another folder."
        ) from error


def note_start(settings: Settings, *, url: str, simulated: bool) -> None:
    """Leave a note for the other commands of this home. Another account's note is replaced, if the folder is ours.
    Raises InvalidSetting."""
    path = _note_path(settings)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(new, "w", encoding="utf-8", opener=private_file.opener) as file:
            file.write(json.dumps({"url": url, "simulated": simulated}) + "\n")
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise InvalidSetting(
            f"RENDERLANE_HOME: {path} cannot be written ({error.strerror}). "
            "Make the folder this account's (chown), free space, or name another folder."
        ) from error


def is_simulated(settings: Settings) -> bool:
    """Whether the images of this home come from the simulator: by its last start, else as a start would decide."""
    try:
        note: Any = json.loads(_note_path(settings).read_text("utf-8"))
        return bool(note["simulated"])
    except (OSError, ValueError, KeyError, TypeError):
        return settings.one_machine and not settings.calls_google


def reads_live_quota(settings: Settings) -> bool:
    """Whether a worker of this home would read live limits: those of the built-in simulator are read by default."""
    if settings.live_quota == LiveQuotaOff("default"):
        return is_simulated(settings)
    return isinstance(settings.live_quota, LiveQuotaOn)


def say_if_simulated(settings: Settings) -> None:
    """On standard error: standard output may be read by a program."""
    if is_simulated(settings):
        click.secho(SIMULATOR, fg="yellow", bold=True, err=True)


def _exists(path: Path) -> bool:
    """Raises InvalidSetting if that cannot be determined."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise InvalidSetting(
            f"RENDERLANE_STORE or RENDERLANE_HOME: {path} cannot be read ({error.strerror}). "
            "A home belongs to the account that started it: run the command as that account."
        ) from error
    return True


def _note_path(settings: Settings) -> Path:
    return settings.home / "up.json"
