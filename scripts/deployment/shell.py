"""How a deployment runs commands: one way to look, one to change something."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Protocol

from scripts.deployment.place import ROOT

KEPT_LINES = 200
"""Lines of stderr that are kept: an apply's errors come last."""


class Shell(Protocol):
    def look(self, *words: str) -> str | None:
        """The output of a command that changes nothing; None where it fails."""
        ...

    def answer(self, *words: str) -> str:
        """What a command that changes nothing says, however it ends."""
        ...

    def do(self, *words: str) -> str | None:
        """Run a command that changes something, its output shown. None, or where it fails the end of its stderr."""
        ...

    def pause(self, seconds: int) -> None: ...


class RealShell:
    def look(self, *words: str) -> str | None:
        ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        return ended.stdout.strip() if ended.returncode == 0 else None

    def answer(self, *words: str) -> str:
        ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        return ended.stdout or ended.stderr

    def do(self, *words: str) -> str | None:
        lines = []
        with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr or ():
                sys.stderr.write(line)
                lines.append(line)
        return "".join(lines[-KEPT_LINES:]) if process.returncode else None

    def pause(self, seconds: int) -> None:
        time.sleep(seconds)
