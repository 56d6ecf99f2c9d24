"""Draws the pictures: real JPEGs of the asked pixels with the prompt on them, the same for the same prompt and seed.

Flat shapes keep it cheap: they fill fast and compress fast, at 4K too. Threads draw, so the loop never waits for one.
"""

from __future__ import annotations

import asyncio
import colorsys
import hashlib
import io
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from random import Random
from typing import Literal

from msgspec import Struct
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

PictureMode = Literal["drawn", "cached"]
"""`drawn`: the prompt on every picture. `cached`: one picture per pixel size, encoded once, for load tests."""

_QUALITY = 72
_LONGEST_TEXT = 400
_DRAWERS = 2
"""Threads, and so the pictures in memory at once: a 4K one takes 50 MB while it is drawn."""

Colour = tuple[int, int, int]


class NotAnImage(ValueError):
    """The bytes do not decode as an image."""


class PictureContent(Struct, frozen=True):
    """All that a picture shows."""

    prompt: str
    caption: str
    width: int
    height: int
    seed: int = 0
    reference: bytes | None = None
    """An encoded image; a thumbnail of it is placed in the picture."""


class Painter:
    def __init__(self, mode: PictureMode) -> None:
        self._mode = mode
        self._threads = ThreadPoolExecutor(max_workers=_DRAWERS, thread_name_prefix="simulator-drawing")
        self._encoded: dict[tuple[int, int], bytes] = {}

    async def paint(self, scene: PictureContent) -> bytes:
        """An encoded JPEG."""
        loop = asyncio.get_running_loop()
        if self._mode == "drawn":
            return await loop.run_in_executor(self._threads, draw, scene)
        pixels = (scene.width, scene.height)
        if pixels not in self._encoded:
            plain = PictureContent("a cached picture", "SIMULATED, cached", *pixels)
            self._encoded[pixels] = await loop.run_in_executor(self._threads, draw, plain)
        return self._encoded[pixels]

    async def measure(self, image: bytes) -> tuple[int, int]:
        """Width and height of an encoded image that decodes, or NotAnImage."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, measure, image)

    async def encoded(self, picture: bytes, mime_type: str, quality: int | None) -> bytes:
        """A painted picture in another type, or of another quality."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, encode, picture, mime_type, quality)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)


def draw(scene: PictureContent) -> bytes:
    chance = Random(hashlib.sha256(f"{scene.seed}:{scene.prompt}".encode()).digest())
    width, height = scene.width, scene.height
    ground, shapes, ink = _palette(chance)
    picture = Image.new("RGB", (width, height), ground)
    canvas = ImageDraw.Draw(picture)
    for colour in shapes:
        reach = min(width, height) * chance.uniform(0.18, 0.45)
        x, y = width * chance.random(), height * chance.random()
        canvas.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)
    if scene.reference is not None:
        _place(picture, scene.reference)
    _write(canvas, scene, ink)
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=_QUALITY)
    return encoded.getvalue()


def encode(picture: bytes, mime_type: str, quality: int | None) -> bytes:
    kind = mime_type.removeprefix("image/").upper()
    options = {"quality": _QUALITY if quality is None else quality} if kind == "JPEG" else {"compress_level": 1}
    encoded = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as opened:
        opened.save(encoded, kind, **options)
    return encoded.getvalue()


def measure(image: bytes) -> tuple[int, int]:
    try:
        with Image.open(io.BytesIO(image)) as opened:
            size = opened.size
            opened.draft("RGB", (64, 64))  # a JPEG decodes at an eighth: enough to know that it does
            opened.load()
            return size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as cause:
        raise NotAnImage(str(cause) or "it does not decode") from cause


def _palette(chance: Random) -> tuple[Colour, list[Colour], Colour]:
    """A pale ground, three shapes of neighbouring hues, a dark ink."""
    hue = chance.random()
    shapes = [_colour(hue + step, 0.35, 0.92) for step in (0.04, 0.1, 0.5)]
    return _colour(hue, 0.14, 0.97), shapes, _colour(hue, 0.65, 0.22)


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _place(picture: Image.Image, reference: bytes) -> None:
    """A thumbnail in the lower right quarter, framed."""
    side = min(picture.size) // 3
    with Image.open(io.BytesIO(reference)) as opened:
        opened.draft("RGB", (side, side))
        thumbnail = opened.convert("RGB")
    thumbnail.thumbnail((side, side))
    margin = side // 10
    x, y = picture.width - thumbnail.width - margin, picture.height - thumbnail.height - margin
    frame = margin // 4 or 1
    box = (x - frame, y - frame, x + thumbnail.width + frame, y + thumbnail.height + frame)
    ImageDraw.Draw(picture).rectangle(box, fill=(255, 255, 255))
    picture.paste(thumbnail, (x, y))


def _write(canvas: ImageDraw.ImageDraw, scene: PictureContent, ink: Colour) -> None:
    """The prompt in the upper part, as large as the narrow side allows, and the caption in the lower left corner."""
    side = min(scene.width, scene.height)
    margin = side // 14
    size = side // 20
    for y, line in _lines(scene, size, margin):
        canvas.text((margin, y), line, font=_font(size, line), fill=ink)
    small = side // 40
    canvas.text((margin, scene.height - margin - small), scene.caption, font=_font(small, scene.caption), fill=ink)


def _lines(scene: PictureContent, size: int, margin: int) -> Iterator[tuple[int, str]]:
    columns = max(8, int((scene.width - 2 * margin) / (size * 0.55)))
    pitch = size * 4 // 3
    rows = max(1, (scene.height * 3 // 5 - margin) // pitch)
    text = " ".join(scene.prompt[:_LONGEST_TEXT].split())
    wrapped = textwrap.wrap(text, width=columns, max_lines=rows, placeholder=" ...")
    return ((margin + row * pitch, line) for row, line in enumerate(wrapped))


def _font(size: int, text: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return _wide_font(size) if any(ord(character) > 0x17F for character in text) else _own_font(size)


@cache
def _own_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that every machine draws the same."""
    font = ImageFont.load_default(size)
    if isinstance(font, ImageFont.FreeTypeFont):
        return font.font_variant(layout_engine=ImageFont.Layout.BASIC)
    return font


@cache
def _wide_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Beyond Latin, a font of the machine where it has one."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size, layout_engine=ImageFont.Layout.BASIC)
    except OSError:
        return _own_font(size)
