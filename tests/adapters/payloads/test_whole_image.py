"""A truncated image is recognised without decoding it; a whole one passes, from every encoder."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.adapters.payloads.whole_image import is_whole


def drawn(kind: str, **options: object) -> bytes:
    picture = Image.effect_noise((64, 48), 60).convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def with_thumbnail() -> bytes:
    """A JPEG with another one inside, as cameras write it: the inner end is not its end."""
    inner, outer = drawn("JPEG"), drawn("JPEG")
    segment = b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner
    return outer[:2] + segment + outer[2:]


FILES = {
    "png": drawn("PNG"),
    "jpeg": drawn("JPEG"),
    "progressive": drawn("JPEG", progressive=True),
    "restarts": drawn("JPEG", restart_marker_blocks=1),
    "thumbnail": with_thumbnail(),
    "webp": drawn("WEBP"),
    "lossless": drawn("WEBP", lossless=True),
    "gif": drawn("GIF"),
}


@pytest.mark.parametrize("name", list(FILES))
def test_a_whole_image_passes_also_with_something_behind_it(name: str) -> None:
    assert is_whole(FILES[name])
    assert is_whole(memoryview(FILES[name]))
    assert is_whole(FILES[name] + b"a trailer of the camera")


@pytest.mark.parametrize("name", list(FILES))
@given(share=st.floats(0.05, 0.999))
@settings(max_examples=30)
def test_a_torn_image_does_not_pass(name: str, share: float) -> None:
    data = FILES[name]
    torn = data[: max(int(len(data) * share), 13)]
    assert not is_whole(torn) or torn == data


@given(st.binary(max_size=200))
def test_any_bytes_are_whole_or_not(data: bytes) -> None:
    for start in (
        b"",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\xff\xff\xff\xffWEBP",
        b"GIF89a",
        b"\0\0\0\x18ftypheic",
    ):
        assert is_whole(start + data) in (True, False)
