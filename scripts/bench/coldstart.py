"""Cold start: from exec to the first answer of each function, beside the floor of the libraries it must load.

Every start is a functions-framework server of its own, from the bundle as it is deployed, byte-compiled, with the
settings that Terraform gives that function: only render and watch have a key. Rounds go round all of them and begin
with another each time, so that a busy moment meets each alike; the first round only warms the disk. The least of all
rounds counts, the start that nobody disturbed; the median stands beside it, and processor time.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from scripts.bench import rig
from scripts.deployment import bundle

FLOOR = Path(__file__).parent / "coldstart_floor"
READY = '''"""Functions that answer when what their first delivery needs is loaded."""

import functions_framework.aio
from main import *
from shared.wiring import worker
from starlette.responses import Response


@functions_framework.aio.http
async def first_call(request):
    import shared.flows.render

    await worker().ports.lanes["standard"].prepare()
    return Response(status_code=204)


@functions_framework.aio.http
async def first_look(request):
    import shared.flows.watch

    return Response(status_code=204 if worker().ports.live_quota else 500)
'''
PATIENCE_SECONDS = 60
GOAL = 1.15


@dataclass(frozen=True, slots=True)
class Start:
    name: str
    source: str
    """A file in the folder of the bundle, or the floor's."""
    target: str
    floor: str | None
    """What it is measured against."""
    has_key: bool = False


STARTS = (
    Start("floor", "floor", "floor", None),
    Start("floor + google-genai", "floor", "floor_with_genai", None),
    Start("intake", "main.py", "intake", "floor"),
    Start("pump", "main.py", "pump", "floor"),
    Start("bury", "main.py", "bury", "floor"),
    Start("watch", "ready.py", "first_look", "floor", has_key=True),
    Start("render", "main.py", "render", "floor", has_key=True),
    Start("render, first call", "ready.py", "first_call", "floor + google-genai", has_key=True),
)


@dataclass(frozen=True, slots=True)
class Took:
    wall_ms: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One server over all rounds, each beside the same figure of its floor."""

    least_ms: float
    median_ms: float
    cpu_ms: float
    """The least."""

    @classmethod
    def of(cls, took: Sequence[Took]) -> Figures:
        walls = [each.wall_ms for each in took]
        return cls(min(walls), statistics.median(walls), min(each.cpu_ms for each in took))

    def beside(self, floor: Figures) -> tuple[float, float, float]:
        return self.least_ms / floor.least_ms, self.median_ms / floor.median_ms, self.cpu_ms / floor.cpu_ms


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="two rounds instead of twelve")
    options.add_argument("--rounds", type=int, metavar="N", help="so many rounds")
    options.add_argument("--json", metavar="FILE")
    chosen = options.parse_args()
    rounds = chosen.rounds or (2 if chosen.quick else 12)
    found = _measured(rounds)
    figures = {name: Figures.of(took) for name, took in found.items()}
    rig.print_table(
        f"Cold start: exec to first answer, {rounds} rounds",
        [
            "server",
            "least ms",
            "of its floor",
            f"goal {GOAL}",
            "median ms",
            "of its floor's",
            "cpu ms",
            "of its floor's",
        ],
        [_row(each, figures) for each in STARTS],
    )
    rig.write_json(chosen.json, {"goal": GOAL, "rounds": rounds, "rows": [_told(each, figures) for each in STARTS]})
    return 0


def _measured(rounds: int) -> dict[str, list[Took]]:
    console = Console(stderr=True)
    found: dict[str, list[Took]] = {each.name: [] for each in STARTS}
    with tempfile.TemporaryDirectory() as folder:
        _unpack(Path(folder))
        for number in range(rounds + 1):
            console.print(f"round {number} of {rounds}" if number else "a round that is not counted")
            first = number % len(STARTS)
            for each in (*STARTS[first:], *STARTS[:first]):
                took = _start(each, Path(folder))
                if number:
                    found[each.name].append(took)
    return found


def _unpack(folder: Path) -> None:
    made = bundle.make(folder / "bundle.zip")
    if not made.compiled:
        Console(stderr=True).print("not byte-compiled: this Python is not the functions' runtime")
    with zipfile.ZipFile(made.path) as archive:
        archive.extractall(folder)
    (folder / "ready.py").write_text(READY)
    (folder / "floor").mkdir()
    (folder / "floor/main.py").write_bytes((FLOOR / "main.py").read_bytes())
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", str(folder / "floor"), str(folder / "ready.py")], check=True
    )


def _start(start: Start, folder: Path) -> Took:
    """Start a server, ask once, end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = ["--source", "main.py" if start.source == "floor" else start.source, "--target", start.target]
    program = str(Path(sys.executable).parent / "functions-framework")
    before = os.times()
    began = time.monotonic()
    process = subprocess.Popen(
        [program, *source, "--port", str(port), "--host", "127.0.0.1"],
        cwd=folder / "floor" if start.source == "floor" else folder,
        env=_environment(has_key=start.has_key),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _answered(f"http://127.0.0.1:{port}", start.name)
        wall = time.monotonic() - began
    finally:
        process.terminate()
        process.wait(timeout=30)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(1000 * wall, 1000 * cpu)


def _environment(*, has_key: bool) -> dict[str, str]:
    """As in the cloud, with emulators that nobody reaches before the first answer."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return (
        kept
        | ({"GEMINI_API_KEY": "AQ.bench"} if has_key else {})
        | {
            "RENDERLANE_STORE": "firestore://bench",
            "RENDERLANE_TOPICS": "pubsub://bench",
            "RENDERLANE_IMAGES": "gs://bench",
            "RENDERLANE_LIVE_QUOTA": "limits,usage@http://127.0.0.1:9",
            "FIRESTORE_EMULATOR_HOST": "127.0.0.1:9",
            "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        }
    )


def _answered(url: str, name: str) -> None:
    """Raises RuntimeError where it answers otherwise than expected, TimeoutError where it does not."""
    began = time.monotonic()
    asked = urllib.request.Request(url, data=b"{}", method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() - began < PATIENCE_SECONDS:
        try:
            with opener.open(asked, timeout=PATIENCE_SECONDS):
                return
        except urllib.error.HTTPError as error:
            if error.code == 400:  # no push: read after the worker was built
                return
            raise RuntimeError(f"{name} answered {error.code}: {error.read()[:300]!r}") from error
        except OSError:
            time.sleep(0.01)
    raise TimeoutError(f"{name} did not answer within {PATIENCE_SECONDS} s")


def _told(start: Start, figures: dict[str, Figures]) -> dict[str, object]:
    mine = figures[start.name]
    told: dict[str, object] = {
        "server": start.name,
        "least_ms": round(mine.least_ms),
        "median_ms": round(mine.median_ms),
        "cpu_ms": round(mine.cpu_ms),
        "floor": start.floor,
    }
    if start.floor is not None:
        least, median, cpu = (round(each, 3) for each in mine.beside(figures[start.floor]))
        told |= {"least_of_floor": least, "median_of_floor": median, "cpu_of_floor": cpu, "met": least <= GOAL}
    return told


def _row(start: Start, figures: dict[str, Figures]) -> list[str]:
    mine = figures[start.name]
    shown = [f"{each:,.0f}" for each in (mine.least_ms, mine.median_ms, mine.cpu_ms)]
    if start.floor is None:
        return [start.name, shown[0], "", "", shown[1], "", shown[2], ""]
    least, median, cpu = mine.beside(figures[start.floor])
    met = "met" if least <= GOAL else "MISSED"
    return [start.name, shown[0], f"{least:.2f}", met, shown[1], f"{median:.2f}", shown[2], f"{cpu:.2f}"]


if __name__ == "__main__":
    sys.exit(main())
