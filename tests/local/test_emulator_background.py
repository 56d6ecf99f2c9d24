"""Background calls and webhooks on the Google emulators: told by webhook, collected once, deleted at the provider."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from scripts.bench.harness import rig
from scripts.local.upstream import Upstream

REQUESTS = 6


@pytest.mark.emulator
@pytest.mark.slow
async def test_webhooks_bring_each_image_once_on_both_emulators(
    firestore_host: str, pubsub_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_host)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_host)
    with rig.simulator(latency="fixed:1") as provider:
        environment = {
            "RENDERLANE_HOME": str(tmp_path),
            "RENDERLANE_STORE": f"firestore://away-{tmp_path.name}".replace("_", "-").lower(),
            "RENDERLANE_TOPICS": f"pubsub://away-{tmp_path.name}".replace("_", "-").lower(),
            "FIRESTORE_EMULATOR_HOST": firestore_host,
            "PUBSUB_EMULATOR_HOST": pubsub_host,
            "GEMINI_API_KEY": "AQ.test",
            "GOOGLE_GEMINI_BASE_URL": provider.url,
            "RENDERLANE_BACKGROUND": "on",
        }
        client = Upstream.of(environment)
        await client.publish(
            [{"request_id": f"e-{number}", "prompt": f"picture {number}"} for number in range(REQUESTS)]
        )
        with rig.command("up", "--port", "0", environment=environment):
            ended = await client.wait_for(REQUESTS, 120)
            left = await _left(provider.url)
        await client.close()
        charged = [call for call in rig.calls(provider.url) if call["charged"]]
        sent = httpx2.get(f"{provider.url}/control/webhooks", trust_env=False).json()["deliveries"]
    assert ended == {"succeeded": REQUESTS}
    assert len(charged) == REQUESTS
    assert {delivery["event"] for delivery in sent} == {"interaction.completed"}
    assert {delivery["about"] for delivery in sent if delivery["status"] == 204} == {
        delivery["about"] for delivery in sent
    }
    assert left == 0, "what was collected is deleted at the provider"


async def _left(provider: str) -> int:
    """Interactions that the provider keeps, when the last deletion has had its time."""
    async with httpx2.AsyncClient(base_url=provider, trust_env=False) as http:
        for _ in range(200):
            counts = (await http.get("/control/state")).json()["interactions"]
            if not (count := int(counts["ended"] + counts["in_progress"])):
                break
            await asyncio.sleep(0.1)
        return count
