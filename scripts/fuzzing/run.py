"""Plays cases of one door until their number or their time is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field

from scripts.fuzzing.door import FuzzedDoor, chance, problems_of
from scripts.fuzzing.finding import FuzzFinding

Tell = Callable[["DoorTally"], None]
MOST_OF_A_KIND = 3
"""Findings of one kind that are written down; all are counted."""
TELL_EVERY = 5.0
"""Seconds."""


class DoorTally(Struct):
    door: str
    cases: int = 0
    seconds: float = 0.0
    findings: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return {
            "door": self.door,
            "cases": self.cases,
            "seconds": round(self.seconds, 1),
            "findings": self.findings,
            "kinds": self.kinds,
            "files": [str(path) for path in self.files],
        }


def run(
    door: FuzzedDoor, seed: int, folder: Path, *, seconds: float = float("inf"), cases: int | None = None,
    tell: Tell = lambda tally: None, now: Callable[[], float] = time.monotonic,
) -> DoorTally:  # fmt: skip
    """At least one case; findings are files in `folder`."""
    tally = DoorTally(door.name)
    began = told_at = now()
    while tally.cases != cases:
        item = door.draw(chance(seed, door.name, tally.cases))
        problems = problems_of(door, item)
        if problems:
            _note(tally, FuzzFinding(door.name, seed, tally.cases, problems, item), folder)
        tally.cases += 1
        tally.seconds = now() - began
        if tally.seconds >= seconds:
            break
        if now() - told_at >= TELL_EVERY:
            told_at = now()
            tell(tally)
    return tally


def _note(tally: DoorTally, finding: FuzzFinding, folder: Path) -> None:
    count = tally.kinds[finding.kind] = tally.kinds.get(finding.kind, 0) + 1
    tally.findings += 1
    if count <= MOST_OF_A_KIND:
        tally.files.append(finding.write(folder))
