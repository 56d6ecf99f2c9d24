"""The classic API, seen by the unmodified SDK over a socket."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from google.genai import errors
from google.genai.types import (
    FinishReason,
    GenerateContentConfig,
    GenerateContentResponse,
    GoogleSearch,
    ImageConfig,
    Part,
    ServiceTier,
    Tool,
)
from PIL import Image

from scripts.simulator.provider.faults import Fault
from tests.simulator.conftest import House

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def generate(
    house: House, contents: Any = "a red cube", model: str = "gemini-3-pro-image", **config: Any
) -> GenerateContentResponse:
    return await house.client.aio.models.generate_content(
        model=model, contents=contents, config=GenerateContentConfig(**config) if config else None
    )


def pictures(answer: GenerateContentResponse) -> list[Image.Image]:
    parts = answer.parts or []
    return [
        Image.open(io.BytesIO(part.inline_data.data)) for part in parts if part.inline_data and part.inline_data.data
    ]


async def test_a_picture_comes_with_its_usage(house: House, png: Callable[[int, int], bytes]) -> None:
    answer = await generate(
        house,
        ["y" * 40, Part.from_bytes(data=png(30, 20), mime_type="image/png")],
        image_config=ImageConfig(aspect_ratio="16:9", image_size="2K"),
        response_modalities=["TEXT", "IMAGE"],
        tools=[Tool(google_search=GoogleSearch())],
    )
    assert [picture.size for picture in pictures(answer)] == [(2752, 1536)]
    assert answer.candidates
    assert answer.candidates[0].finish_reason == FinishReason.STOP
    assert answer.model_version == "gemini-3-pro-image"
    assert answer.response_id
    assert answer.text
    usage = answer.usage_metadata
    assert usage
    assert usage.prompt_token_count == 10 + 560
    assert [(row.modality, row.token_count) for row in usage.candidates_tokens_details or []] == [("IMAGE", 1120)]
    assert usage.candidates_token_count == 1120 + -(-len(answer.text) // 4)
    assert usage.thoughts_token_count
    assert usage.total_token_count == 570 + usage.candidates_token_count + usage.thoughts_token_count
    assert answer.candidates[0].grounding_metadata


async def test_an_image_alone_has_no_text(house: House) -> None:
    answer = await generate(house, response_modalities=["IMAGE"], service_tier=ServiceTier.FLEX)
    assert len(pictures(answer)) == 1
    assert len(answer.parts or []) == 1
    assert house.simulation.ledger.since()[-1].tier == "flex"


async def test_errors_have_the_classic_form(house: House) -> None:
    with pytest.raises(errors.ClientError) as raised:
        await generate(house, image_config=ImageConfig(image_size="2k"))
    assert (raised.value.code, raised.value.status) == (400, "INVALID_ARGUMENT")
    with pytest.raises(errors.ClientError) as raised:
        await generate(house, model="gemini-3-pro-image-preview")
    assert (raised.value.code, raised.value.status) == (404, "NOT_FOUND")
    house.simulation.set_limits("*=rpm:1")
    with pytest.raises(errors.ClientError) as raised:
        await generate(house)
    assert (raised.value.code, raised.value.status) == (429, "RESOURCE_EXHAUSTED")
    details = {row["@type"].rpartition(".")[2]: row for row in raised.value.details["error"]["details"]}
    assert details["RetryInfo"]["retryDelay"] == "60s"
    house.simulation.set_limits("")
    house.script(Fault(kind="overload"))
    with pytest.raises(errors.ServerError) as overloaded:
        await generate(house)
    assert (overloaded.value.code, overloaded.value.status) == (503, "UNAVAILABLE")


async def test_unknown_fields_and_both_spellings(house: House) -> None:
    path = "/v1beta/models/gemini-3-pro-image:generateContent"
    contents = [{"role": "user", "parts": [{"text": "a cup"}]}]
    snake = {"contents": contents, "generation_config": {"image_config": {"image_size": "2K"}}}
    assert (await house.post(snake, path=path)).status_code == 200
    assert house.simulation.ledger.since()[-1].size == "2K"
    response = await house.post({"contents": contents, "imageSize": "2K"}, path=path)
    assert response.status_code == 400
    assert "imageSize" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(kind="refusal"), FinishReason.IMAGE_SAFETY),
        (Fault(kind="refusal", code="prohibited_content"), FinishReason.PROHIBITED_CONTENT),
        (Fault(kind="no_image"), FinishReason.NO_IMAGE),
        (Fault(kind="no_image", form="incomplete"), FinishReason.MAX_TOKENS),
        (Fault(kind="no_image", form="text_only"), FinishReason.STOP),
        (Fault(kind="no_image", form="empty_steps"), FinishReason.STOP),
    ],
    ids=["refused", "prohibited", "none", "cut short", "text only", "empty"],
)
async def test_an_answer_without_a_picture_gives_its_reason(house: House, fault: Fault, reason: FinishReason) -> None:
    house.script(fault)
    answer = await generate(house)
    assert pictures(answer) == []
    assert answer.candidates
    assert answer.candidates[0].finish_reason == reason
    assert answer.usage_metadata
    assert house.simulation.ledger.since()[-1].charged


async def test_a_blocked_prompt_has_no_candidates(house: House) -> None:
    house.script(Fault(kind="refusal", form="prompt_blocked", code="safety"))
    answer = await generate(house)
    assert not answer.candidates
    assert answer.prompt_feedback
    assert answer.prompt_feedback.block_reason == "SAFETY"
