"""The Formats port on Pillow: one image at a time in a process, so that memory is bounded by one decoded image.

Pixels stay as they are but for what a format cannot hold: a jpeg has no transparency, a jpeg and a lossy webp no exact
pixels. Profile, EXIF and XMP go along. Content credentials (C2PA) cannot: they are signed over the original's bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from shared.core.provider.call import Picture
from shared.core.provider.output_format import LARGEST_PIXELS, MIME_TYPES, ConvertedPicture
from shared.ports.images import ConversionFailed

if TYPE_CHECKING:
    from PIL import Image

USUAL_QUALITY = {"jpeg": 92, "webp": 90}
WEBP_EFFORT = 4
"""0 to 6; more takes seconds for a 4K image."""
PNG_EFFORT = 3
"""0 to 9; Pillow's own 6 takes twice the time for a few percent."""
WHITE = (255, 255, 255, 255)

Run = Callable[..., Awaitable[Any]]
"""Runs a function outside the event loop: asyncio.to_thread."""


class PillowFormats:
    def __init__(self, run: Run = asyncio.to_thread) -> None:
        self._run = run
        self._one = asyncio.Lock()

    async def convert(self, picture: Picture, to: str, quality: int | None) -> ConvertedPicture:
        """Raises ConversionFailed. The image's own header is not trusted: its pixels are counted again."""
        async with self._one:
            try:
                converted: ConvertedPicture = await self._run(_converted, picture, to, quality)
            except ConversionFailed:
                raise
            except Exception as error:  # a decoder raises many types; each means "deliver it as it came"
                raise ConversionFailed(f"it cannot be decoded or encoded ({type(error).__name__})") from error
        return converted


def _converted(picture: Picture, to: str, quality: int | None) -> ConvertedPicture:
    from PIL import Image

    with Image.open(BytesIO(picture.data), formats=("JPEG", "PNG", "WEBP")) as image:
        width, height = image.size
        if width * height > LARGEST_PIXELS:
            raise ConversionFailed(f"it has {width}x{height} pixels, more than {LARGEST_PIXELS:,}")
        image.load()
        flattened = to == "jpeg" and image.has_transparency_data
        ready = _ready(image, to)
        data = BytesIO()
        ready.save(data, to.upper(), **_options(image, to, quality))
    return ConvertedPicture(
        Picture(data.getvalue(), MIME_TYPES[to], width, height),
        lost_credentials=b"c2pa" in picture.data,
        lost_transparency=flattened,
    )


def _ready(image: Image.Image, to: str) -> Image.Image:
    """In a mode that the format takes."""
    from PIL import Image

    if image.has_transparency_data:
        clear = image.convert("RGBA")
        if to != "jpeg":
            return clear
        ground = Image.new("RGBA", clear.size, WHITE)
        ground.alpha_composite(clear)
        return ground.convert("RGB")
    return image if image.mode in ("RGB", "L") else image.convert("RGB")


def _options(image: Image.Image, to: str, quality: int | None) -> dict[str, Any]:
    """The encoder's, with the profile, EXIF and XMP of the original."""
    kept = {name: image.info[name] for name in ("icc_profile", "exif", "xmp") if image.info.get(name)}
    if to == "png":
        return {"compress_level": PNG_EFFORT, **_in_png(kept)}
    more = {"method": WEBP_EFFORT} if to == "webp" else {}
    return {"quality": quality or USUAL_QUALITY[to], **more, **kept}


def _in_png(kept: dict[str, Any]) -> dict[str, Any]:
    """XMP stands in a text of its own there."""
    from PIL.PngImagePlugin import PngInfo

    xmp = kept.pop("xmp", None)
    if xmp is None:
        return kept
    texts = PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else xmp)
    return kept | {"pnginfo": texts}
