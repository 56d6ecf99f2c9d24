"""What a lane is ordered to do, and what it answers: a picture, or a failure named for what we do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from shared.core.provider.failure import Failure
from shared.core.provider.usage import Usage
from shared.core.values.parameters import Grounding, Thinking

Written: TypeAlias = str | tuple[str, ...]
"""What the caller wrote: a prompt, or a prompt with a system instruction. No error may repeat it."""


def texts_of(written: Written) -> tuple[str, ...]:
    return (written,) if isinstance(written, str) else written


def written_of(prompt: str, system_instruction: str | None) -> Written:
    return prompt if system_instruction is None else (prompt, system_instruction)


class Reference(Struct, frozen=True):
    """A reference image, fetched, or an address from which the provider fetches it."""

    mime_type: str
    data: bytes
    uri: str = ""
    """Set: the provider fetches it from there, and `data` is empty."""

    def __repr__(self) -> str:
        """Without the bytes and the address, which may hold a signature."""
        return f"Reference({self.mime_type}, {'by address' if self.uri else f'{len(self.data)} bytes'})"


class Order(Struct, frozen=True):
    """One attempt, as the lane sends it."""

    request_id: str
    model: str
    lane: str
    """`standard`, `priority` or `flex` (Google's service tiers), `batch` or `gateway`."""
    prompt: str
    image_size: str | None
    """`512`, `1K`, `2K`, `4K`; None if the model takes no size."""
    aspect_ratio: str | None
    references: Sequence[Reference] = ()
    grounding: Grounding = False
    gateway: str = ""
    """The gateway's name, on the lane `gateway`."""
    paid_at: str = ""
    """The address of a picture that an earlier attempt paid for and could not fetch: it is tried before another one is
    bought."""
    labels: tuple[tuple[str, str], ...] = ()
    thinking: Thinking | None = None
    """The level that the call names; None: none."""
    safety: tuple[tuple[str, str], ...] = ()
    """Harm categories with their thresholds, in the words of a request."""
    system_instruction: str | None = None
    output_format: str | None = None
    """The format that the call names; None: none."""
    output_quality: int | None = None
    """The quality that the call names, together with a format; None: none."""
    key: str = ""
    """The key of the request; empty if the order belongs to none."""
    attempt: int = 0
    """The attempt's number; 0 if the order belongs to no request."""

    @property
    def written(self) -> Written:
        """Including addresses: a query may hold a signature."""
        uris = tuple(reference.uri for reference in self.references if reference.uri)
        return (*texts_of(written_of(self.prompt, self.system_instruction)), *uris)

    def __repr__(self) -> str:
        """Without the prompt."""
        return f"Order({self.request_id!r}, {self.model}, {self.lane})"


MOST_COUNTED = 10_000_000
"""Tokens of one kind in one answer: a count beyond any model's window cannot be true."""
WORD_LIMIT = 128
"""Characters that are kept of a provider's word: a model's name, a tier, an id."""


def word(text: str) -> str:
    """A provider's word in a form that can be stored anywhere: printable, and not too long."""
    printable = "".join(name if name.isprintable() else "\N{REPLACEMENT CHARACTER}" for name in text[: WORD_LIMIT + 1])
    return printable if len(printable) <= WORD_LIMIT else f"{printable[: WORD_LIMIT - 1]}…"


def counted(usage: Usage | None) -> Usage | None:
    """None if the counts cannot be true."""
    if usage is None:
        return None
    counts = (getattr(usage, name) for name in Usage.__struct_fields__)
    sound = all(type(count) is int and 0 <= count <= MOST_COUNTED for count in counts)
    return usage if sound else None


class Picture(Struct, frozen=True):
    """Encoded image bytes and what their header says."""

    data: bytes
    content_type: str
    """`image/jpeg`, `image/png` or `image/webp`."""
    width: int
    height: int

    def __repr__(self) -> str:
        """Without the bytes."""
        return f"Picture({self.content_type}, {self.width}x{self.height}, {len(self.data)} bytes)"

    @property
    def extension(self) -> str:
        return {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}[self.content_type]


Remark: TypeAlias = Literal["", "thought_image", "earlier_image"]
"""Which of an answer's pictures it is, if not the last: one of the model's thoughts, because there was no other, or one
before the last, because the last could not be read."""


class Made(Struct, frozen=True):
    """The provider made an image."""

    picture: Picture
    usage: Usage | None
    """None if the provider returned no usage."""
    model: str
    """The model that served, by the provider's name: it sets the price."""
    lane: str
    """The tier that served."""
    provider_request_id: str
    http_status: int = 200
    remark: Remark = ""
    paid_before: bool = False
    """An earlier attempt was charged for it; it was stored at an address that could not be read then."""
    format_note: str = ""
    """How its format was converted after it arrived, or why that failed."""


Answer: TypeAlias = Made | Failure
