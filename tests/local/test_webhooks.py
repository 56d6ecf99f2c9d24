"""`renderlane up` sends results to a real receiver: verified by the specification's library, across a kill -9."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.cli.conftest import home, renderlane, started
from tests.emulators import firestore_host, pubsub_host

__all__ = ["firestore_host", "home", "pubsub_host"]
QUICK = ("up", "--port", "0", "--latency", "fixed:0.05")
PATIENCE = 120.0
"""Seconds. A delivery whose worker was killed during the attempt is due again after a lease of 60 s."""


class Receiver:
    """A server on loopback; `answers` are the next status codes, then 204."""

    def __init__(self) -> None:
        receiver = self
        self.answers: list[int] = []
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.news = threading.Condition()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.answers.pop(0) if receiver.answers else 204
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()
                with receiver.news:
                    receiver.received.append((dict(self.headers.items()), body))
                    receiver.news.notify_all()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def wait(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        with self.news:
            assert self.news.wait_for(lambda: len(self.received) >= count, PATIENCE), "no webhook came"
            return list(self.received)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def test_a_result_arrives_signed_and_an_unmodified_receiver_verifies_it(home: Path, receiver: Receiver) -> None:
    with started(home, *QUICK):
        added = json.loads(renderlane("tenant", "web", "webhook", "add", receiver.url, "--json").stdout)
        renderlane("submit", "a lighthouse", "--id", "r-1", "--tenant", "web", "--wait")
        renderlane("submit", "a lighthouse", "--id", "r-2", "--tenant", "print", "--wait")
        ((headers, body),) = receiver.wait(1)
        payload = Webhook(added["secret"]).verify(body, headers)
        assert payload["type"] == "render.succeeded"
        assert (payload["data"]["request_id"], payload["data"]["tenant"]) == ("r-1", "web")
        assert b"lighthouse" not in body
    assert len(receiver.received) == 1


@pytest.mark.slow
def test_a_failed_delivery_survives_a_kill_of_the_worker(home: Path, receiver: Receiver) -> None:
    receiver.answers = [500]
    with started(home, *QUICK) as up:
        added = json.loads(renderlane("tenant", "web", "webhook", "add", receiver.url, "--json").stdout)
        renderlane("submit", "a lighthouse", "--id", "r-1", "--tenant", "web", "--wait")
        receiver.wait(1)
        up.stop(signal.SIGKILL)
    with started(home, *QUICK):
        (first, _), (again, body) = receiver.wait(2)
    headers = {name.lower(): value for name, value in again.items()}
    assert headers["webhook-id"] == {name.lower(): value for name, value in first.items()}["webhook-id"]
    assert Webhook(added["secret"]).verify(body, headers)["data"]["request_id"] == "r-1"


@pytest.mark.emulator
@pytest.mark.slow
def test_on_both_emulators_a_result_arrives_signed(
    home: Path, receiver: Receiver, firestore_host: str, pubsub_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"hooks-{os.getpid()}"
    environment = {
        "RENDERLANE_STORE": f"firestore://{name}",
        "RENDERLANE_TOPICS": f"pubsub://{name}",
        "RENDERLANE_IMAGES": (home.parent / "images").as_uri(),
        "FIRESTORE_EMULATOR_HOST": firestore_host,
        "PUBSUB_EMULATOR_HOST": pubsub_host,
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    receiver.answers = [503]
    with started(home, *QUICK, **environment):
        added = json.loads(renderlane("tenant", "web", "webhook", "add", receiver.url, "--json").stdout)
        renderlane("submit", "a lighthouse", "--id", "r-1", "--tenant", "web", "--wait")
        (first, _), (again, body) = receiver.wait(2)
    assert first["webhook-id"] == again["webhook-id"]
    assert Webhook(added["secret"]).verify(body, again)["data"]["request_id"] == "r-1"


def test_the_command_replays_a_result(home: Path, receiver: Receiver) -> None:
    with started(home, *QUICK):
        renderlane("submit", "a lighthouse", "--id", "r-1", "--tenant", "web", "--wait")
        renderlane("tenant", "web", "webhook", "add", receiver.url)
        assert renderlane("tenant", "web", "webhook", "replay", "r-1").exit_code == 0
        receiver.wait(1)
        assert renderlane("tenant", "web", "webhook", "replay", "r-1").exit_code == 0
        first, again = receiver.wait(2)
        assert first[0]["webhook-id"] == again[0]["webhook-id"]
