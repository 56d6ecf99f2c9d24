"""The type of a file that was named as a reference, by its first bytes: an image type, or a word for what else it
is."""

from __future__ import annotations

import re

from shared.adapters.payloads.image_header import content_type
from shared.core.values.late_pattern import late_pattern

_OTHER_IMAGES = (
    (late_pattern(rb"GIF8[79]a"), "image/gif"),
    (late_pattern(rb"BM.{4}\0\0\0\0", re.DOTALL), "image/bmp"),
    (late_pattern(rb"II\*\0|MM\0\*"), "image/tiff"),
    (late_pattern(rb".{4}ftypavi[fs]", re.DOTALL), "image/avif"),
)
_OTHERS = (
    (late_pattern(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg", re.DOTALL | re.IGNORECASE), "an SVG drawing"),
    (late_pattern(rb"\s*(<!doctype html|<html)", re.IGNORECASE), "an HTML page"),
    (late_pattern(rb"%PDF-"), "a PDF"),
    (late_pattern(rb"\s*[{\[]"), "JSON text"),
    (late_pattern(rb".{4}ftyp", re.DOTALL), "a video"),
)


def image_type(data: bytes) -> str | None:
    """As `image/png`; also types that no model accepts. None if it is no known image."""
    return content_type(data) or next((name for start, name in _OTHER_IMAGES if start().match(data[:64])), None)


def word_for(data: bytes) -> str:
    """For an error: what the file is, if not an image."""
    if not data:
        return "empty"
    return next((word for start, word in _OTHERS if start().match(data[:512])), "no image")
