"""Publishing over HTTP into the one-machine home, as Pub/Sub's own REST interface takes it."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from scripts.bench.harness import rig
from scripts.local.upstream import Upstream

NODE_PUBLISHER = """
const [url, id] = process.argv.slice(2);
const data = Buffer.from(JSON.stringify({ request_id: id, prompt: "a lighthouse" })).toString("base64");
const answer = await fetch(`${url}/v1/projects/local/topics/render-requests:publish`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ messages: [{ data }] }),
});
console.log(JSON.stringify(await answer.json()));
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("home")
    environment = {"RENDERLANE_HOME": str(folder)}
    with rig.command("up", "--port", "0", "--latency", "fixed:0.05", environment=environment) as up:
        yield up.url, environment


def publish(url: str, body: object, topic: str = "render-requests:publish") -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx2.post(f"{url}/v1/projects/local/topics/{topic}", content=content, trust_env=False)


def message(payload: object) -> dict[str, object]:
    return {"messages": [{"data": base64.b64encode(json.dumps(payload).encode()).decode()}]}


async def test_a_published_message_becomes_an_image(home: tuple[str, dict[str, str]]) -> None:
    url, environment = home
    answer = publish(url, message({"request_id": "http-1", "prompt": "a lighthouse"}))
    assert answer.status_code == 200
    assert len(answer.json()["messageIds"]) == 1
    client = Upstream.of(environment)
    assert (await client.wait_for(1, 30)).get("succeeded", 0) >= 1
    await client.close()


@pytest.mark.node
async def test_a_node_program_can_publish(home: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    url, environment = home
    script = tmp_path / "publish.mjs"
    script.write_text(NODE_PUBLISHER)
    running = await asyncio.create_subprocess_exec(node, str(script), url, "node-1", stdout=asyncio.subprocess.PIPE)
    body, _ = await running.communicate()
    assert len(json.loads(body)["messageIds"]) == 1
    client = Upstream.of(environment)
    ended = {"node-1": ""}
    while ended["node-1"] != "succeeded":
        ended = {"node-1": ""} | {document["id"]: document["status"] for document in await client.documents(10)}
    await client.close()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"not json", "not JSON"),
        ({}, "messages"),
        ({"messages": []}, "an empty list"),
        ({"messages": [{"data": "%%%"}]}, "base64"),
        ({"messages": [{}]}, "neither data nor attributes"),
        ({"messages": [{"data": "e30=", "attributes": {"a": 1}}]}, "map of strings"),
    ],
)
def test_a_wrong_publish_is_refused_and_says_what_is_allowed(
    home: tuple[str, dict[str, str]], body: object, message: str
) -> None:
    answer = publish(home[0], body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_other_topics_cannot_be_published_to(home: tuple[str, dict[str, str]]) -> None:
    assert publish(home[0], message({}), "render-releases:publish").status_code == 404
