"""Our starts beside those of another checkout, in turn, so that both meet the same machine.

Rows are starts until the first answer, and one whole first delivery: a render request is pushed to intake and answered
when it is on record, the pump is kicked and the telemetry is sent. The store and the topics are the emulators, which
have seen one request before; a collector on this machine takes the telemetry.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from msgspec import Struct, to_builtins
from rich.console import Console

from scripts.bench.coldstart import server
from scripts.bench.harness import rig
from scripts.local.emulators import firestore_emulator, pubsub_emulator
from shared.core.messages.topics import SUBSCRIPTIONS

KICK = '''"""The pump, ready for its first kick."""

import functions_framework.aio
from main import *
from shared.wiring import worker
from starlette.responses import Response


@functions_framework.aio.http
async def first_kick(request):
    assert worker().pump
    return Response(status_code=204)
'''


class Side(Struct, frozen=True):
    """An unpacked bundle, and the interpreter whose libraries it was written for."""

    folder: Path
    python: str


class Compared(Struct, frozen=True):
    row: str
    ours_ms: float
    """The median."""
    theirs_ms: float
    ratio: float
    """The median of the ratios of neighbours."""


class _Scene(Struct, frozen=True):
    row: str
    source: str
    target: str
    has_key: bool = False
    with_request: bool = False


SCENES = (
    _Scene("intake", "main.py", "intake"),
    _Scene("pump", "kick.py", "first_kick"),
    _Scene("render", "main.py", "render", has_key=True),
    _Scene("bury", "main.py", "bury"),
    _Scene("intake, a request on record", "main.py", "intake", with_request=True),
)


def compare(other: Path, rounds: int, json_file: str | None) -> int:
    python = str(other.resolve() / ".venv/bin/python")
    if not Path(python).exists():
        print(f"--against: found no {python}; run ./scripts/setup in that checkout", file=sys.stderr)
        return 2
    console = Console(stderr=True)
    took: dict[str, list[tuple[float, float]]] = {scene.row: [] for scene in SCENES}
    with tempfile.TemporaryDirectory() as folder, _emulators() as addresses:
        ours = _unpacked(Path.cwd(), sys.executable, Path(folder, "ours"))
        theirs = _unpacked(other, python, Path(folder, "theirs"))
        for number in range(rounds + 1):
            console.print(f"round {number} of {rounds}" if number else "a round that is not counted")
            for scene in SCENES:
                order = (ours, theirs) if number % 2 else (theirs, ours)
                walls = {side: _wall(side, scene, addresses) for side in order}
                if number:
                    took[scene.row].append((walls[ours], walls[theirs]))
    rows = [_compared(row, pairs) for row, pairs in took.items()]
    rig.print_table(
        f"Cold start beside another checkout, {rounds} rounds",
        ["server", "ours ms", "theirs ms", "of theirs"],
        [[row.row, f"{row.ours_ms:,.0f}", f"{row.theirs_ms:,.0f}", f"{row.ratio:.2f}"] for row in rows],
    )
    rig.write_json(json_file, {"rounds": rounds, "rows": [to_builtins(row) for row in rows]})
    return 0


def _compared(row: str, pairs: list[tuple[float, float]]) -> Compared:
    ours, theirs = zip(*pairs, strict=True)
    ratio = statistics.median(mine / other for mine, other in pairs)
    return Compared(row, statistics.median(ours), statistics.median(theirs), ratio)


def _wall(side: Side, scene: _Scene, addresses: Mapping[str, str]) -> float:
    environment = server.environment(scene.has_key, **(addresses if scene.with_request else {}))
    body = _push() if scene.with_request else b"{}"
    return server.start(side.folder, scene.source, scene.target, environment, body=body, python=side.python).wall_ms


def _push() -> bytes:
    request = {"request_id": uuid.uuid4().hex, "tenant": "web", "prompt": "a lighthouse"}
    data = base64.b64encode(json.dumps(request).encode()).decode()
    message = {"data": data, "messageId": uuid.uuid4().hex, "publishTime": "2026-11-30T00:00:00Z"}
    return json.dumps({"message": message, "subscription": "projects/bench/subscriptions/render-requests"}).encode()


def _unpacked(checkout: Path, python: str, folder: Path) -> Side:
    """Its own code makes its bundle."""
    folder.mkdir()
    out = folder / "bundle.zip"
    make = "import pathlib, sys; from scripts.deployment import bundle; bundle.make(pathlib.Path(sys.argv[1]))"
    subprocess.run([python, "-c", make, str(out)], cwd=checkout, check=True, stdout=subprocess.DEVNULL)
    with zipfile.ZipFile(out) as archive:
        archive.extractall(folder)
    (folder / "kick.py").write_text(KICK)
    server.byte_compile(folder, python)
    return Side(folder, python)


@contextlib.contextmanager
def _emulators() -> Iterator[dict[str, str]]:
    """Addresses by the names that server.environment() takes."""
    with firestore_emulator() as firestore, pubsub_emulator() as pubsub, _collector() as otlp:
        os.environ["PUBSUB_EMULATOR_HOST"] = pubsub
        asyncio.run(_make_topics())
        yield {"firestore": firestore, "pubsub": pubsub, "otlp": otlp}


async def _make_topics() -> None:
    from shared.adapters.google_cloud.pubsub_topics import PubsubTopics

    topics = PubsubTopics("bench")
    await topics.ensure(SUBSCRIPTIONS)
    await topics.close()


@contextlib.contextmanager
def _collector() -> Iterator[str]:
    class Taken(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taken) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
