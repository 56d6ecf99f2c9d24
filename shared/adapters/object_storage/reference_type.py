"""What a file that was named as a reference is, by its first bytes: an image type, or a word for what else it is."""

from __future__ import annotations

import re

from shared.adapters.payloads.image_header import content_type

_OTHER_IMAGES = (
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"BM.{4}\0\0\0\0", re.DOTALL), "image/bmp"),
    (re.compile(rb"II\*\0|MM\0\*"), "image/tiff"),
    (re.compile(rb".{4}ftypavi[fs]", re.DOTALL), "image/avif"),
)
_OTHERS = (
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg", re.DOTALL | re.IGNORECASE), "an SVG drawing"),
    (re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"%PDF-"), "a PDF"),
    (re.compile(rb"\s*[{\[]"), "JSON text"),
    (re.compile(rb".{4}ftyp", re.DOTALL), "a video"),
)


def image_type(data: bytes) -> str | None:
    """As `image/png`; also of types that no model takes. None for what is no image known here."""
    return content_type(data) or next((name for start, name in _OTHER_IMAGES if start.match(data[:64])), None)


def word_for(data: bytes) -> str:
    """For an error: what it is that is no image."""
    if not data:
        return "empty"
    return next((word for start, word in _OTHERS if start.match(data[:512])), "no image")
