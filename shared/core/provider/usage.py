"""Tokens, as the provider counts and bills them."""

from __future__ import annotations

from msgspec import Struct


class Usage(Struct, frozen=True):
    """Tokens as the provider counted them. Text out = total out - image out."""

    text_in: int = 0
    image_in: int = 0
    text_out: int = 0
    image_out: int = 0
    thought: int = 0
    grounding_searches: int = 0
