"""What an image file says about itself: its type by magic bytes, its pixels by its own header."""

from __future__ import annotations

from io import BytesIO

from shared.adapters.payloads.whole_image import is_whole
from shared.core.provider.call import Picture

PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
HEIF_BRANDS = (b"mif1", b"msf1", b"heif")


def content_type(data: bytes) -> str | None:
    """The type by the first bytes: jpeg, png, webp, heic or heif; None for everything else."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp":
        brand = data[8:12]
        return "image/heic" if brand in HEIC_BRANDS else "image/heif" if brand in HEIF_BRANDS else None
    return None


def picture(data: bytes) -> Picture | None:
    """The picture in these bytes, or None if they are not a complete jpeg, png or webp with a readable size.

    The bytes are not copied: BytesIO shares them until they are written to.
    """
    kind = content_type(data)
    if kind not in PICTURE_TYPES or not is_whole(data):
        return None
    import imagesize  # with its XML reader: not before the first picture

    try:
        width, height = imagesize.get(BytesIO(data))
    except Exception:  # noqa: BLE001  a broken header raises many errors of the parser; each means "no picture"
        return None
    return Picture(data, kind, width, height) if width > 0 and height > 0 else None


def fault(data: bytes) -> str:
    """Why `picture` does not accept these bytes."""
    kind = content_type(data)
    if kind in PICTURE_TYPES and not is_whole(data):
        return f"a picture that ends in the middle ({kind}, truncated after {len(data)} bytes)"
    return f"{len(data)} bytes that are no readable jpeg, png or webp"
