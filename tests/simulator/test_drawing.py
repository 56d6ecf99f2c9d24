"""The pictures."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from scripts.simulator.provider import models
from scripts.simulator.provider.drawing import NotAnImage, Painter, PictureContent, draw, measure


def scene(prompt: str = "a lighthouse at dusk", *, seed: int = 0, reference: bytes | None = None) -> PictureContent:
    return PictureContent(prompt, "model  1K 1:1  SIMULATED", 1024, 1024, seed=seed, reference=reference)


def test_the_same_prompt_and_seed_draw_the_same_picture() -> None:
    assert draw(scene()) == draw(scene())
    assert draw(scene()) != draw(scene(seed=1))
    assert draw(scene()) != draw(scene("a lighthouse at dawn"))


def test_a_reference_can_be_seen_in_the_picture() -> None:
    black = io.BytesIO()
    Image.new("RGB", (300, 300)).save(black, "PNG")
    picture = Image.open(io.BytesIO(draw(scene(reference=black.getvalue()))))
    assert max(picture.convert("RGB").getpixel((850, 850))) < 40  # type: ignore[arg-type]


def test_any_prompt_can_be_written() -> None:
    for prompt in ("x" * 32_000, "слово " * 50, "日本語", "🎈", "\x00\n\t", "a"):
        assert measure(draw(scene(prompt))) == (1024, 1024)


@pytest.mark.parametrize("ratio", models.load().pixels_1k)
def test_every_ratio_keeps_about_the_area_and_whole_blocks(ratio: str) -> None:
    width, height = models.load().pixels("1K", ratio)
    across, up = (int(part) for part in ratio.split(":"))
    assert width % 16 == height % 16 == 0
    assert abs(width / height / (across / up) - 1) < 0.03
    assert 0.95 < width * height / 1024**2 < 1.15
    assert models.load().pixels("4K", ratio) == (4 * width, 4 * height)


def test_bytes_that_are_no_image_are_told_from_one() -> None:
    jpeg = draw(scene())
    assert measure(jpeg) == (1024, 1024)
    for broken in (b"", b"hello", jpeg[:200], b"\x89PNG\r\n\x1a\n" + b"\x00" * 40):
        with pytest.raises(NotAnImage):
            measure(broken)


async def test_a_cached_picture_is_drawn_once_per_size() -> None:
    painter = Painter("cached")
    first = await painter.paint(scene("one"))
    assert await painter.paint(scene("two")) is first
    assert measure(first) == (1024, 1024)
    painter.close()
