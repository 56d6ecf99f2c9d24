"""One start of functions-framework: from exec to the first answer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

PATIENCE_SECONDS = 60


class Took(Struct, frozen=True):
    wall_ms: float
    cpu_ms: float


def start(
    folder: Path,
    source: str,
    target: str,
    environment: Mapping[str, str],
    *,
    body: bytes = b"{}",
    python: str = sys.executable,
) -> Took:
    """Start a server, ask once, end it. Raises RuntimeError or TimeoutError where it does not answer as expected."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(python).parent / "functions-framework")
    before = os.times()
    began = time.monotonic()
    process = subprocess.Popen(
        [program, "--source", source, "--target", target, "--port", str(port), "--host", "127.0.0.1"],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        answered(f"http://127.0.0.1:{port}", target, body)
        wall = time.monotonic() - began
    finally:
        process.terminate()
        process.wait(timeout=30)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(1000 * wall, 1000 * cpu)


def environment(
    has_key: bool, firestore: str = "127.0.0.1:9", pubsub: str = "127.0.0.1:9", otlp: str = ""
) -> dict[str, str]:
    """As in the cloud; without other words, with emulators that nobody reaches before the first answer."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return (
        kept
        | ({"GEMINI_API_KEY": "AQ.bench"} if has_key else {})
        | {
            "RENDERLANE_STORE": "firestore://bench",
            "RENDERLANE_TOPICS": "pubsub://bench",
            "RENDERLANE_IMAGES": "gs://bench",
            "RENDERLANE_LIVE_QUOTA": "limits,usage@http://127.0.0.1:9",
            "FIRESTORE_EMULATOR_HOST": firestore,
            "PUBSUB_EMULATOR_HOST": pubsub,
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp or "http://127.0.0.1:9",
        }
    )


def byte_compile(folder: Path, python: str) -> None:
    """As the image does (Dockerfile)."""
    words = [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(folder)]
    subprocess.run(words, check=True)


def answered(url: str, name: str, body: bytes = b"{}") -> None:
    """Waits for it. Raises RuntimeError where it answers otherwise than expected, TimeoutError where it does not."""
    began = time.monotonic()
    request = urllib.request.Request(url, data=body, method="POST", headers={"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() - began < PATIENCE_SECONDS:
        try:
            with opener.open(request, timeout=PATIENCE_SECONDS):
                return
        except urllib.error.HTTPError as error:
            if error.code == 400:  # no push: read after the worker was built
                return
            raise RuntimeError(f"{name} answered {error.code}: {error.read()[:300]!r}") from error
        except OSError:
            time.sleep(0.01)
    raise TimeoutError(f"{name} did not answer within {PATIENCE_SECONDS} s")
