"""The Interactions API, seen by the unmodified SDK over a socket."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from google.genai import _interactions as sdk
from PIL import Image

from tests.simulator.conftest import House

pytestmark = pytest.mark.asyncio(loop_scope="module")

PICTURES = "drawn"

Opened = Callable[[Any], Image.Image]
Png = Callable[[int, int], bytes]


def image_format(size: str | None = None, ratio: str | None = None) -> dict[str, str]:
    given = {"type": "image", "image_size": size, "aspect_ratio": ratio}
    return {name: value for name, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("model", "size", "ratio", "pixels"),
    [
        ("gemini-3-pro-image", None, None, (1024, 1024)),
        ("gemini-3-pro-image", "2K", "16:9", (2752, 1536)),
        ("gemini-3-pro-image", "4K", "1:1", (4096, 4096)),
        ("gemini-nano-banana-2.1", "1K", "1:8", (384, 3072)),
        ("gemini-3.1-flash-image", "512", "1:1", (512, 512)),
        ("gemini-3.1-flash-lite-image", "1K", "9:16", (768, 1376)),
        ("gemini-2.5-flash-image", None, "3:2", (1264, 848)),
    ],
)
async def test_the_picture_has_the_pixels_that_were_asked_for(
    house: House, opened: Opened, model: str, size: str | None, ratio: str | None, pixels: tuple[int, int]
) -> None:
    answer = await house.ask(model=model, response_format=image_format(size, ratio))
    assert answer.status == "completed"
    assert answer.model == model
    assert answer.output_image.mime_type == "image/jpeg"
    assert opened(answer).size == pixels
    assert opened(answer).format == "JPEG"


async def test_usage_has_the_documented_fields_and_sums(house: House, png: Png) -> None:
    reference = {"type": "image", "mime_type": "image/png", "data": base64.b64encode(png(64, 64)).decode()}
    prompt = [{"type": "user_input", "content": [{"type": "text", "text": "x" * 88}, reference]}]
    answer = await house.ask(prompt, tools=[{"type": "google_search"}])
    usage = answer.usage
    assert {row.modality: row.tokens for row in usage.input_tokens_by_modality} == {"text": 22, "image": 560}
    assert {row.modality: row.tokens for row in usage.output_tokens_by_modality} == {"image": 1120}
    assert usage.total_input_tokens == 582
    assert usage.total_output_tokens == 1120
    assert 150 <= usage.total_thought_tokens < 350
    assert usage.total_tokens == 582 + 1120 + usage.total_thought_tokens
    assert usage.total_cached_tokens == usage.total_tool_use_tokens == 0
    assert [(row.type, row.count) for row in usage.grounding_tool_count] == [("google_search", 1)]
    assert [step.type for step in answer.steps] == [
        "thought",
        "google_search_call",
        "google_search_result",
        "model_output",
    ]


async def test_text_beside_the_picture_is_in_the_total_alone(house: House) -> None:
    answer = await house.ask(response_format=[{"type": "text"}, {"type": "image"}])
    assert answer.output_text
    assert answer.output_image
    assert answer.usage.total_output_tokens - 1120 == -(-len(answer.output_text) // 4)
    assert [row.modality for row in answer.usage.output_tokens_by_modality] == ["image"]


async def test_the_answer_is_the_captured_one_field_by_field(house: House) -> None:
    body = {"model": "gemini-3-pro-image", "input": "a cup", "response_format": {"type": "image"}}
    response = await house.post(body)
    assert response.headers["x-gemini-service-tier"] == "standard"
    assert response.headers["content-type"].startswith("application/json")
    answer = response.json()
    assert set(answer) == {
        "id", "object", "status", "model", "service_tier", "created", "updated", "steps", "usage",
    }  # fmt: skip
    assert answer["object"] == "interaction"
    assert answer["id"].startswith("v1_")
    assert answer["created"] == "2026-11-22T12:00:00Z"
    assert [step["type"] for step in answer["steps"]] == ["thought", "model_output"]


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_all_documented_inputs_and_versions_are_understood(house: House, version: str) -> None:
    text = {"type": "text", "text": "a boat"}
    hashes = set()
    for prompt in ("a boat", text, [text], [{"type": "user_input", "content": [text]}]):
        body = {"model": "gemini-3-pro-image", "input": prompt, "response_format": {"type": "image"}}
        assert (await house.post(body, path=f"/{version}/interactions")).status_code == 200
        hashes.add(house.simulation.ledger.since()[-1].prompt_sha256)
    assert len(hashes) == 1


async def test_a_reference_without_a_ratio_decides_the_ratio(house: House, opened: Opened, png: Png) -> None:
    reference = {"type": "image", "mime_type": "image/png", "data": base64.b64encode(png(160, 90)).decode()}
    answer = await house.ask([{"type": "text", "text": "make it blue"}, reference])
    assert opened(answer).size == (1376, 768)


async def test_the_sdk_itself_sends_what_is_accepted(house: House) -> None:
    """Everything of a real request at once, by the blocking client's sibling: tier, labels, ratio, size, store."""
    answer = await house.ask(
        response_format=image_format("2K", "16:9"),
        service_tier="flex",
        labels={"request_id": "spring-hero-001"},
        tools=[{"type": "google_search"}],
    )
    assert answer.service_tier == "flex"
    call = house.simulation.ledger.since()[-1]
    assert (call.marker, call.tier, call.size, call.ratio) == ("spring-hero-001", "flex", "2K", "16:9")


def with_image(mime_type: str, data: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": "x"}, {"type": "image", "mime_type": mime_type, "data": data}]


BAD_REQUESTS: list[tuple[str, dict[str, Any], str]] = [
    ("2.1 draws no 512", {"model": "gemini-nano-banana-2.1", "response_format": image_format("512")}, "512"),
    ("Lite draws 1K", {"model": "gemini-3.1-flash-lite-image", "response_format": image_format("2K")}, "2K"),
    ("legacy takes no size", {"model": "gemini-2.5-flash-image", "response_format": image_format("1K")}, "image_size"),
    ("lower-case k", {"response_format": image_format("2k")}, "2k"),
    ("Pro has ten ratios", {"response_format": image_format(ratio="1:8")}, "1:8"),
    ("no such ratio", {"response_format": image_format(ratio="7:5")}, "7:5"),
    ("2.1 has no flex", {"model": "gemini-nano-banana-2.1", "service_tier": "flex"}, "flex"),
    ("Lite has no priority", {"model": "gemini-3.1-flash-lite-image", "service_tier": "priority"}, "priority"),
    ("Lite has no flex", {"model": "gemini-3.1-flash-lite-image", "service_tier": "flex"}, "flex"),
    ("Lite has no search", {"model": "gemini-3.1-flash-lite-image", "tools": [{"type": "google_search"}]}, "Search"),
    ("legacy has no search", {"model": "gemini-2.5-flash-image", "tools": [{"type": "google_search"}]}, "Search"),
    ("no such tier", {"service_tier": "deferred"}, "deferred"),
    ("a tool it lacks", {"tools": [{"type": "url_context"}]}, "url_context"),
    ("a label in capitals", {"labels": {"request_id": "Spring"}}, "label"),
    ("a label with a dot", {"labels": {"request_id": "a.b"}}, "label"),
    ("a long label", {"labels": {"request_id": "x" * 64}}, "label"),
    ("no text", {"input": "  "}, "no text"),
    ("base64 it is not", {"input": with_image("image/png", "%%")}, "base64"),
    ("an image it is not", {"input": with_image("image/png", "aGVsbG8=")}, "process"),
    ("a type it is not", {"input": with_image("text/plain", "aGVsbG8=")}, "MIME"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"), [row[1:] for row in BAD_REQUESTS], ids=[row[0] for row in BAD_REQUESTS]
)
async def test_what_the_model_cannot_do_is_a_400_that_says_so(
    house: House, changes: dict[str, Any], message: str
) -> None:
    prompt = changes.get("input", "a red cube")
    with pytest.raises(sdk.BadRequestError) as raised:
        await house.ask(prompt, **{name: value for name, value in changes.items() if name != "input"})
    error = _error(raised.value)
    assert error["code"] == "invalid_request"
    assert message in error["message"]
    assert house.simulation.ledger.bill().total.charged_calls == 0


async def test_too_many_references_are_refused(house: House, png: Png) -> None:
    reference = {"type": "image", "mime_type": "image/png", "data": base64.b64encode(png(8, 8)).decode()}
    text = {"type": "text", "text": "combine"}
    assert (await house.ask([text, *[reference] * 14])).status == "completed"
    with pytest.raises(sdk.BadRequestError, match="at most 14"):
        await house.ask([text, *[reference] * 15])
    with pytest.raises(sdk.BadRequestError, match="at most 3"):
        await house.ask([text, *[reference] * 4], model="gemini-2.5-flash-image")


async def test_an_unknown_parameter_is_named(house: House) -> None:
    with pytest.raises(sdk.BadRequestError) as raised:
        await house.ask(extra_body={"imageSize": "2K"})
    assert _error(raised.value)["code"] == "parameter_unknown"
    assert "imageSize" in _error(raised.value)["message"]


@pytest.mark.parametrize("model", ["gemini-9-image", "nano-banana-pro", "gemini-3-pro-image-preview"])
async def test_a_model_that_is_unknown_or_shut_down_is_not_found(house: House, model: str) -> None:
    with pytest.raises(sdk.NotFoundError) as raised:
        await house.ask(model=model)
    assert _error(raised.value)["code"] == "model_not_found"


async def test_keys_come_three_ways_and_standard_keys_are_rejected(house: House) -> None:
    body = {"model": "gemini-3-pro-image", "input": "a cup", "response_format": {"type": "image"}}
    for headers, path in (
        ({"x-goog-api-key": "AQ.k"}, "/v1/interactions"),
        ({"authorization": "Bearer token"}, "/v1/interactions"),
        ({}, "/v1/interactions?key=AQ.k"),
    ):
        assert (await house.post(body, path=path, headers=headers)).status_code == 200
    for headers in ({}, {"x-goog-api-key": "AIzaSyOld"}, {"authorization": "Basic xx"}):
        response = await house.post(body, headers=headers)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "authentication"


async def test_a_stored_interaction_can_be_read_and_deleted(house: House) -> None:
    stored = await house.ask(store=None)
    read = await house.client.aio.interactions.get(stored.id)
    assert read.output_image
    assert read.output_image.data == stored.output_image.data
    with pytest.raises(sdk.BadRequestError, match="background"):
        await house.client.aio.interactions.cancel(stored.id)
    await house.client.aio.interactions.delete(stored.id)
    with pytest.raises(sdk.NotFoundError):
        await house.client.aio.interactions.get(stored.id)
    unstored = await house.ask()
    with pytest.raises(sdk.NotFoundError):
        await house.client.aio.interactions.get(unstored.id)


async def test_an_edit_continues_a_stored_interaction(house: House) -> None:
    first = await house.ask(store=None)
    assert (await house.ask("now blue", previous_interaction_id=first.id)).status == "completed"
    with pytest.raises(sdk.NotFoundError):
        await house.ask("now blue", previous_interaction_id="v1_unknown")


async def test_a_body_that_is_no_object_is_refused(house: House) -> None:
    bodies: list[Any] = [[], "text", None]
    for body in bodies:
        assert (await house.post(body)).status_code == 400
    for bad in ({"input": "x"}, {"model": 5, "input": "x"}, {"model": "gemini-3-pro-image", "input": 7}):
        assert (await house.post(bad)).json()["error"]["code"] == "invalid_request"


async def test_an_address_that_is_not_simulated_says_so(house: House) -> None:
    response = await house.http.get("/v1/models")
    assert response.status_code == 404
    assert "not simulated" in response.json()["error"]["message"]


def _error(error: sdk.APIStatusError) -> dict[str, Any]:
    body = error.body if isinstance(error.body, dict) else json.loads(str(error.body))
    inner: dict[str, Any] = body["error"]
    return inner
