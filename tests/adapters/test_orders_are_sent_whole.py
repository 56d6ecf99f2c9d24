"""Every field of an order reaches the provider in each API: a new field fails here until each adapter sends it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from google.genai import types
from msgspec.structs import replace

from shared.adapters.gemini import generate_content_lane, interactions_lane
from shared.adapters.gemini_batch.batch_lines import write_line
from shared.core.provider.call import Order, Reference

ORDER = Order("a", "gemini-3-pro-image", "standard", "a fox", "1K", "1:1", output_format="jpeg")
OTHERWISE: dict[str, Any] = {
    "prompt": "an owl",
    "image_size": "2K",
    "aspect_ratio": "16:9",
    "lane": "flex",
    "references": (Reference("image/png", b"bytes"),),
    "grounding": True,
    "labels": (("team", "shop"),),
    "thinking": "high",
    "safety": (("image_hate", "block_only_high"),),
    "system_instruction": "in oil",
    "output_format": "png",
    "output_quality": 80,
}
"""Another value of each field that a call carries."""
OF_OURS = {"request_id", "gateway", "paid_at", "key", "attempt"}
"""Who asks, and what becomes of the answer: no part of the picture that is ordered."""
IN_THE_ADDRESS = {"model"}


def interactions(order: Order) -> Any:
    return interactions_lane.body_of(order)


def generate_content(order: Order) -> Any:
    config = generate_content_lane._config(types, order, timedelta(seconds=60))
    return config.model_dump(exclude_none=True), generate_content_lane._contents(types, order)


def line_of_a_batch(order: Order) -> Any:
    return json.loads(write_line("key", order))


NOT_SENT: dict[Any, dict[str, str]] = {
    interactions: {"output_quality": "the API takes none: the worker converts"},
    generate_content: {},
    line_of_a_batch: {
        "lane": "a batch is a lane of its own",
        "labels": "generateContent takes them in Vertex AI only",
        "output_format": "the worker converts",
        "output_quality": "the worker converts",
    },
}
"""By API, what it does not carry, and why."""


def test_each_field_has_another_value_here() -> None:
    assert {*OTHERWISE, *OF_OURS, *IN_THE_ADDRESS} == set(Order.__struct_fields__)


@pytest.mark.parametrize("name", OTHERWISE)
@pytest.mark.parametrize("written", NOT_SENT)
def test_a_field_changes_what_is_sent(written: Any, name: str) -> None:
    changed = written(replace(ORDER, **{name: OTHERWISE[name]}))
    assert (changed != written(ORDER)) is (name not in NOT_SENT[written])
