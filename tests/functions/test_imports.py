"""A function loads what it uses: heavy packages only where they are needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

IN_THE_CLOUD = {
    "RENDERLANE_STORE": "firestore://p",
    "RENDERLANE_TOPICS": "pubsub://p",
    "RENDERLANE_IMAGES": "gs://b",
    "RENDERLANE_LIVE_QUOTA": "limits,usage@http://127.0.0.1:9",
    "FIRESTORE_EMULATOR_HOST": "127.0.0.1:9",
    "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
}
FIRST_ANSWER = """
import asyncio, json, sys
import functions_framework.aio
import functions.main
from starlette.requests import Request

async def receive():
    return {{"type": "http.request", "body": b"{{}}", "more_body": False}}

class App:
    class state:
        pass

scope = {{"type": "http", "method": "POST", "headers": [], "path": "/", "query_string": b"", "app": App}}
function = "{function}"
if function == "watch":
    from shared.wiring import worker
    worker()
else:
    answer = asyncio.run(getattr(functions.main, function)(Request(scope, receive)))
    assert answer.status_code == (401 if function == "arrive" else 400), answer.body
print(json.dumps(sorted(sys.modules)))
"""


def loaded(function: str, **more: str) -> set[str]:
    """The modules that a process has loaded after its first answer."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    ended = subprocess.run(
        [sys.executable, "-c", FIRST_ANSWER.format(function=function)],
        env=kept | IN_THE_CLOUD | {"PYTHONPATH": str(Path.cwd())} | more,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(ended.stdout))


@pytest.mark.parametrize("function", ["intake", "pump", "watch", "bury", "deliver"])
def test_a_function_that_calls_no_model_never_loads_google_genai(function: str) -> None:
    modules = loaded(function)
    assert "google.genai" not in modules
    assert not modules & {
        "httpx2",
        "shared.adapters.gemini.interactions_lane",
        "shared.adapters.gemini_batch.batches",
        "sqlite3",
        "rich",
        "click.testing",
        "openfeature",
        "functions.console.app",
    }
    assert {"google.cloud.firestore", "google.pubsub_v1", "functions.main"} <= modules


def test_arrive_loads_neither_google_genai_nor_what_checks_signatures_for_one_without() -> None:
    """It is the one function that strangers wake."""
    modules = loaded("arrive", RENDERLANE_WEBHOOK_URL="https://worker.example/arrive")
    assert "shared.adapters.signatures.token" in modules
    assert not modules & {"google.genai", "jwt", "standardwebhooks", "httpx2", "functions.console.app"}


def test_watch_tends_batches_without_google_genai() -> None:
    modules = loaded("watch", GEMINI_API_KEY="AQ.test")
    assert "shared.adapters.gemini_batch.batches" in modules
    assert "google.genai" not in modules


def test_render_loads_google_genai_when_its_first_call_is_prepared_and_not_before() -> None:
    modules = loaded("render", GEMINI_API_KEY="AQ.test")
    assert "google.genai" not in modules
    assert "shared.adapters.gemini.interactions_lane" in modules
