"""Renderlane against what one would take instead: handlers, LiteLLM's router, a durable queue; seven scenes, one table.

Each entrant has a simulated provider of its own, and the provider's record is the judge. The peers' packages are
installed from the package index into an environment of their own, and the durable queue needs PostgreSQL; where one
of them is missing, the race says so and runs the rest. A full race writes docs/race.json, docs/race.svg and the tables
of docs/benchmarks.md (25 min); --quick takes 4 min and writes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.bench.harness import rig
from scripts.bench.harness.progress import ProgressLine
from scripts.bench.race import chart, machine, report, track
from scripts.bench.race.checker import check
from scripts.bench.race.entrants import KINDS, OURS, EntrantKind
from scripts.bench.race.gate import STAGGER, Gate
from scripts.bench.race.scene import RaceScene
from scripts.bench.race.scenes import QUICK, SCENES

RACE, CHART, PAGE = Path("docs/race.json"), Path("docs/race.svg"), Path("docs/benchmarks.md")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--quick", action="store_true", help=f"short scenes, and only {', '.join(QUICK)} unless others are named"
    )
    options.add_argument("--scene", action="append", choices=list(SCENES), help="this one only; may be repeated")
    options.add_argument(
        "--peer", action="append", choices=[kind.name for kind in KINDS], help="these entrants only; may be repeated"
    )
    options.add_argument("--json", metavar="FILE", help="write the figures there")
    options.add_argument(
        "--update", action="store_true", help=f"put the scenes that are run into {RACE}; without --quick and --peer"
    )
    options.add_argument("--redraw", action="store_true", help=f"only write tables and chart again, from {RACE}")
    options.add_argument("--note", help="a sentence that the page shows beside the day and the machine")
    chosen = options.parse_args()
    if chosen.redraw:
        race = json.loads(RACE.read_text("utf-8"))
        write(race if chosen.note is None else race | {"note": chosen.note})
        return 0
    if chosen.update and (chosen.quick or chosen.peer):
        options.error("--update takes full scenes of all entrants: leave out --quick and --peer")
    kinds = [kind for kind in KINDS if not chosen.peer or kind.name in chosen.peer]
    names = chosen.scene or list(QUICK if chosen.quick else SCENES)
    race = asyncio.run(run(kinds, [SCENES[name](chosen.quick) for name in names])) | {"note": chosen.note or ""}
    for name in names:
        titles, rows = report.table(race, name)
        rig.print_table(race["scenes"][name]["title"], ["", *titles], rows)
        print("\n".join(report.losses_text(race, name)) + "\n")
    for kind in race["entrants"].values():
        print(f"{kind['label']} ({kind['lines']} lines): {kind['settings']}")
    rig.write_json(chosen.json, race)
    if chosen.update:
        race = updated(json.loads(RACE.read_text("utf-8")), race)
    if chosen.update or not (chosen.quick or chosen.scene or chosen.peer):
        write(race)
    return 1 if any(_lost(race, name) for name in names) else 0


def updated(race: dict[str, Any], rerun: dict[str, Any]) -> dict[str, Any]:
    """The race with the scenes of another run in place of its own."""
    return {**race, **rerun, "scenes": race["scenes"] | rerun["scenes"]}


def write(race: dict[str, Any]) -> None:
    """JSON, page and chart. What is shown of the figures, and how, is as it is in the code now."""
    race["entrants"] = report.kinds_json(KINDS)
    for name, played in race["scenes"].items():
        played["figures"] = list(SCENES[name](False).figures)
        played["entrants"] = {kind: report.undisturbed(row) for kind, row in played["entrants"].items()}
    rig.write_json(str(RACE), race)
    PAGE.write_text(report.put_into(PAGE.read_text("utf-8"), race), "utf-8")
    CHART.write_text(chart.draw(race), "utf-8")


def _lost(race: dict[str, Any], scene: str) -> int:
    """Requests that Renderlane lost in a scene that lasts until all have ended."""
    row = race["scenes"][scene]["entrants"].get(OURS, {})
    return int(row.get("lost", 0)) if "lost" in race["scenes"][scene]["figures"] else 0


async def run(kinds: Sequence[EntrantKind], scenes: Sequence[RaceScene], stagger: float = STAGGER) -> dict[str, Any]:
    progress = ProgressLine()
    race: dict[str, Any] = {
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} processors, Python {platform.python_version()}",
        "entrants": report.kinds_json(kinds),
        "scenes": {},
    }
    python, missing = None, ""
    if any(kind.name != OURS for kind in kinds):
        try:
            python = await asyncio.to_thread(machine.python)
        except machine.Missing as error:
            missing = str(error)
            progress.say(missing)
    for scene in scenes:
        rows = race["scenes"][scene.name] = report.scene_json(scene)
        progress.say(f"{scene.name}: {scene.title}")
        with tempfile.TemporaryDirectory(prefix="race-") as folder:
            os.chmod(folder, 0o755)  # PostgreSQL's user passes through
            gates = [Gate(1) for _ in kinds] if scene.alone else [Gate(len(kinds), stagger)] * len(kinds)
            pending = [
                _played(kind, scene, Path(folder) / kind.name, python or missing, gate, progress)
                for kind, gate in zip(kinds, gates, strict=True)
            ]
            if scene.alone:
                results = [await coroutine for coroutine in pending]
            else:
                results = await asyncio.gather(*pending)
        rows["entrants"] = {kind.name: row for kind, row in zip(kinds, results, strict=True)}
    return race


async def _played(
    kind: EntrantKind, scene: RaceScene, folder: Path, python: Path | str, gate: Gate, progress: ProgressLine
) -> dict[str, Any]:
    """`python` is the peers' interpreter, or why there is none."""
    if isinstance(python, str) and kind.name != OURS:
        gate.leave()
        return {"missing": python}
    interpreter = Path(sys.executable) if isinstance(python, str) else python
    try:
        recorded = await track.play(kind, scene, folder, interpreter, gate)
    except (machine.Missing, RuntimeError) as error:
        gate.leave()
        progress.say(f"{scene.name}, {kind.label}: {error}")
        return {"missing": str(error)}
    figures = check(scene, recorded)
    if figures.published_late > 1:
        progress.say(f"{scene.name}, {kind.label}: requests were published up to {figures.published_late:.1f} s late")
    progress.say(f"{scene.name}, {kind.label}: {figures.images} images of {len(scene.good)}")
    return report.undisturbed(report.figures_json(figures))


if __name__ == "__main__":
    sys.exit(main())
