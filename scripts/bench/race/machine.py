"""What the peers need of the machine: their Python packages, and PostgreSQL."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
REQUIREMENTS = PEERS / "requirements.txt"
ROOM = Path("build/race")
"""Kept between runs."""


class Missing(Exception):
    """Something that the machine does not have, and what goes without it."""


def python() -> Path:
    """The interpreter of the peers' own environment, which is made where it is missing or out of date.

    Raises Missing where the packages cannot be had.
    """
    venv = ROOM / "venv"
    stamp = venv / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != wanted:
        uv = Path(sys.executable).with_name("uv")
        _run(str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(venv))
        _run(str(uv), "pip", "install", "--quiet", "--compile-bytecode",
             "--python", str(venv / "bin/python"), "-r", str(REQUIREMENTS))  # fmt: skip
        stamp.write_text(wanted)
    return (venv / "bin/python").absolute()


def _run(*words: str) -> None:
    ended = subprocess.run(words, capture_output=True, text=True)
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise Missing(f"the peers' packages cannot be installed ({last}): only Renderlane runs")


class Postgres:
    """A cluster of its own in a folder."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.url = f"postgresql://race@127.0.0.1:{port}/postgres"
        self.process: subprocess.Popen[str] | None = None


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Durable as Debian's defaults make it. Raises Missing where it is not installed."""
    server, initdb = _program("postgres"), _program("initdb")
    user = _user()
    folder.mkdir(parents=True)
    if user is not None:
        shutil.chown(folder, user)
    cluster = Postgres(folder, free_port())
    data = str(folder / "data")
    made = subprocess.run(
        [initdb, "--pgdata", data, "--username", "race", "--auth", "trust", "--no-locale", "--encoding", "UTF8"],
        capture_output=True, text=True, user=user, cwd="/",
    )  # fmt: skip
    if made.returncode:
        raise Missing(f"initdb failed ({made.stderr.strip()}): the durable queue does not run")
    with (folder / "log").open("w") as log:
        cluster.process = subprocess.Popen(
            [server, "-D", data, "-p", str(cluster.port), "-c", "listen_addresses=127.0.0.1",
             "-c", f"unix_socket_directories={folder}"],
            stdout=log, stderr=log, text=True, user=user, cwd="/",
        )  # fmt: skip
    try:
        yield cluster
    finally:
        cluster.process.terminate()
        cluster.process.wait()


def _program(name: str) -> str:
    places = [
        *sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")),
        *map(Path, filter(None, [shutil.which(name)])),
    ]
    if not places:
        raise Missing(f"PostgreSQL's {name} is not installed (Debian: postgresql): the durable queue does not run")
    return str(places[-1])


def _user() -> str | None:
    """PostgreSQL refuses to run as root."""
    return "postgres" if os.geteuid() == 0 else None


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
