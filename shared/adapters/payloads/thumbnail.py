"""A picture made small for a gallery."""

from __future__ import annotations

import io

EDGE = 480
"""Pixels of the longer side: sharp at 240 on a dense screen."""
MOST_PIXELS = 40_000_000
"""A 4K picture of any ratio has fewer; what claims more is not opened."""


def thumbnail_of(data: bytes) -> bytes | None:
    """JPEG; None if it is not a readable picture."""
    from PIL import Image, UnidentifiedImageError  # loaded when a gallery is opened

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return None
            picture.draft("RGB", (EDGE, EDGE))
            small = picture.convert("RGB")
            small.thumbnail((EDGE, EDGE))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return None
    out = io.BytesIO()
    small.save(out, "JPEG", quality=80)
    return out.getvalue()
