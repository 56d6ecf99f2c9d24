"""The file of a home's events: bounded, and never a reason why a request fails.

At LARGEST_BYTES it is set aside as `NAME.1`, which becomes `NAME.2`, and so on up to KEPT. A disk that takes nothing
loses lines: a person is told once on standard error, and once more, with their number, when lines are written again.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from shared.adapters.process import private_file
from shared.adapters.process.standard_error import tell

LARGEST_BYTES = 64 * 1024 * 1024
KEPT = 3


def open_events(path: Path) -> io.TextIOWrapper:
    """For appending; each line is in the file when its write returns. Raises OSError where it cannot be opened."""
    return io.TextIOWrapper(EventFile(path), encoding="utf-8", write_through=True)


class EventFile(io.RawIOBase):
    """Takes whole lines. Where another process of the home appends too, both go to the same file."""

    _file: BinaryIO | None = None
    """Also where it cannot be opened: the interpreter closes what was half made."""

    def __init__(
        self, path: Path, largest: int = LARGEST_BYTES, kept: int = KEPT, say: Callable[[str], None] = tell
    ) -> None:
        self.name = str(path)
        self._path = path
        self._largest = largest
        self._kept = kept
        self._say = say
        self._file = private_file.append_to(path)
        self._lost = 0
        self._torn = False
        """The last write came to the file in part: its line must end before another begins."""

    def writable(self) -> bool:
        return True

    def write(self, lines: object) -> int:
        """All of it, or none: what is lost is counted."""
        data = bytes(lines)  # type: ignore[call-overload]
        try:
            self._append(data)
        except OSError as error:
            if not self._lost:
                self._say(f"renderlane: events are lost, {self._path} cannot be written ({error.strerror})")
            self._lost += data.count(b"\n")
            return len(data)
        if self._lost:
            self._say(f"renderlane: {self._path} can be written again; {self._lost:,} events were lost")
            self._lost = 0
        return len(data)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()

    def _append(self, data: bytes) -> None:
        file = self._opened()
        if self._torn:
            file.write(b"\n")
            self._torn = False
        left = data
        while left:
            written = file.write(left)
            left = left[written:]
            self._torn = bool(left)

    def _opened(self) -> BinaryIO:
        if self._file is not None and self._file.tell() >= self._largest:
            self._file.close()
            self._file = None
            for number in range(self._kept, 0, -1):
                older = self._path.with_name(f"{self._path.name}.{number}")
                newer = self._path if number == 1 else self._path.with_name(f"{self._path.name}.{number - 1}")
                if newer.exists():
                    newer.replace(older)
        if self._file is None:
            self._file = private_file.append_to(self._path)
        return self._file
