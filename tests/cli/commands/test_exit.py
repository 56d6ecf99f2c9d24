"""A command ends even if a collector, a flag provider or a library's own thread hangs."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, environment, renderlane, started

CODE = "from scripts.cli.main import main; main()"
ENDS_WITHIN = 30.0
"""Seconds. What hung, hung for good: this is no measure of speed."""

PROVIDER = """
import threading, time
from openfeature.provider.in_memory_provider import InMemoryProvider

class Hangs(InMemoryProvider):
    def __init__(self):
        super().__init__({})

    def resolve_object_details(self, *_, **__):
        time.sleep(3600)

class HasThreads(InMemoryProvider):
    def __init__(self):
        super().__init__({})
        threading.Thread(target=time.sleep, args=(3600,)).start()
"""


@pytest.fixture
def providers(tmp_path: Path) -> dict[str, str]:
    """The environment in which a module of hanging providers can be imported."""
    (tmp_path / "a_hanging_module.py").write_text(PROVIDER)
    return {"PYTHONPATH": f"{ROOT}:{tmp_path}"}


@contextlib.contextmanager
def collector(kind: str) -> Iterator[str]:
    """An address: nobody listens, nobody answers, or the answer comes byte by byte."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address, over = f"http://127.0.0.1:{server.getsockname()[1]}", threading.Event()
        if kind == "refuses":
            server.close()
            yield address
            return
        lines: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = server.accept()
                    lines.append(line)
                    if kind == "drips":
                        threading.Thread(target=drip, args=(line,), daemon=True).start()

        def drip(line: socket.socket) -> None:
            with contextlib.suppress(OSError):
                line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
                while not over.wait(0.5):
                    line.sendall(b" ")

        threading.Thread(target=accept, daemon=True).start()
        yield address
        over.set()
        server.shutdown(socket.SHUT_RDWR)
        for line in lines:
            line.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "timeout"), [("refuses", "10"), ("is silent", "10000"), ("is silent", "900"), ("drips", "10")]
)
def test_a_worker_stops_whatever_its_collector_does(home: Path, kind: str, timeout: str) -> None:
    with collector(kind) as address:
        more = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_EXPORTER_OTLP_TIMEOUT": timeout}
        with started(home, "up", "--port", "0", "--latency", "fixed:0.05", **more) as up:
            assert renderlane("submit", "a red cube", "--wait", "--timeout", "60").exit_code == 0
            began = time.monotonic()
            up.process.terminate()
            assert up.process.wait(ENDS_WITHIN) == 0
            assert time.monotonic() - began < ENDS_WITHIN
    assert "stopped\n" in up.errors


@pytest.mark.parametrize("provider", ["Hangs", "HasThreads"])
@pytest.mark.parametrize("verb", [("flags",), ("explain", "r-1")])
def test_a_look_ends_whatever_the_flag_provider_does(
    home: Path, providers: dict[str, str], provider: str, verb: tuple[str, ...]
) -> None:
    renderlane("submit", "a red cube", "--id", "r-1")
    words = [sys.executable, "-c", CODE, *verb]
    variables = environment(home, RENDERLANE_FLAG_PROVIDER=f"a_hanging_module:{provider}", **providers)
    ended = subprocess.run(
        words, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=ENDS_WITHIN, check=False
    )
    assert "Traceback" not in ended.stderr
    assert ended.stdout or ended.stderr


@pytest.mark.parametrize("provider", ["Hangs", "HasThreads"])
def test_a_worker_stops_whatever_its_flag_provider_does(home: Path, providers: dict[str, str], provider: str) -> None:
    more = {"RENDERLANE_FLAG_PROVIDER": f"a_hanging_module:{provider}", **providers}
    with started(home, "up", "--port", "0", "--latency", "fixed:0.05", **more) as up:
        assert renderlane("submit", "a red cube", "--wait", "--timeout", "60").exit_code == 0
        up.process.terminate()
        assert up.process.wait(ENDS_WITHIN) == 0
