"""Cold start: from exec to the first answer of each function, beside the floor of the libraries it must load.

Every start is a functions-framework server of its own, from the bundle as it is deployed, byte-compiled. Rounds go
round all of them, so that a busy moment meets each alike; the least of all rounds counts, in wall and processor time.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
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
    await worker().ports.lanes["standard"].prepare()
    return Response(status_code=204)


@functions_framework.aio.http
async def first_look(request):
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


STARTS = (
    Start("floor", "floor", "floor", None),
    Start("floor + google-genai", "floor", "floor_with_genai", None),
    Start("intake", "main.py", "intake", "floor"),
    Start("pump", "main.py", "pump", "floor"),
    Start("bury", "main.py", "bury", "floor"),
    Start("watch", "ready.py", "first_look", "floor"),
    Start("render", "main.py", "render", "floor"),
    Start("render, first call", "ready.py", "first_call", "floor + google-genai"),
)


@dataclass(frozen=True, slots=True)
class Took:
    wall_ms: float
    cpu_ms: float


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="two rounds instead of eight")
    options.add_argument("--json", metavar="FILE")
    chosen = options.parse_args()
    console = Console(stderr=True)
    found: dict[str, list[Took]] = {each.name: [] for each in STARTS}
    with tempfile.TemporaryDirectory() as folder:
        _unpack(Path(folder))
        for number in range(2 if chosen.quick else 8):
            console.print(f"round {number + 1}")
            for each in STARTS:
                found[each.name].append(_start(each, Path(folder)))
    least = {name: Took(min(t.wall_ms for t in took), min(t.cpu_ms for t in took)) for name, took in found.items()}
    rows = [_row(each, least) for each in STARTS]
    rig.print_table(
        "Cold start: exec to first answer, least of all rounds",
        ["server", "ms", "of its floor", f"goal {GOAL}", "processor ms", "of its floor's"],
        rows,
    )
    figures = [
        {
            "server": each.name,
            "wall_ms": round(least[each.name].wall_ms),
            "cpu_ms": round(least[each.name].cpu_ms),
            "floor": each.floor,
            "of_floor": _of_floor(each, least),
        }
        for each in STARTS
    ]
    rig.write_json(chosen.json, {"goal": GOAL, "rows": figures})
    return 0


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
        env=_environment(),
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


def _environment() -> dict[str, str]:
    """As in the cloud, with emulators that nobody reaches before the first answer."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "GEMINI_API_KEY": "AQ.bench",
        "RENDERLANE_STORE": "firestore://bench",
        "RENDERLANE_TOPICS": "pubsub://bench",
        "RENDERLANE_IMAGES": "gs://bench",
        "RENDERLANE_LIVE_QUOTA": "limits,usage@http://127.0.0.1:9",
        "FIRESTORE_EMULATOR_HOST": "127.0.0.1:9",
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }


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


def _of_floor(start: Start, least: dict[str, Took]) -> float | None:
    return round(least[start.name].wall_ms / least[start.floor].wall_ms, 3) if start.floor else None


def _row(start: Start, least: dict[str, Took]) -> list[str]:
    took = least[start.name]
    if start.floor is None:
        return [start.name, f"{took.wall_ms:,.0f}", "", "", f"{took.cpu_ms:,.0f}", ""]
    share = took.wall_ms / least[start.floor].wall_ms
    met = "met" if share <= GOAL else "MISSED"
    return [
        start.name, f"{took.wall_ms:,.0f}", f"{share:.2f}", met, f"{took.cpu_ms:,.0f}",
        f"{took.cpu_ms / least[start.floor].cpu_ms:.2f}",
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
