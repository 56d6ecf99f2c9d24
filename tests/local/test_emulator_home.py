"""The same code on the Google emulators: `up` makes what is missing, pulls, and renders."""

from __future__ import annotations

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
