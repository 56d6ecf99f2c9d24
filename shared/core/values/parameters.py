"""The allowed words for what a caller may set beside prompt, model, size and lane."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Thinking: TypeAlias = Literal["minimal", "low", "medium", "high"]
THINKING: tuple[Thinking, ...] = get_args(Thinking)
"""Least first."""

IMAGE_SEARCH: Literal["image"] = "image"
Grounding: TypeAlias = bool | Literal["image"]
"""True: in web pages. `image`: in web pages and images."""

OUTPUT_FORMATS = ("jpeg", "png", "webp")
WITH_QUALITY = ("jpeg", "webp")
"""Lossy formats, which have a quality."""

SAFETY_CATEGORIES = (
    "hate_speech", "dangerous_content", "harassment", "sexually_explicit",
    "image_hate", "image_dangerous_content", "image_harassment", "image_sexually_explicit",
)  # fmt: skip
SAFETY_THRESHOLDS = ("block_low_and_above", "block_medium_and_above", "block_only_high", "block_none", "off")
"""The provider's own words for both, as google-genai 3.6.1 has them (`interactions.SafetySetting`)."""
