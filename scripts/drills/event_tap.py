"""The worker's events as they are written: kept, passed on, and in the home's own file as ever."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any, TextIO

Heard = Callable[[Mapping[str, Any]], None]


class Tape(io.TextIOBase):
    """A stream for `JsonSignals`."""

    def __init__(self, file: TextIO, heard: Heard | None = None) -> None:
        self._file = file
        self._heard = heard
        self.events: list[Mapping[str, Any]] = []

    def write(self, text: str) -> int:
        for line in text.splitlines():
            event = json.loads(line)
            self.events.append(event)
            if self._heard is not None:
                self._heard(event)
        return self._file.write(text)

    def flush(self) -> None:
        self._file.flush()
