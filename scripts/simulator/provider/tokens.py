"""Token counts of a call. Text is counted at four characters a token; the rest comes from the models file."""

from __future__ import annotations

import hashlib

from msgspec import Struct

from scripts.simulator.provider.models import ImageModel

CHARACTERS_PER_TOKEN = 4


class TokenUsage(Struct, frozen=True):
    text_in: int = 0
    image_in: int = 0
    text_out: int = 0
    image_out: int = 0
    thoughts: int = 0
    searches: int = 0
    """Search queries made for grounding; priced apart from tokens."""

    @property
    def total_in(self) -> int:
        return self.text_in + self.image_in

    @property
    def total_out(self) -> int:
        return self.text_out + self.image_out

    @property
    def total(self) -> int:
        return self.total_in + self.total_out + self.thoughts


NOTHING = TokenUsage()


def of_text(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def of_input(model: ImageModel, prompt: str, references: int, instruction: str = "") -> tuple[int, int]:
    """Text and image tokens of what is sent in."""
    return of_text(prompt) + of_text(instruction), references * model.reference_tokens


def of_thinking(model: ImageModel, prompt: str, level: str | None) -> int:
    """Within the bounds of the level, the same for the same prompt; 0 for a model that does not think."""
    least, most = model.thoughts.get(level or "always", (0, 0))
    return least + _digest(prompt, "thoughts") % (most - least + 1)


def of_searches(prompt: str) -> int:
    """1 to 3 queries, the same for the same prompt."""
    return 1 + _digest(prompt, "searches") % 3


def of_image_searches(prompt: str) -> int:
    """1 or 2 queries for images, the same for the same prompt."""
    return 1 + _digest(prompt, "image searches") % 2


def _digest(prompt: str, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{purpose}:{prompt}".encode()).digest()[:4])
