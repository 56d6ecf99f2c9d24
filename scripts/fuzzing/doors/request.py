"""Render requests and cancellations as messages on `render-requests`, through the whole worker in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from random import Random
from typing import Any

import jsonschema

from scripts.fuzzing import invariants, rubbish
from scripts.fuzzing.door import Input, bytes_of
from scripts.fuzzing.invariants import PROMPT
from shared.core.messages.render_request import InvalidRequest, RenderRequest, parse_message, request_schema
from shared.core.messages.topics import RENDER_REQUESTS, SUBSCRIPTIONS
from tests.chaos.chaos_world import ChaosWorld
from tests.chaos.reader import Reader

FULL: dict[str, Any] = {
    "request_id": "spring-1", "prompt": f"a {PROMPT}", "tenant": "web", "purpose": "final", "model": "nano-banana-pro",
    "image_size": "2K", "aspect_ratio": "16:9", "lane": "standard", "priority": "interactive",
    "deadline": "2026-12-01T12:00:00Z", "max_cost_usd": "0.30", "floor": {"image_size": "1K", "model": "nano-banana-2"},
    "allow": {"gateway": False, "batch": False, "vertex": False}, "group": "spring", "grounding": False,
    "labels": {"campaign": "spring"}, "thinking": "low", "output_format": "png",
    "system_instruction": f"in the style of a {PROMPT}",
}  # fmt: skip
VALID: Sequence[dict[str, Any]] = (
    FULL,
    {"request_id": "r-1", "prompt": f"a {PROMPT}"},
    {"request_id": "r-2", "prompt": f"a {PROMPT}", "references": [{"uri": "gs://b/x.png", "mime_type": "image/png"}]},
    {"request_id": "r-3", "prompt": f"a {PROMPT}", "purpose": "draft", "floor": "exact", "priority": "bulk"},
    {"request_id": "r-4", "prompt": f"a {PROMPT}", "lane": "flex", "output_format": "jpeg", "output_quality": 80},
    {"request_id": "r-5", "prompt": f"a {PROMPT}", "safety": {"image_hate": "block_none"}, "grounding": "image"},
    {"request_id": "r-6", "prompt": f"a {PROMPT}", "escalates": "r-1", "tenant": "web"},
    {"cancel": "r-1"},
    {"cancel": "spring-1", "tenant": "web"},
)
PLAUSIBLE: Mapping[str, Sequence[Any]] = {
    "request_id": ("r-1", "a", "A" * 128, "0", "a:b", "a.b-c_d", "x~y", "spring-1-r2"),
    "prompt": (f"a {PROMPT}", f"{PROMPT}\x00", f"{PROMPT} \U0001f980", PROMPT * 1_500, f"\u202e{PROMPT}"),
    "tenant": ("default", "web", "t" * 64, "a:b"),
    "purpose": ("draft", "default", "final"),
    "model": (None, "nano-banana-pro", "nano-banana-2", "nano-banana", "gemini-3-pro-image", "no-such-model"),
    "image_size": ("512", "1K", "2K", "4K"),
    "aspect_ratio": (None, "1:1", "16:9", "21:9", "99:1", "0:0", "00:00"),
    "lane": ("standard", "priority", "flex", "batch", "vertex"),
    "priority": ("interactive", "normal", "bulk"),
    "deadline": (
        None,
        "2026-11-22T18:00:00Z",
        "2026-11-22T18:00:05Z",
        "2000-01-01T00:00:00Z",
        "2999-12-31T23:59:59-23:59",
        "2026-02-30T00:00:00Z",
        "2026-12-01t12:00:00.123456789z",
        "2400-02-29T00:00:00+23:59",
    ),
    "max_cost_usd": (None, "0.30", "0.000001", "999999.999999", "0.0", "00000.1"),
    "floor": ("exact", {}, {"image_size": "4K"}, {"model": "nano-banana-pro"}, {"model": "x"}, {"image_size": "512"}),
    "allow": ({}, {"batch": True}, {"gateway": True}, {"vertex": True}, {"batch": True, "gateway": True}),
    "references": ([], [{"uri": "gs://b/x"}] * 14, [{"uri": "https://x.test/a"}], [{"uri": "file:///x"}]),
    "escalates": (None, "r-1", "spring-1"),
    "group": (None, "g", "g" * 128, "\x00", "\u2028", "/"),
    "grounding": (False, True, "image"),
    "labels": (
        {},
        {"a": ""},
        {"__": "x"},
        {".": "`"},
        {"a.b": "x", "\x00": "y"},
        {str(n): "v" * 255 for n in range(32)},
    ),
    "thinking": (None, "minimal", "low", "medium", "high"),
    "safety": ({}, {"harassment": "off"}, {"image_hate": "block_low_and_above"}, {"hate_speech": "block_none"}),
    "system_instruction": (None, f"a {PROMPT}", "x" * 32_000),
    "output_format": (None, "jpeg", "png", "webp"),
    "output_quality": (None, 1, 100, 0, 101),
}
"""Values of which most are valid alone; together they are often not."""
FIELDS = (*FULL, "references", "safety", "output_quality", "escalates", "cancel", "revives", "round", "status")
ATTRIBUTES = ("traceparent", "googclient_traceparent", "revives", "tracestate", "request_id")


class RequestDoor:
    name = "request"

    def draw(self, random: Random) -> Input:
        message = random.choice(VALID)
        if random.random() < 0.6:
            message = {**message, **plausible(random)}
        if random.random() < 0.5:
            message = rubbish.changed(random, message, FIELDS)
        names = [name for name in ATTRIBUTES if random.random() < 0.15]
        return {
            "data": rubbish.as_sent(random, message),
            "attributes": {name: rubbish.text(random) for name in names},
            "twice": random.random() < 0.2,
        }

    def play(self, item: Input) -> Sequence[str]:
        return asyncio.run(_played(bytes_of(item["data"]), item["attributes"], twice=item["twice"]))


def plausible(random: Random) -> dict[str, Any]:
    names = random.sample(list(PLAUSIBLE), random.randrange(1, 7))
    return {name: random.choice(PLAUSIBLE[name]) for name in names}


async def _played(data: bytes, attributes: dict[str, str], *, twice: bool) -> list[str]:
    world = ChaosWorld()
    world.deliver_twice = twice
    reader = Reader(world)
    message_id = await world.publish(data, **attributes)
    await world.run_until_quiet(timedelta(days=40))
    problems = [f"the function raised {error!r}" for error in (*world.crashes, *world.watch_crashes)]
    problems += _on_record(world, data, message_id)
    problems += _differing(data)
    problems += invariants.leaks(world.signals)
    if world.topics.waiting(_INTAKE):
        problems.append("the message is still on its way")
    try:
        reader.at_the_end()
    except AssertionError as error:
        problems.append(f"the books: {error}")
    return problems


_INTAKE = next(row.name for row in SUBSCRIPTIONS if row.topic == RENDER_REQUESTS)


def _on_record(world: ChaosWorld, data: bytes, message_id: str) -> Iterator[str]:
    """What the message means, read again, is what the store says it was."""
    requests = [document.data for document in world.store.all("requests")]
    rejected = world.store.all("rejected")
    cancels = world.store.all("cancels")
    if not requests and not rejected and not cancels:
        yield "the message was acknowledged and is on record nowhere"
    if len(requests) + len(cancels) > 1:
        yield f"one message became {len(requests)} requests and {len(cancels)} cancellations"
    for request in requests:
        if request["message_id"] != message_id:
            yield f"the request names the message {request['message_id']}"


def _differing(data: bytes) -> Iterator[str]:
    """What the parser takes its schema takes, and it reads the same value again from what it writes."""
    try:
        meaning = parse_message(data)
    except InvalidRequest as error:
        for problem in error.problems:
            if PROMPT in str(problem):
                yield f"the problem quotes the prompt: {problem.field}"
        return
    errors = [error.message[:80] for error in _validator().iter_errors(json.loads(data))]
    if errors:
        yield f"accepted, and not of the schema: {errors[0]}"
    if isinstance(meaning, RenderRequest):
        again = RenderRequest.parse(json.loads(json.dumps(meaning.to_json())))
        if again != meaning or again.content_hash != meaning.content_hash:
            yield "what is written of the request is read as another one"


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(request_schema())
