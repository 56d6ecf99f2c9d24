"""The format of a delivered image: who converts it, and what that loses. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from shared.core.provider.call import Picture

MIME_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
LARGEST_PIXELS = 40_000_000
"""Limit on the pixels of a decoded image: twice a 4K one of any ratio. A file may claim billions in a few bytes."""
BYTES_PER_PIXEL = 4
COPIES = {"jpeg": 4, "png": 3, "webp": 7}
"""Bytes per pixel while an image is converted to that format: the image, a copy in another mode, and the encoder's own.
Measured with 4K noise as PNG with transparency: 257, 172 and 438 MB."""
_PIXELS = {"512": 512**2, "1K": 1024**2, "2K": 2048**2, "4K": 4096**2}


class FormatRequest(Struct, frozen=True):
    """What was requested, and what of it the provider does itself."""

    format: str
    quality: int | None
    made_by_provider: bool
    """The call names the format."""
    quality_by_provider: bool
    """The call names the quality."""

    def needs_converting(self, content_type: str) -> bool:
        """Bytes that already have the format, and need no quality to be set, stay unchanged."""
        if content_type != MIME_TYPES[self.format]:
            return True
        return self.quality is not None and not self.quality_by_provider


class ConvertedPicture(Struct, frozen=True):
    picture: Picture
    lost_credentials: bool
    """The original had content credentials (C2PA)."""
    lost_transparency: bool


def wish(
    output_format: str | None,
    quality: int | None,
    chosen_formats: Mapping[str, tuple[str, ...]],
    quality_formats: Mapping[str, tuple[str, ...]],
    api: str,
) -> FormatRequest | None:
    """None if nothing was requested. The formats are the model's capabilities, by API."""
    if output_format is None:
        return None
    named = output_format in chosen_formats.get(api, ())
    return FormatRequest(output_format, quality, named, named and output_format in quality_formats.get(api, ()))


def note(original: Picture, wanted: FormatRequest, converted: ConvertedPicture) -> str:
    """For the receipt."""
    before = format_of(original.content_type)
    quality = f" at quality {wanted.quality}" if wanted.quality is not None else ""
    what = f"{before} -> {wanted.format}" if before != wanted.format else f"{before} encoded again"
    lost = []
    if converted.lost_credentials:
        lost.append("its content credentials (C2PA) stayed behind")
    if converted.lost_transparency:
        lost.append("its transparency became white")
    return f"output format {what}{quality}: converted by the worker" + "".join(f", {text}" for text in lost)


def failed_note(original: Picture, wanted: FormatRequest, reason: str) -> str:
    """For the receipt of an image that is delivered unconverted: it is paid for."""
    return f"output format {wanted.format}: not converted, {reason}; delivered as {format_of(original.content_type)}"


def format_of(content_type: str) -> str:
    return content_type.removeprefix("image/")


def room(output_format: str, image_size: str | None) -> int:
    """Bytes of memory for converting an image of that size; None: of any size."""
    return COPIES[output_format] * BYTES_PER_PIXEL * _PIXELS.get(image_size or "", _PIXELS["4K"])
