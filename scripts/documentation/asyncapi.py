"""Writes docs/asyncapi.json, the AsyncAPI 3 description of all topics, from the topology and the messages' own schemas.

`./scripts/asyncapi` runs it. Shapes come from where they are enforced: `request_schema()` for requests, the protobuf
schemas of the topics for what functions publish. A test compares real messages with the page.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shared.core.messages import topics
from shared.core.messages.render_request import request_schema
from shared.core.messages.topics import SUBSCRIPTIONS

PAGE = Path("docs/asyncapi.json")
SCHEMAS = Path("terraform/schemas")
PROTO_TYPES = {"string": "string", "int32": "integer"}
FIELD = re.compile(r"^\s*(repeated )?([\w.]+|map<string, string>) (\w+) = \d+;$", re.MULTILINE)
INNER = re.compile(r"^  message (\w+) \{\n(.*?)^  \}\n", re.MULTILINE | re.DOTALL)
REQUIRED = {
    "result": ("request_id", "status", "cost_usd", "outcome", "trace_id", "message_id", "finished_at"),
    "release": ("request_id", "release"),
    "delivery": ("delivery",),
    "kick": (),
}
"""Of each protobuf schema, the fields that a message always has: protobuf itself cannot say so."""
ARRIVAL = {
    "type": "object",
    "properties": {
        "interaction_id": {"type": "string", "description": "The provider's id of the call."},
        "request_id": {"type": "string"},
        "attempt": {"type": "integer", "minimum": 1},
    },
    "required": ["interaction_id"],
    "additionalProperties": False,
}
BATCH_ARRIVAL = {
    "type": "object",
    "properties": {"batch": {"type": "string", "description": "The provider's name of the batch."}},
    "required": ["batch"],
    "additionalProperties": False,
}
TRACE = {"traceparent": {"type": "string", "description": "W3C trace context of the span that published the message."}}
WHAT: dict[str, tuple[str, str]] = {
    topics.RENDER_REQUESTS: ("What to render, and what to cancel. Upstream apps publish here.", "public"),
    topics.RENDER_RESULTS: ("How each request ended, at least once. Upstream apps subscribe here.", "public"),
    topics.RENDER_RELEASES: ("A slot for a request: the worker that gets it makes the call.", "internal"),
    topics.RENDER_ARRIVALS: ("A call or a batch at the provider that has ended, or may have.", "internal"),
    topics.PUMP_KICKS: ("Wakes the pump; may name the queues that have something new.", "internal"),
    topics.RENDER_DEAD_LETTERS: ("Messages whose deliveries kept crashing, as they were published.", "internal"),
    topics.WEBHOOK_DELIVERIES: ("A result webhook that is to be attempted now.", "internal"),
}
"""By topic: what it carries, and for whom it is."""


def document() -> dict[str, Any]:
    """The page as JSON values."""
    messages = _messages()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Renderlane topics",
            "version": version("renderlane-worker"),
            "description": "Delivery is at least once and in no order. A message holds at most 262,144 bytes of JSON.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "cloud": {"host": "pubsub.googleapis.com", "protocol": "googlepubsub", "description": "Pub/Sub."},
            "oneMachine": {
                "host": "127.0.0.1:8080",
                "protocol": "http",
                "description": "`renderlane up`: publishing on render-requests, as Pub/Sub's REST API does.",
            },
        },
        "channels": {_camel(topic): _channel(topic) for topic in topics.TOPICS},
        "operations": _operations(),
        "components": {"messages": messages},
    }  # fmt: skip


def _channel(topic: str) -> dict[str, Any]:
    says, audience = WHAT[topic]
    servers = ["cloud", "oneMachine"] if topic == topics.RENDER_REQUESTS else ["cloud"]
    return {
        "address": topic,
        "description": says,
        "servers": [{"$ref": f"#/servers/{name}"} for name in servers],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in CARRIED[topic]},
        "tags": [{"name": audience}],
    }


CARRIED: dict[str, tuple[str, ...]] = {
    topics.RENDER_REQUESTS: ("renderRequest", "cancellation"),
    topics.RENDER_RESULTS: ("result",),
    topics.RENDER_RELEASES: ("release",),
    topics.RENDER_ARRIVALS: ("arrival", "batchArrival"),
    topics.PUMP_KICKS: ("kick",),
    topics.RENDER_DEAD_LETTERS: ("deadLetter",),
    topics.WEBHOOK_DELIVERIES: ("webhookDelivery",),
}


def _operations() -> dict[str, Any]:
    """One for each subscription, and the one thing that Renderlane sends to others."""
    receiving = {
        _camel(subscription.name): {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{_camel(subscription.topic)}"},
            "summary": f"The function {subscription.function} takes them by the push subscription {subscription.name}.",
            "tags": [{"name": WHAT[subscription.topic][1]}],
        }
        for subscription in SUBSCRIPTIONS
    }
    announcing = {
        "action": "send",
        "channel": {"$ref": f"#/channels/{_camel(topics.RENDER_RESULTS)}"},
        "summary": "At least once for every final status, and for every rejected message that names an id.",
        "tags": [{"name": "public"}],
    }
    return {"announceResults": announcing, **receiving}


def _messages() -> dict[str, Any]:
    request, cancel = (
        {name: part for name, part in message.items() if name != "description"} for message in request_schema()["oneOf"]
    )
    result_attributes = {
        "request_id": {"type": "string"},
        "status": {"type": "string"},
        "tenant": {"type": "string", "description": "Empty for a rejected message."},
        **TRACE,
    }
    return {
        "renderRequest": _message("One image to render; `request_id` is the idempotency key.", request, TRACE),
        "cancellation": _message("Ends a request that has not begun.", cancel, TRACE),
        "result": _message("How a request ended. Null and absent are the same.", of_proto("result"), result_attributes),
        "release": _message("A slot of one request.", of_proto("release"), TRACE),
        "arrival": _message("A background call that has ended, or may have.", ARRIVAL, TRACE),
        "batchArrival": _message("A batch that has ended, or may have.", BATCH_ARRIVAL, TRACE),
        "kick": _message("Wakes the pump.", of_proto("kick"), {}),
        "deadLetter": _message("A message as it was published, of any form.", {}, {}),
        "webhookDelivery": _message("A result webhook that is due.", of_proto("delivery"), {}),
    }


def _message(summary: str, payload: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a Pub/Sub message are its headers."""
    headers = {"headers": {"type": "object", "properties": attributes}} if attributes else {}
    return {"summary": summary, "payload": payload, **headers}


def of_proto(name: str) -> dict[str, Any]:
    """A topic's protobuf schema as JSON Schema: every field may be null, as protobuf's JSON form has it."""
    text = (SCHEMAS / f"{name}.proto").read_text("utf-8")
    inner = {match[1]: _fields(match[2], {}) for match in INNER.finditer(text)}
    fields = _fields(INNER.sub("", text), inner)
    required = REQUIRED[name]
    for field in required:
        fields["properties"][field] = _without_null(fields["properties"][field])
    return {**fields, **({"required": list(required)} if required else {})}


def _fields(text: str, inner: dict[str, Any]) -> dict[str, Any]:
    properties = {name: _type(kind, bool(repeated), inner) for repeated, kind, name in FIELD.findall(text)}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _type(kind: str, repeated: bool, inner: dict[str, Any]) -> dict[str, Any]:
    if kind in inner:
        return {"oneOf": [inner[kind], {"type": "null"}]}
    if kind.startswith("map<"):
        return {"type": ["object", "null"], "additionalProperties": {"type": "string"}}
    if repeated:
        return {"type": ["array", "null"], "items": {"type": PROTO_TYPES[kind]}}
    return {"type": [PROTO_TYPES[kind], "null"]}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "oneOf" in schema:
        return dict(schema["oneOf"][0])
    kind = schema["type"][0]
    return {**schema, "type": kind}


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(word.capitalize() for word in rest)


def page() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
