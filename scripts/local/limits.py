"""What the one-machine home may use, checked at its start against RENDERLANE_CAPACITY: descriptors, memory, disk.

Sources of the check: https://github.com/fastapi/fastapi/issues/4231, https://github.com/Kludex/uvicorn/issues/1030 (a
server without descriptors), https://github.com/liamcottle/reticulum-meshchat/issues/140 (macOS starts with 256).
"""

from __future__ import annotations

import resource
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from shared.adapters.process.byte_room import memory_of_this_process, room_of
from shared.config import InvalidSetting, Settings
from shared.core.references.reference_set import ANSWER_BYTES

OWN = 112
"""Descriptors of the home itself: the store, events, the listeners, the console, callers."""
PER_ATTEMPT = 7
"""The call and a look at it, each with both ends where the simulator answers; its webhook, with both ends; the image's
file. Deliveries need none."""
LEAST_FREE = 64_000_000
IMAGE_BYTES = 5_000_000
"""Size of a usual image, for the free space that the disk should have."""


class Fit(Struct, frozen=True):
    """What the start does about this machine's limits."""

    capacity: int
    notes: tuple[str, ...] = ()
    """For a person: what was found, and the remedy."""


def descriptors_for(capacity: int) -> int:
    return OWN + PER_ATTEMPT * capacity


def fit(capacity: int, descriptors: int) -> Fit:
    """The capacity that this many file descriptors allow. Raises InvalidSetting if they allow none. Pure."""
    needed = descriptors_for(capacity)
    if descriptors >= needed:
        return Fit(capacity)
    carried = (descriptors - descriptors_for(0)) // PER_ATTEMPT
    if carried < 1:
        raise InvalidSetting(
            f"RENDERLANE_CAPACITY: found {descriptors} file descriptors for this process; allowed: at least "
            f"{descriptors_for(1)}, and {needed} for a capacity of {capacity}. Raise the limit: ulimit -n {needed}"
        )
    return Fit(
        carried,
        (
            f"capacity {carried} instead of {capacity}: this process may have {descriptors} file descriptors, and "
            f"{needed} are needed. Raise the limit (ulimit -n {needed}) or set RENDERLANE_CAPACITY={carried}",
        ),
    )


def fit_memory(capacity: int, room: int) -> Fit:
    """The capacity that this much memory allows, with usual images: more would wait for memory past their slots.
    Pure."""
    carried = max(room // ANSWER_BYTES["1K"], 1)
    if carried >= capacity:
        return Fit(capacity)
    return Fit(
        carried,
        (
            f"capacity {carried} instead of {capacity}: there are {room:,} bytes of memory for calls, and "
            f"{ANSWER_BYTES['1K']:,} are counted for each. Give this process more memory, or set "
            f"RENDERLANE_CAPACITY={carried}",
        ),
    )


def raised_descriptors(needed: int) -> int:
    """The limit of file descriptors, raised to `needed` as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return needed
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):  # macOS has a limit of its own below an unlimited hard one
        return soft
    return wanted


def fitted(settings: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings with a capacity that this machine can carry, and what a person should know. Raises
    InvalidSetting."""
    fitted_capacity = fit(settings.capacity, raised_descriptors(descriptors_for(settings.capacity)))
    remembered = fit_memory(fitted_capacity.capacity, room_of(memory_of_this_process()))
    notes = (*fitted_capacity.notes, *remembered.notes, *disk_notes(settings))
    return replace(settings, capacity=remembered.capacity), notes


def disk_notes(settings: Settings) -> tuple[str, ...]:
    """Raises InvalidSetting if there is no free space to begin with: paid images could not be stored anywhere."""
    notes = []
    for name, folder in disk_places(settings).items():
        free = free_bytes(folder)
        if free is None:
            continue
        if free < LEAST_FREE:
            raise InvalidSetting(
                f"{name}: found {free:,} bytes free at {folder}; allowed: at least {LEAST_FREE:,}. Make room, or name "
                "another place: an image that is paid for could not be stored"
            )
        if free < settings.capacity * IMAGE_BYTES:
            notes.append(
                f"{name}: {free:,} bytes are free at {folder}; {settings.capacity} images at once may need "
                f"{settings.capacity * IMAGE_BYTES:,}. Make room, or name another place"
            )
    return tuple(notes)


def _folder(images: str) -> Path | None:
    parts = urlsplit(images)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def disk_places(settings: Settings) -> dict[str, Path]:
    """Folders of this machine that are written to, by the setting that names them."""
    places: dict[str, Path | None] = {"RENDERLANE_HOME": settings.home, "RENDERLANE_IMAGES": _folder(settings.images)}
    return {name: folder for name, folder in places.items() if folder is not None}


def free_bytes(folder: Path) -> int | None:
    """Of its disk, or of that of the nearest parent that exists."""
    for path in (folder, *folder.absolute().parents):
        try:
            return shutil.disk_usage(path).free
        except OSError:
            continue
    return None
