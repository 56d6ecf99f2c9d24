"""What the lanes send is what google-genai writes for the same body by itself, and it writes no type twice."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from shared.adapters.gemini import http_call
from shared.adapters.gemini.background_calls import GeminiInteractions, background_body
from shared.adapters.gemini.http_call import Call
from shared.adapters.gemini.interaction_request import keep_writers
from shared.adapters.gemini.interactions_lane import GeminiLane, body_of
from shared.core.provider.call import Order, Reference
from shared.core.provider.interaction import Started
from tests.fakes.scripted_gemini import Post, Reply, a_drawing, interaction, output, scripted
from tests.fakes.slots import at_once

KEY = "AQ.Test-key-of-nobody-0123456789"
HOOK = "https://arrive.example/"
SOON = timedelta(seconds=5)
PLAIN: dict[str, Any] = {
    "request_id": "spring-hero-001", "key": "web~spring-hero-001", "attempt": 1, "model": "gemini-3-pro-image",
    "lane": "standard", "prompt": 'A "quiet" harbour – très calme\n\u2028 🛶', "image_size": "2K",
    "aspect_ratio": "16:9",
}  # fmt: skip
ORDERS = {
    "plain": Order(**PLAIN),
    "every field": Order(
        **PLAIN
        | {
            "lane": "flex",
            "references": (
                Reference("image/png", b"\x89PNG"),
                Reference("image/jpeg", b"", uri="https://generativelanguage.googleapis.com/v1beta/files/a"),
            ),
            "output_format": "png",
            "grounding": "image_search",
            "thinking": "high",
            "safety": (("HARM_CATEGORY_HARASSMENT", "BLOCK_ONLY_HIGH"),),
            "system_instruction": "Draw nothing else.",
            "labels": (("team", "web"),),
        }
    ),
}


async def _sent_by_sdk(lane: GeminiLane, body: dict[str, Any], server: Any, reply: Reply) -> Post:
    """By the same client, with the body as a request of the SDK's own type."""
    from google.genai._gaos import models

    sdk = await lane.sdk()
    server.script(reply)
    ahead = {} if body.get("background") else {"automatic_continuation": False}
    create = sdk.client.aio.interactions.with_streaming_response.create
    request: Any = models.CreateInteractionRequest

    async def send() -> None:
        seconds = 60 if body.get("background") else 5
        async with create(request=request(body=body), timeout=seconds, **ahead):
            pass

    await http_call.with_deadline(Call(at_once, SOON), send(), sdk.error, lambda: datetime.now(UTC))
    post: Post = server.posts[0]
    return post


def _compared(post: Post) -> tuple[str, dict[str, str], dict[str, Any]]:
    left_out = ("content-length",)
    return post.path, {name: value for name, value in post.headers.items() if name not in left_out}, post.body


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("way", ["foreground", "background"])
async def test_what_leaves_is_what_the_sdk_would_have_written_itself(name: str, way: str) -> None:
    order = ORDERS[name]
    async with scripted() as server:
        lane = GeminiLane(KEY, server.url)
        calls = GeminiInteractions(lane, webhook_url=HOOK)
        try:
            if way == "background":
                reply = Reply(interaction(status="in_progress", id="v1_abc", steps=None, usage=None))
                server.script(reply)
                assert await calls.start(order, at_once) == Started("v1_abc")
                body = background_body(order, HOOK)
            else:
                reply = Reply(interaction(output(a_drawing())))
                server.script(reply)
                await lane.generate(order, SOON, at_once)
                body = body_of(order)
            (ours,) = server.posts
            assert _compared(ours) == _compared(await _sent_by_sdk(lane, body, server, reply))
            assert ours.body["model"] == order.model
        finally:
            await lane.close()


@pytest.mark.asyncio
async def test_the_sdk_builds_its_writer_once_and_not_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    serializers: Any = importlib.import_module("google.genai._gaos.utils.serializers")
    built: list[str] = []
    original = getattr(serializers.create_model, "original", serializers.create_model)  # kept since an earlier test

    def count(name: str, **definition: Any) -> Any:
        built.append(name)
        return original(name, **definition)

    monkeypatch.setattr(serializers, "create_model", count)
    async with scripted() as server:
        lane = GeminiLane(KEY, server.url)
        try:
            server.script(Reply(interaction(output(a_drawing()))))
            for _ in range(3):
                await lane.generate(ORDERS["plain"], SOON, at_once)
        finally:
            await lane.close()
    assert built.count("Marshaller") == 1


def test_a_type_that_is_no_key_or_another_definition_is_built_each_time() -> None:
    built: list[Any] = []

    def build(name: str, **definition: Any) -> object:
        built.append((name, definition))
        return object()

    serializers = SimpleNamespace(create_model=build)
    keep_writers(serializers)
    keep_writers(serializers)  # once more changes nothing
    kept = serializers.create_model("Marshaller", body=(int, ...), __config__={})
    assert serializers.create_model("Marshaller", body=(int, ...), __config__={}) is kept
    assert serializers.create_model("Unmarshaller", body=(int, ...), __config__={}) is not kept
    serializers.create_model("Marshaller", body=([], ...), __config__={})
    serializers.create_model("Marshaller", other=(int, ...))
    assert len(built) == 4


def test_an_sdk_without_that_name_writes_as_it_does_by_itself() -> None:
    serializers = SimpleNamespace()
    keep_writers(serializers)
    assert not hasattr(serializers, "create_model")
