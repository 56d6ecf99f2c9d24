"""What the benches share: a simulator and a worker as processes of their own, and a table at the end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import httpx2
import psutil
from msgspec import Struct
from rich.console import Console
from rich.table import Table

HomeKind: TypeAlias = Literal["embedded", "emulators"]

READY_WITHIN = 60.0
"""Seconds for a process to print its address."""
PROVIDERS_NICENESS = -10
"""A provider does not share our processors: where the user may say so (root), its stand-in goes first."""


class Process(Struct, frozen=True):
    """A running command, and the address it printed."""

    popen: subprocess.Popen[str]
    url: str

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.popen.pid)

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def peak_bytes(self) -> int:
        return peak_bytes(self.popen.pid)


def peak_bytes(process: int | Literal["self"]) -> int:
    """The largest resident set so far (Linux)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise LookupError("the kernel reports no VmHWM")


@contextlib.contextmanager
def command(*words: str, environment: Mapping[str, str]) -> Iterator[Process]:
    """A `renderlane` command that serves until it is stopped."""
    popen = begin([str(Path(sys.executable).parent / "renderlane"), *words], environment)
    try:
        yield ready(popen)
    finally:
        end(popen)


def begin(
    arguments: Sequence[str], environment: Mapping[str, str], errors: Path | None = None
) -> subprocess.Popen[str]:
    """Start a program; its standard error goes to the file `errors`, or nowhere."""
    with (errors or Path(os.devnull)).open("a") as sink:
        return subprocess.Popen(
            list(arguments), env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=sink, text=True
        )


def ready(popen: subprocess.Popen[str]) -> Process:
    """Returns when the program has printed its address. Raises RuntimeError where it prints none."""
    return Process(popen, _address(popen))


def end(popen: subprocess.Popen[str], patience: float = 90) -> None:
    """Stop a program in its orderly way, or after `patience` seconds in the other."""
    popen.terminate()
    try:
        popen.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
    assert popen.stdout is not None
    popen.stdout.close()


def kill(popen: subprocess.Popen[str]) -> None:
    """kill -9, and forget it."""
    popen.kill()
    popen.wait()
    assert popen.stdout is not None
    popen.stdout.close()


def _address(popen: subprocess.Popen[str]) -> str:
    assert popen.stdout is not None
    began = time.monotonic()
    while time.monotonic() - began < READY_WITHIN:
        line = popen.stdout.readline()
        if not line and popen.poll() is not None:
            break
        for word in line.split():
            if word.startswith("http://"):
                return word.rstrip(".,;")
    raise RuntimeError(f"{popen.args!r} printed no address within {READY_WITHIN:.0f} s")


@contextlib.contextmanager
def simulator(
    *, latency: str, limits: str = "", pictures: str = "cached", window: str = "sliding", background: bool = True
) -> Iterator[Process]:
    words = ["simulator", "--port", "0", "--latency", latency, "--pictures", pictures, "--window", window]
    words += ["--limits", limits] if limits else []
    words += [] if background else ["--no-background"]
    with command(*words, environment={}) as process:
        with contextlib.suppress(psutil.AccessDenied):
            process.process.nice(PROVIDERS_NICENESS)
        yield process


@contextlib.contextmanager
def homes(kind: HomeKind, simulator_url: str, quota: str = "") -> Iterator[dict[str, str]]:
    """The environment of a worker: a fresh embedded home, or one on both emulators."""
    with tempfile.TemporaryDirectory(prefix="renderlane-bench-") as folder, contextlib.ExitStack() as stack:
        environment = {
            "RENDERLANE_HOME": folder,
            "GEMINI_API_KEY": "AQ.bench",
            "GOOGLE_GEMINI_BASE_URL": simulator_url,
            "RENDERLANE_QUOTA": quota,
            "RENDERLANE_CAPACITY": "600",
        }
        if kind == "emulators":
            from scripts.local.emulators import firestore_emulator, pubsub_emulator

            environment |= {
                "RENDERLANE_STORE": "firestore://bench",
                "RENDERLANE_TOPICS": "pubsub://bench",
                "RENDERLANE_IMAGES": f"file://{folder}/images",
                "FIRESTORE_EMULATOR_HOST": stack.enter_context(firestore_emulator()),
                "PUBSUB_EMULATOR_HOST": stack.enter_context(pubsub_emulator()),
            }
        yield environment


def bill(simulator_url: str) -> dict[str, Any]:
    payload: dict[str, Any] = httpx2.get(f"{simulator_url}/control/bill", trust_env=False).json()
    return payload


def calls(simulator_url: str, since: int = 0) -> list[dict[str, Any]]:
    """The simulator's calls numbered above `since`."""
    answer = httpx2.get(f"{simulator_url}/control/calls?since={since}", trust_env=False, timeout=60)
    recorded: list[dict[str, Any]] = answer.json()["calls"]
    return recorded


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


def write_json(path: str | None, figures: Mapping[str, Any]) -> None:
    if path:
        Path(path).write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
