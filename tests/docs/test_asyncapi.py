"""docs/asyncapi.json is what the code says, AsyncAPI's own parser accepts it, and real messages fit it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from scripts.documentation import asyncapi
from shared.core.messages.pubsub_messages import Arrival, BatchArrival
from shared.core.messages.topics import RENDER_ARRIVALS, RENDER_REQUESTS, RENDER_RESULTS, SUBSCRIPTIONS, TOPICS
from shared.core.provider.failure import FailureKind
from shared.core.webhooks.signature import SECRET_BYTES, secret_of
from shared.flows.webhooks import endpoints
from tests import nodejs
from tests.world import World

DOCUMENT: dict[str, Any] = json.loads(asyncapi.PAGE.read_text("utf-8"))


def test_the_page_is_the_codes() -> None:
    assert asyncapi.PAGE.read_text("utf-8") == asyncapi.page(), "run ./scripts/asyncapi"


def test_every_topic_and_every_subscription_is_in_it() -> None:
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert addresses == set(TOPICS) == set(asyncapi.WHAT) == set(asyncapi.CARRIED)
    assert len(DOCUMENT["operations"]) == len(SUBSCRIPTIONS) + 1


@pytest.mark.node
def test_the_parser_of_asyncapi_accepts_it() -> None:
    folder = nodejs.packages()
    script = shutil.copy("tests/node/asyncapi.mjs", folder)
    command = [nodejs.node(), script, str(asyncapi.PAGE.absolute())]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    parsed = json.loads(ended.stdout)
    assert set(parsed["channels"]) == set(TOPICS)
    serious = [problem for problem in parsed["problems"] if problem["code"] != "asyncapi-latest-version"]
    assert serious == []


@cache
def published() -> dict[str, list[Any]]:
    """By topic, every message of a rehearsal: requests of every kind, and what the functions publish."""
    world = World(quota="*=rpm:60")
    asyncio.run(_rehearse(world))
    messages: dict[str, list[Any]] = {}
    for message in world.topics.published:
        messages.setdefault(message.topic, []).append(json.loads(message.data))
    return messages


async def _rehearse(world: World) -> None:
    secret = secret_of(b"s" * SECRET_BYTES)
    await endpoints.add(world.store, world.webhooks, "web", "https://x.example/", (), fresh_id="we_1", secret=secret)
    world.lane.then(FailureKind.REFUSED, FailureKind.TIMEOUT, FailureKind.OVERLOAD)
    for number in range(8):
        await world.submit(f"r-{number}", tenant="web", group="spring", labels={"team": "ads"}, floor="exact")
    await world.publish({"cancel": "r-7", "tenant": "web"})
    await world.publish({"request_id": "wrong", "prompt": ""})
    await world.run_until_quiet()


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic not in (RENDER_ARRIVALS, "render-dead-letters")])
def test_real_messages_fit(topic: str) -> None:
    messages = published()[topic]
    for message in messages:
        if message.get("request_id") == "wrong" and topic == RENDER_REQUESTS:
            assert fitting(topic, message) == [], "an empty prompt is no request"
        else:
            assert len(fitting(topic, message)) == 1, message
    assert {message.get("status") for message in messages} >= (
        {"succeeded", "rejected", "refused"} if topic == RENDER_RESULTS else {None}
    )


@pytest.mark.parametrize("arrival", [Arrival("v1_x"), Arrival("v1_x", "r-1", 2), BatchArrival("batches/1")])
def test_arrivals_fit(arrival: Arrival | BatchArrival) -> None:
    assert len(fitting(RENDER_ARRIVALS, json.loads(arrival.to_bytes()))) == 1


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic != "render-dead-letters"])
def test_a_message_with_an_unknown_field_fits_nowhere(topic: str) -> None:
    assert fitting(topic, {"unknown": 1}) == []


def fitting(topic: str, message: Any) -> list[str]:
    """The messages of the topic's channel whose payload schema accepts it."""
    names = asyncapi.CARRIED[topic]
    schemas = {name: DOCUMENT["components"]["messages"][name]["payload"] for name in names}
    return [name for name, schema in schemas.items() if Draft7Validator(schema).is_valid(message)]


def test_the_folder_of_the_protobuf_schemas_is_covered() -> None:
    assert {path.stem for path in Path("terraform/schemas").glob("*.proto")} >= set(asyncapi.REQUIRED)
