"""The same code on the Google emulators: `up` makes what is missing, pulls, and renders."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts.bench.harness import rig
from scripts.local.upstream import Upstream

REQUESTS = 12


@pytest.mark.emulator
@pytest.mark.slow
async def test_up_on_both_emulators_renders_each_request_once(
    firestore_host: str, pubsub_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_host)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_host)
    with rig.simulator(latency="fixed:0.1") as provider:
        environment = {
            "RENDERLANE_HOME": str(tmp_path),
            "RENDERLANE_STORE": f"firestore://home-{tmp_path.name}".replace("_", "-").lower(),
            "RENDERLANE_TOPICS": f"pubsub://home-{tmp_path.name}".replace("_", "-").lower(),
            "FIRESTORE_EMULATOR_HOST": firestore_host,
            "PUBSUB_EMULATOR_HOST": pubsub_host,
            "GEMINI_API_KEY": "AQ.test",
            "GOOGLE_GEMINI_BASE_URL": provider.url,
        }
        client = Upstream.of(environment)
        requests = [{"request_id": f"e-{number}", "prompt": f"picture {number}"} for number in range(REQUESTS)]
        await client.publish(requests + requests[:3])
        with rig.command("up", "--port", "0", environment=environment):
            ended = await client.wait_for(REQUESTS, 60)
        documents = await client.documents(REQUESTS + 1)
        await client.close()
        charged = [call for call in rig.calls(provider.url) if call["charged"]]
    assert ended == {"succeeded": REQUESTS}
    assert len(charged) == REQUESTS
    assert sum(document["cost_micros"] for document in documents) == sum(call["cost_micros"] for call in charged)


@pytest.mark.emulator
def test_a_publisher_that_cannot_reach_the_store_publishes_after_a_short_wait(
    firestore_host: str, pubsub_host: str, tmp_path: Path
) -> None:
    """It looks whether its id is taken, and leaves that to intake where nobody answers."""
    project = f"apart-{tmp_path.name}".replace("_", "-").lower()[:30]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RENDERLANE_")} | {
        "RENDERLANE_HOME": str(tmp_path),
        "RENDERLANE_STORE": f"firestore://{project}",
        "RENDERLANE_TOPICS": f"pubsub://{project}",
        "PUBSUB_EMULATOR_HOST": pubsub_host,
    }
    submit = [".venv/bin/renderlane", "submit", "a cube", "--id", "taken"]
    for host in ("127.0.0.1:9", firestore_host):
        ended = subprocess.run(
            submit, env=environment | {"FIRESTORE_EMULATOR_HOST": host}, capture_output=True, text=True, timeout=60
        )
        assert (ended.returncode, ended.stdout) == (0, "taken\n"), ended.stderr
