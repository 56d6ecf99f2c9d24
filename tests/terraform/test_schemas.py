"""What our functions publish fits the schemas of their topics: a message that does not is refused by Pub/Sub."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from shared.core.messages.pubsub_messages import Kick, ReleaseMessage
from shared.core.messages.topics import PUMP_KICKS, RENDER_RELEASES, WEBHOOK_DELIVERIES
from shared.core.provider.failure import FailureKind
from shared.core.webhooks.delivery import Due
from tests.terraform.terraform import Planned
from tests.world import World

Message: TypeAlias = dict[str, str]
"""JSON name of a field -> its protobuf type, `repeated` and all."""

JSON_TYPES = {"string": str, "int32": int}
FIELD = re.compile(r"^\s*((?:repeated )?[\w.]+|map<string, string>) (\w+) = \d+;$", re.MULTILINE)
INNER = re.compile(r"^  message (\w+) \{\n(.*?)^  \}\n", re.MULTILINE | re.DOTALL)


def schema(name: str) -> tuple[Message, dict[str, Message]]:
    """The fields of a schema's message, and of the messages inside it."""
    text = Path(f"terraform/schemas/{name}.proto").read_text("utf-8")
    inner = {match[1]: {field: kind for kind, field in FIELD.findall(match[2])} for match in INNER.finditer(text)}
    return {field: kind for kind, field in FIELD.findall(INNER.sub("", text))}, inner


def unfit(value: dict[str, Any], message: Message, inner: dict[str, Message], path: str = "") -> list[str]:
    """What protobuf's JSON reading would refuse: unknown names, other types. Null is a default, absence too."""
    problems = [f"{path}{name} is in no schema" for name in value if name not in message]
    for name, kind in message.items():
        given = value.get(name)
        for item in given if kind.startswith("repeated ") and isinstance(given, list) else [given]:
            problems += _unfit_one(item, kind.removeprefix("repeated "), inner, f"{path}{name}")
    return problems


def _unfit_one(value: Any, kind: str, inner: dict[str, Message], path: str) -> list[str]:
    if value is None:
        return []
    if kind in inner:
        return unfit(value, inner[kind], inner, f"{path}.") if isinstance(value, dict) else [f"{path} is no object"]
    if kind.startswith("map<"):
        good = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    else:
        good = type(value) is JSON_TYPES[kind]
    return [] if good else [f"{path} is no {kind}"]


def test_a_release_fits() -> None:
    assert unfit(json.loads(ReleaseMessage("r-1", 3).to_bytes()), *schema("release")) == []


def test_a_due_delivery_fits() -> None:
    assert unfit(json.loads(Due("msg_1-we_1").to_bytes()), *schema("delivery")) == []


def test_a_kick_fits() -> None:
    assert unfit(json.loads(Kick(frozenset({"a"})).to_bytes()), *schema("kick")) == []


def test_the_schedules_kick_fits(plan: Planned) -> None:
    target = plan.of("google_cloud_scheduler_job")["kick"]["pubsub_target"][0]
    assert unfit(json.loads(base64.b64decode(target["data"])), *schema("kick")) == []


async def test_results_and_rejections_fit() -> None:
    world = World()
    world.lane.then(FailureKind.REFUSED, FailureKind.INVALID_REQUEST)
    await world.publish(b'{"request_id": "wrong"}')
    await world.submit("expired", deadline=(datetime(2020, 1, 1, tzinfo=UTC) + timedelta(1)).isoformat())
    for number in range(4):
        await world.submit(f"r-{number}", group="spring", labels={"campaign": "spring"}, floor={"image_size": "512"})
    await world.run_until_quiet()
    results = world.results()
    assert {result["status"] for result in results} >= {"succeeded", "refused", "failed", "rejected"}
    assert [unfit(result, *schema("result")) for result in results] == [[] for _ in results]


def test_a_field_that_no_schema_knows_is_seen() -> None:
    assert unfit({"queues": ["a"], "why": "new"}, *schema("kick")) == ["why is in no schema"]
    assert unfit({"queues": [1]}, *schema("kick")) == ["queues is no string"]


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        (RENDER_RELEASES, "release"),
        (PUMP_KICKS, "kick"),
        (WEBHOOK_DELIVERIES, "delivery"),
        ("render-results", "result"),
    ],
)
def test_the_topic_has_its_schema(topic: str, name: str, plan: Planned) -> None:
    made = next(values for values in plan.of("google_pubsub_topic").values() if values["name"] == topic)
    (settings,) = made["schema_settings"]
    assert settings["schema"] == f"google_pubsub_schema/renderlane-{name}"
    assert settings["encoding"] == "JSON"
