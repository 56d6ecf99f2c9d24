"""What a long bench says while it runs: a line with the time since it began."""

from __future__ import annotations

import time

from rich.console import Console


class ProgressLine:
    def __init__(self) -> None:
        self._began = time.monotonic()
        self._console = Console(stderr=True, highlight=False)

    def say(self, what: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        self._console.print(f"{minutes:3d}:{seconds:02d}  {what}")
