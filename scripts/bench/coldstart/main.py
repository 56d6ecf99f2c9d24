"""Cold start: from exec to the first answer of each function, beside the floor of the libraries it must load.

Every start is a functions-framework server of its own, from the bundle as it is deployed, byte-compiled, with the
settings that Terraform gives that function: only render, collect and watch have a key; it answers when what its first
delivery needs is loaded. A start stands between two of its floor and is divided by their mean: a machine whose speed
changes from second to second changes all three alike. The median of these ratios counts. Each round runs all of
them and begins with another; the first one only warms the disk.

`--against CHECKOUT` starts the same functions of another checkout (one that is set up) in turn with ours, and sends a
first request to both intakes, on the emulators.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, to_builtins
from msgspec.structs import replace
from rich.console import Console

from scripts.bench.coldstart import server
from scripts.bench.coldstart.against import compare
from scripts.bench.coldstart.server import Took
from scripts.bench.harness import rig
from scripts.deployment import bundle

FLOOR = Path(__file__).parent / "floor"
READY = '''"""Functions that answer when what their first delivery needs is loaded."""

import functions_framework.aio
from main import *
from shared.wiring import worker
from starlette.responses import Response


@functions_framework.aio.http
async def first_kick(request):
    assert worker().pump
    return Response(status_code=204)


@functions_framework.aio.http
async def first_call(request):
    import shared.flows.render.render

    await worker().ports.lanes["standard"].prepare()
    return Response(status_code=204)


@functions_framework.aio.http
async def first_look(request):
    import shared.flows.upkeep.watch

    return Response(status_code=204 if worker().ports.live_quota else 500)
'''
GOAL = 1.15


class MeasuredStart(Struct, frozen=True):
    name: str
    source: str
    """A file in the folder of the bundle, or the floor's."""
    target: str
    floor: MeasuredStart | None
    """What it is measured against."""
    has_key: bool = False


FLOOR_ALONE = MeasuredStart("floor", "floor", "floor", None)
WITH_GENAI = MeasuredStart("floor + google-genai", "floor", "floor_with_genai", None)
FLOORS = (FLOOR_ALONE, WITH_GENAI)
FUNCTIONS = (
    MeasuredStart("intake", "main.py", "intake", FLOOR_ALONE),
    MeasuredStart("pump", "ready.py", "first_kick", FLOOR_ALONE),
    MeasuredStart("bury", "main.py", "bury", FLOOR_ALONE),
    MeasuredStart("deliver", "main.py", "deliver", FLOOR_ALONE),
    MeasuredStart("watch", "ready.py", "first_look", FLOOR_ALONE, has_key=True),
    MeasuredStart("render", "main.py", "render", FLOOR_ALONE, has_key=True),
    MeasuredStart("collect", "main.py", "collect", FLOOR_ALONE, has_key=True),
    MeasuredStart("render, first call", "ready.py", "first_call", WITH_GENAI, has_key=True),
)


class Pair(Struct, frozen=True):
    """One start and the floor's before and after it."""

    start: Took
    floors: tuple[Took, Took]

    @property
    def wall(self) -> float:
        return self.start.wall_ms / statistics.fmean(floor.wall_ms for floor in self.floors)

    @property
    def cpu(self) -> float:
        return self.start.cpu_ms / statistics.fmean(floor.cpu_ms for floor in self.floors)


class ServerRow(Struct, frozen=True):
    """One server over all rounds; the ratios are medians, and the floors have none."""

    server: str
    wall_ms: float
    """The median."""
    cpu_ms: float
    """The median."""
    wall_of_floor: float | None = None
    middle_half: tuple[float, float] | None = None
    """Of the wall ratios: the first and the third quartile."""
    cpu_of_floor: float | None = None

    @property
    def met(self) -> bool | None:
        return None if self.wall_of_floor is None else self.wall_of_floor <= GOAL

    @classmethod
    def of_floor(cls, start: MeasuredStart, took: Sequence[Took]) -> ServerRow:
        walls, processor = [item.wall_ms for item in took], [item.cpu_ms for item in took]
        return cls(start.name, statistics.median(walls), statistics.median(processor))

    @classmethod
    def of(cls, start: MeasuredStart, pairs: Sequence[Pair]) -> ServerRow:
        row = cls.of_floor(start, [pair.start for pair in pairs])
        ratios = [pair.wall for pair in pairs]
        first, median, third = statistics.quantiles(ratios, n=4, method="inclusive")
        cpu = statistics.median(pair.cpu for pair in pairs)
        return replace(row, wall_of_floor=median, middle_half=(first, third), cpu_of_floor=cpu)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="two rounds instead of twelve")
    options.add_argument("--rounds", type=int, metavar="N", help="so many rounds, at least two")
    options.add_argument("--against", metavar="CHECKOUT", type=Path, help="compare with another checkout instead")
    options.add_argument("--json", metavar="FILE")
    chosen = options.parse_args()
    rounds = max(2, chosen.rounds or (2 if chosen.quick else 12))
    if chosen.against is not None:
        return compare(chosen.against, rounds, chosen.json)
    rows = _measured(rounds)
    rig.print_table(
        f"Cold start: exec to first answer, {rounds} rounds",
        ["server", "wall ms", "of its floor", "middle half", f"goal {GOAL}", "processor ms", "of its floor's"],
        [_shown(row) for row in rows],
    )
    records = [to_builtins(row) | {"met": row.met} for row in rows]
    rig.write_json(chosen.json, {"goal": GOAL, "rounds": rounds, "rows": records})
    return 0


def _measured(rounds: int) -> list[ServerRow]:
    console = Console(stderr=True)
    floors: dict[str, list[Took]] = {floor.name: [] for floor in FLOORS}
    pairs: dict[str, list[Pair]] = {function.name: [] for function in FUNCTIONS}
    with tempfile.TemporaryDirectory() as folder:
        _unpack(Path(folder))
        for number in range(rounds + 1):
            console.print(f"round {number} of {rounds}" if number else "a round that is not counted")
            floor_times, start_pairs = _round(number % len(FUNCTIONS), Path(folder))
            if number:
                for name in floors:
                    floors[name] += floor_times[name]
                for name in pairs:
                    pairs[name].append(start_pairs[name])
    return [ServerRow.of_floor(floor, floors[floor.name]) for floor in FLOORS] + [
        ServerRow.of(function, pairs[function.name]) for function in FUNCTIONS
    ]


def _round(first: int, folder: Path) -> tuple[dict[str, list[Took]], dict[str, Pair]]:
    """Every function once, each between two starts of its floor; neighbours of the same floor share one."""
    floor_times: dict[str, list[Took]] = {start.name: [] for start in FLOORS}
    start_pairs: dict[str, Pair] = {}
    before: MeasuredStart | None = None
    for start in (*FUNCTIONS[first:], *FUNCTIONS[:first]):
        assert start.floor is not None
        floor = floor_times[start.floor.name]
        if start.floor is not before:
            floor.append(_start(start.floor, folder))
        took = _start(start, folder)
        floor.append(_start(start.floor, folder))
        start_pairs[start.name] = Pair(took, (floor[-2], floor[-1]))
        before = start.floor
    return floor_times, start_pairs


def _unpack(folder: Path) -> None:
    made = bundle.make(folder / "bundle.zip")
    with zipfile.ZipFile(made.path) as archive:
        archive.extractall(folder)
    (folder / "ready.py").write_text(READY)
    (folder / "floor").mkdir()
    (folder / "floor/main.py").write_bytes((FLOOR / "main.py").read_bytes())
    server.byte_compile(folder, sys.executable)


def _start(start: MeasuredStart, folder: Path) -> Took:
    of_floor = start.source == "floor"
    served = folder / "floor" if of_floor else folder
    return server.start(
        served, "main.py" if of_floor else start.source, start.target, server.environment(start.has_key)
    )


def _shown(row: ServerRow) -> list[str]:
    wall, cpu = f"{row.wall_ms:,.0f}", f"{row.cpu_ms:,.0f}"
    if row.wall_of_floor is None or row.middle_half is None:
        return [row.server, wall, "", "", "", cpu, ""]
    half = f"{row.middle_half[0]:.2f} to {row.middle_half[1]:.2f}"
    met = "met" if row.met else "MISSED"
    return [row.server, wall, f"{row.wall_of_floor:.2f}", half, met, cpu, f"{row.cpu_of_floor:.2f}"]


if __name__ == "__main__":
    sys.exit(main())
