"""Each function starts under functions-framework as it would in the cloud, and answers a push."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from shared.adapters.process.system_clock import SystemClock
from shared.adapters.sqlite.topics import LocalTopics
from shared.core.messages.topics import SUBSCRIPTIONS

FUNCTIONS = ("intake", "pump", "render", "collect", "watch", "bury", "deliver")


@contextmanager
def started(function: str, home: Path) -> Iterator[str]:
    command = [str(Path(sys.executable).parent / "functions-framework"), "--source", "functions/main.py"]
    environment = {**os.environ, "RENDERLANE_HOME": str(home), "GEMINI_API_KEY": "AQ.test"}
    with started_with([*command, "--target", function], environment) as url:
        yield url


@contextmanager
def started_with(command: list[str], environment: dict[str, str], folder: Path | None = None) -> Iterator[str]:
    """The address of a server started by `command` in `folder`, on a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--host", "127.0.0.1"],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process)
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=30)
        assert process.stdout is not None
        process.stdout.close()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    while time.monotonic() - began < 60:
        assert process.poll() is None, process.stdout.read().decode() if process.stdout else ""
        try:
            httpx2.get(f"{url}/robots.txt", trust_env=False)
        except httpx2.ConnectError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"{url} did not answer within 60 s")


def push(data: bytes, subscription: str) -> bytes:
    message = {"data": base64.b64encode(data).decode(), "messageId": "m-1"}
    return json.dumps({"message": message, "subscription": f"projects/p/subscriptions/{subscription}"}).encode()


@pytest.mark.slow
@pytest.mark.parametrize("function", FUNCTIONS)
async def test_the_function_starts_under_functions_framework_and_acknowledges_a_push(
    function: str, tmp_path: Path
) -> None:
    topics = LocalTopics(tmp_path / "state.db", SystemClock())
    await topics.ensure(SUBSCRIPTIONS)
    await topics.close()
    body = push(b'{"request_id": "r-1", "prompt": "a lighthouse"}', f"any-{function}")
    with started(function, tmp_path) as url:
        if function == "pump":  # it would stay to pump; a wrong body is answered at once and shows that it runs
            answer = httpx2.post(url, content=b"{}", trust_env=False)
            assert answer.status_code == 400
            assert "push" in answer.json()["error"]
            return
        answer = httpx2.post(url, content=body, trust_env=False, timeout=30)
    assert answer.status_code == 204, answer.text


@pytest.mark.slow
def test_arrive_starts_and_answers_a_stranger_with_401_and_nothing_else(tmp_path: Path) -> None:
    with started("arrive", tmp_path) as url:
        unsigned = httpx2.post(url, content=b"{}", trust_env=False)
        large = httpx2.post(url, content=b"x" * 1_000_000, trust_env=False)
        looked = httpx2.get(url, trust_env=False)
    assert [(answer.status_code, answer.content) for answer in (unsigned, large)] == [(401, b"")] * 2
    assert looked.status_code == 405


@pytest.mark.slow
def test_a_plain_body_is_answered_with_what_was_expected(tmp_path: Path) -> None:
    with started("intake", tmp_path) as url:
        answer = httpx2.post(url, content=b'{"request_id": "r-1"}', trust_env=False)
    assert answer.status_code == 400
    assert "wrapped push" in answer.json()["error"]
