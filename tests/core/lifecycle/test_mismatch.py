"""What came is held against what was ordered, thing by thing."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.simulator.provider import models as simulated
from shared.core.lifecycle.mismatch import mismatches
from shared.core.provider.usage import Usage
from shared.core.values.route import Route
from tests.builders import a_catalogue

PRO = "gemini-3-pro-image"


def members(route: Route | None = None, ratio: str | None = None, **came: Any) -> list[str]:
    delivered: dict[str, Any] = {
        "width": 4096, "height": 4096, "usage": Usage(image_out=2000), "model": PRO, "lane": "standard",
    }  # fmt: skip
    route = route or Route("standard", PRO, "4K")
    return [mismatch.what for mismatch in mismatches(route, ratio, **(delivered | came), catalogue=a_catalogue())]


@pytest.mark.parametrize(
    ("came", "what"),
    [
        ({}, []),
        ({"width": 1024, "height": 1024}, ["image_size"]),
        ({"width": 1024, "height": 1024, "usage": Usage(image_out=1120)}, ["image_size", "image_tokens"]),
        ({"usage": Usage(image_out=1120)}, ["image_tokens"]),
        ({"usage": None}, []),
        ({"usage": Usage(text_out=2000)}, []),
        ({"model": "models/" + PRO}, []),
        ({"model": "gemini-9-image"}, ["model"]),
        ({"lane": "flex"}, ["lane"]),
        ({"ratio": "16:9"}, ["aspect_ratio"]),
        ({"remark": "thought_image"}, ["thought_image"]),
        ({"remark": "earlier_image"}, ["earlier_image"]),
    ],
)
def test_each_thing_that_differs_is_named_and_nothing_else(came: dict[str, Any], what: list[str]) -> None:
    assert members(**came) == what


@pytest.mark.parametrize("ratio", a_catalogue().models["gemini-nano-banana-2.1"].aspect_ratios)
@pytest.mark.parametrize("size", ["1K", "2K", "4K"])
def test_the_pixels_that_google_documents_are_no_difference(size: str, ratio: str) -> None:
    width, height = simulated.load().pixels(size, ratio)
    route = Route("standard", "gemini-nano-banana-2.1", size)
    tokens = a_catalogue().models[route.model].image_tokens[size]
    came = {"width": width, "height": height, "usage": Usage(image_out=tokens), "model": route.model}
    assert members(route, ratio, **came) == []


def test_a_reason_names_both_sides() -> None:
    route = Route("standard", PRO, "4K")
    found_mismatches = mismatches(
        route, None, width=1024, height=1024, usage=Usage(image_out=1120), model=PRO, lane="standard",
        catalogue=a_catalogue(),
    )  # fmt: skip
    assert [mismatch.reason for mismatch in found_mismatches] == [
        "size 4K was ordered; 1024x1024 came, which is 1K",
        "2,000 image tokens are priced for gemini-3-pro-image 4K; 1,120 came",
    ]
