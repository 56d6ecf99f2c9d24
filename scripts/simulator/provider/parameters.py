"""What a caller sets beside prompt, size, ratio and tier: each dialect reads it, and the model decides here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from scripts.simulator.provider.models import ImageModel
from scripts.simulator.provider.problems import invalid

TEXT_CATEGORIES = ("hate_speech", "dangerous_content", "harassment", "sexually_explicit", "civic_integrity")
IMAGE_CATEGORIES = ("image_hate", "image_dangerous_content", "image_harassment", "image_sexually_explicit")
THRESHOLDS = ("block_low_and_above", "block_medium_and_above", "block_only_high", "block_none", "off")


class Parameters(Struct, frozen=True):
    thinking: str | None = None
    """A level; None: the model's own."""
    image_search: bool = False
    """Beside the search in web pages."""
    safety: Mapping[str, str] = field(default_factory=dict)
    """Thresholds by category, in lower case and without a prefix."""
    instruction: str = ""

    def on(self, model: ImageModel) -> Parameters:
        """With the level that the model takes, or Refused."""
        if self.image_search and model.grounding != "web+image":
            raise invalid(f"Image search is not enabled for models/{model.id}.")
        if self.thinking is None:
            return replace(self, thinking=model.default_thinking)
        if not model.thinking:
            raise invalid(f"Thinking level is not supported for model {model.id}.")
        if self.thinking not in model.thinking:
            levels = ", ".join(model.thinking)
            raise invalid(
                f"Thinking level '{self.thinking}' is not supported for model {model.id}. Supported values: {levels}."
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """Without the instruction itself, as the prompt is left out."""
        digest = hashlib.sha256(self.instruction.encode("utf-8", "surrogatepass")).hexdigest()
        return {
            "thinking": self.thinking,
            "image_search": self.image_search,
            "safety": dict(self.safety),
            "instruction_sha256": digest if self.instruction else "",
        }


def safety(settings: Iterable[tuple[str, str]], categories: tuple[str, ...]) -> dict[str, str]:
    """Thresholds by category, or Refused: a category that the API does not know, one that stands twice."""
    thresholds: dict[str, str] = {}
    for category, threshold in settings:
        if category not in categories:
            raise invalid(f"Invalid value at 'safety_settings': category '{category}' is not supported.")
        if threshold not in THRESHOLDS:
            raise invalid(f"Invalid value at 'safety_settings': threshold '{threshold}' is not supported.")
        if category in thresholds:
            raise invalid(f"Only one safety setting may be specified for category '{category}'.")
        thresholds[category] = threshold
    return thresholds
