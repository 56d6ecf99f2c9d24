"""Paid images that could not be stored, in a folder of this machine: one file each, on the disk before `keep` returns.

A file is written beside its name, flushed to the disk and renamed; then its folder is flushed. One file descriptor is
held in reserve, so that an image can be kept when the process has none left.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from shared.adapters.object_storage import kept_file
from shared.core.provider.call import Picture
from shared.core.provider.kept_image import KeptImage
from shared.ports.images import ImagesUnavailable

T = TypeVar("T")
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)


class DiskSpool:
    """The Spool port in `folder`, which is made when it is first written to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._lock = threading.Lock()
        self._reserve: int | None = os.open(os.devnull, os.O_RDONLY)

    async def keep(self, key: str, picture: Picture, facts: Mapping[str, str]) -> KeptImage:
        data = kept_file.written(key, picture, facts)
        path = self._folder / kept_file.name_of(key)
        await asyncio.to_thread(self._with_descriptor, lambda: self._write(path, data))
        return KeptImage(key, path.as_uri(), dict(facts))

    async def find(self, prefix: str) -> KeptImage | None:
        return await asyncio.to_thread(self._with_descriptor, lambda: self._find(kept_file.name_of(prefix)))

    async def read(self, kept: KeptImage) -> Picture:
        path = self._folder / kept_file.name_of(kept.key)
        data = await asyncio.to_thread(self._with_descriptor, path.read_bytes)
        with _explained(f"read {path}"):
            return kept_file.read(data)[1]

    async def drop(self, kept: KeptImage) -> None:
        path = self._folder / kept_file.name_of(kept.key)
        with _explained(f"remove {path}"):
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def close(self) -> None:
        with self._lock:
            self._give_reserve()

    def _write(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with open(beside, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _find(self, prefix: str) -> KeptImage | None:
        """The first complete one; incomplete ones are skipped."""
        try:
            names = sorted(name for name in os.listdir(self._folder) if name.startswith(prefix))
        except FileNotFoundError:
            return None
        for name in names:
            path = self._folder / name
            with contextlib.suppress(kept_file.BrokenFile):
                key, _, facts = kept_file.read(path.read_bytes())
                return KeptImage(key, path.as_uri(), facts)
        return None

    def _with_descriptor(self, work: Callable[[], T]) -> T:
        """The result of `work`; with the reserved descriptor if there is no other."""
        with self._lock, _explained(f"use the spool {self._folder}"):
            try:
                return work()
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR:
                    raise
            self._give_reserve()
            try:
                return work()
            finally:
                with contextlib.suppress(OSError):
                    self._reserve = os.open(os.devnull, os.O_RDONLY)

    def _give_reserve(self) -> None:
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except (OSError, kept_file.BrokenFile) as error:
        raise ImagesUnavailable(f"could not {doing}: {error}; check free space and access") from error
