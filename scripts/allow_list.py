"""What is still allowed, by file, in a list that only shrinks: a path and one number for each kind on a line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

Counts: TypeAlias = tuple[int, ...]
"""Of one file: how often each kind stands in it."""


class AllowList(Struct, frozen=True):
    """One check's list."""

    path: Path
    check: str
    """The module that writes it."""
    kinds: tuple[str, ...]

    def read(self, text: str) -> dict[str, Counts]:
        rows = (line.rsplit(" ", len(self.kinds)) for line in text.splitlines() if line and not line.startswith("#"))
        return {path: tuple(map(int, numbers)) for path, *numbers in rows}

    def write(self, counts: Mapping[str, Counts]) -> str:
        head = (
            f"# {', '.join(('path', *self.kinds))}: see {self.check.replace('.', '/')}.py."
            f" Written by `python -m {self.check} --write`; only shrinks.\n"
        )
        return head + "".join(f"{path} {' '.join(map(str, numbers))}\n" for path, numbers in sorted(counts.items()))

    def refuse_growth(
        self, counts: Mapping[str, Counts], report: Callable[[str, Counts, Counts], Iterable[str]], remedy: str
    ) -> None:
        """Exit with 1 where a file has more than the list allows; `--write` shrinks the list.

        `report` makes the lines for a file of its counts and of what is allowed.
        """
        none = (0,) * len(self.kinds)
        allowed = self.read(self.path.read_text("utf-8")) if self.path.exists() else dict(counts)
        if "--write" in sys.argv[1:]:
            self.path.write_text(self.write(shrunk(counts, allowed)), "utf-8")
        too_many = grown(counts, allowed)
        for path in too_many:
            print(*report(path, counts[path], allowed.get(path, none)), sep="\n")
        if too_many:
            print(remedy)
            raise SystemExit(1)
        if shrunk(counts, allowed) != allowed:
            print(f"fewer than allowed: run `.venv/bin/python -m {self.check} --write` to keep it so")


def grown(counts: Mapping[str, Counts], allowed: Mapping[str, Counts]) -> list[str]:
    """The files with more of a kind than allowed."""
    return [
        path
        for path, numbers in sorted(counts.items())
        if any(now > most for now, most in zip(numbers, allowed.get(path, (0,) * len(numbers)), strict=True))
    ]


def shrunk(counts: Mapping[str, Counts], allowed: Mapping[str, Counts]) -> dict[str, Counts]:
    """The smaller of both counts, without files that have none left."""
    lower = {path: tuple(map(min, most, counts.get(path, (0,) * len(most)))) for path, most in allowed.items()}
    return {path: numbers for path, numbers in lower.items() if any(numbers)}


def tracked() -> list[str]:
    """The files of the checkout, those too that are not committed yet."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
