"""What a lane is asked, and what it answers: a picture, or a failure named for what we do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from shared.core.failure import Failure


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference image, fetched."""

    mime_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Order:
    """One attempt, as the lane sends it."""

    request_id: str
    model: str
    lane: str
    """`standard`, `priority` or `flex` (Google's service tiers), `batch` or `gateway`."""
    prompt: str
    image_size: str | None
    """`512`, `1K`, `2K`, `4K`; None where the model takes no size."""
    aspect_ratio: str | None
    references: Sequence[Reference] = ()
    grounding: bool = False
    gateway: str = ""
    """Whose, on the lane `gateway`."""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them. Text out = total out - image out."""

    text_in: int = 0
    image_in: int = 0
    text_out: int = 0
    image_out: int = 0
    thought: int = 0
    grounding_searches: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """Encoded image bytes with what their own header says."""

    data: bytes = field(repr=False)
    content_type: str
    """`image/jpeg`, `image/png` or `image/webp`."""
    width: int
    height: int

    @property
    def extension(self) -> str:
        return {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}[self.content_type]


@dataclass(frozen=True, slots=True)
class Made:
    """The provider made an image."""

    picture: Picture
    usage: Usage | None
    """None where the provider returned no usage."""
    model: str
    """The model that served, as the provider names it: it sets the price."""
    lane: str
    """The tier that served."""
    provider_request_id: str
    http_status: int = 200


Answer: TypeAlias = Made | Failure
