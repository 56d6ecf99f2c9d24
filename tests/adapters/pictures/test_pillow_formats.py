"""One encoded image into another: every way between the formats, what is lost on it, and what is never decoded."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import zlib
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.adapters.payloads import image_header
from shared.adapters.pictures.pillow_formats import PillowFormats
from shared.core.provider.call import Picture
from shared.core.provider.output_format import LARGEST_PIXELS, MIME_TYPES
from shared.core.values.parameters import OUTPUT_FORMATS
from shared.ports.images import ConversionFailed

ICC = b"profile" * 20
EXIF = Image.Exif()
EXIF[0x010E] = "made by a model"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><trainedAlgorithmicMedia/></x:xmpmeta>'


def a_picture(kind: str = "jpeg", size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: Any) -> Picture:
    noise = Image.frombytes("RGB", size, Random(7).randbytes(3 * size[0] * size[1]))
    image = noise.convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(size))
    data = io.BytesIO()
    image.save(data, kind.upper(), **options)
    return Picture(data.getvalue(), MIME_TYPES[kind], *size)


def with_credentials(jpeg: Picture) -> Picture:
    """As Google's: a JUMBF box in an APP11 segment."""
    box = b"JP\x00\x01\x00\x00\x00\x01" + struct.pack(">I", 40) + b"jumb" + b"\x00" * 8 + b"jumdc2pa" + b"\x00" * 16
    segment = b"\xff\xeb" + struct.pack(">H", len(box) + 2) + box
    return Picture(jpeg.data[:2] + segment + jpeg.data[2:], jpeg.content_type, jpeg.width, jpeg.height)


def opened(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.data))
    image.load()
    return image


@pytest.mark.parametrize("to", OUTPUT_FORMATS)
@pytest.mark.parametrize("kind", OUTPUT_FORMATS)
async def test_each_format_becomes_each_other_with_the_same_pixels(kind: str, to: str) -> None:
    before = a_picture(kind)
    converted = await PillowFormats().convert(before, to, None)
    after = converted.picture
    assert (after.content_type, after.width, after.height) == (MIME_TYPES[to], 64, 48)
    assert image_header.picture(after.data) == after, "our own reader finds it whole, with its type and its pixels"
    if to == "png":
        assert opened(after).convert("RGB").tobytes() == opened(before).convert("RGB").tobytes()
    assert not converted.lost_credentials
    assert not converted.lost_transparency


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1"])
@pytest.mark.parametrize("to", OUTPUT_FORMATS)
async def test_every_kind_of_pixels_has_a_place_in_every_format(mode: str, to: str) -> None:
    kind = "jpeg" if mode == "CMYK" else "png"
    converted = await PillowFormats().convert(a_picture(kind, mode=mode), to, 80)
    assert image_header.picture(converted.picture.data) == converted.picture


async def test_transparency_stays_where_the_format_has_it_and_becomes_white_where_not() -> None:
    clear = a_picture("png", mode="RGBA")
    webp = await PillowFormats().convert(clear, "webp", None)
    assert opened(webp.picture).mode == "RGBA"
    assert not webp.lost_transparency
    jpeg = await PillowFormats().convert(clear, "jpeg", None)
    assert jpeg.lost_transparency
    clearest_rows = opened(jpeg.picture).convert("L").crop((0, 0, 64, 2)).tobytes()
    assert min(clearest_rows) > 200


async def test_a_lower_quality_is_a_smaller_file() -> None:
    before = a_picture("png", (256, 256))
    for to in ("jpeg", "webp"):
        sizes = [len((await PillowFormats().convert(before, to, quality)).picture.data) for quality in (10, 50, 95)]
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[2] / 2


@pytest.mark.parametrize("to", OUTPUT_FORMATS)
async def test_profile_exif_and_xmp_go_along_and_credentials_cannot(to: str) -> None:
    before = with_credentials(a_picture("jpeg", icc_profile=ICC, exif=EXIF.tobytes(), xmp=XMP))
    converted = await PillowFormats().convert(before, to, None)
    after = opened(converted.picture)
    assert after.info["icc_profile"] == ICC
    assert after.getexif()[0x010E] == "made by a model"
    assert b"trainedAlgorithmicMedia" in converted.picture.data
    assert converted.lost_credentials
    assert b"c2pa" not in converted.picture.data


def a_bomb(width: int, height: int) -> Picture:
    """A PNG whose header claims so many pixels, in a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return Picture(data, "image/png", 64, 64)


@pytest.mark.parametrize("side", [7_000, 30_000, 2_000_000_000])
async def test_an_image_of_more_pixels_than_any_model_makes_is_never_decoded(side: int) -> None:
    """Also where its own record claims few."""
    with pytest.raises(ConversionFailed):
        await PillowFormats().convert(a_bomb(side, side), "jpeg", None)


async def test_the_largest_image_of_any_model_is_converted() -> None:
    assert LARGEST_PIXELS > 4096 * 4096 * 2
    converted = await PillowFormats().convert(a_picture("jpeg", (12_288, 1_536)), "webp", 50)
    assert (converted.picture.width, converted.picture.height) == (12_288, 1_536)


@settings(max_examples=60, deadline=None)
@given(st.data())
async def test_whatever_the_bytes_are_it_is_an_image_or_a_reason(data: st.DataObject) -> None:
    whole = bytearray(a_picture(data.draw(st.sampled_from(OUTPUT_FORMATS))).data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    broken = Picture(bytes(whole), "image/jpeg", 64, 48)
    to = data.draw(st.sampled_from(OUTPUT_FORMATS))
    with contextlib.suppress(ConversionFailed):
        converted = await PillowFormats().convert(broken, to, None)
        assert image_header.picture(converted.picture.data) == converted.picture


def test_pillow_is_loaded_with_the_first_image_that_needs_it_and_not_before() -> None:
    code = "import sys, shared.wiring, shared.flows.render.render; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
