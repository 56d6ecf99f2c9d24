"""Whether an image file is complete: by its own lengths and end marks, without decoding it. Pure."""

from __future__ import annotations

import re

_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""In the coded data of a JPEG: a stuffed zero and restart marks go on."""
_STANDALONE = frozenset(range(0xD0, 0xD8)) | {0x01}


def is_whole(data: bytes | memoryview) -> bool:
    """False for a PNG, JPEG, WebP, GIF, HEIC, HEIF or AVIF that ends too early; True for any other file."""
    start = bytes(data[:12])
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return _is_whole_png(data)
    if start.startswith(b"\xff\xd8"):
        return _is_whole_jpeg(data)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return int.from_bytes(start[4:8], "little") + 8 <= len(data)
    if start[:6] in (b"GIF87a", b"GIF89a"):
        return _is_whole_gif(data)
    if start[4:8] == b"ftyp":
        return _is_whole_iso(data)
    return True


def _is_whole_png(data: bytes | memoryview) -> bool:
    at = 8
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8])
        at += 12 + length
        if kind == b"IEND":
            return at <= len(data)
    return False


def _is_whole_jpeg(data: bytes | memoryview) -> bool:
    """Segment by segment, so that the end of an embedded thumbnail is not taken for its own."""
    at = 2
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            return False
        mark = data[at + 1]
        if mark == 0xFF:  # a fill byte
            at += 1
            continue
        if mark == 0xD9:
            return True
        if mark in _STANDALONE:
            at += 2
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if mark == 0xDA:
            match = _NEXT_MARKER.search(data, at)
            if match is None:
                return False
            at = match.start()
    return False


def _is_whole_gif(data: bytes | memoryview) -> bool:
    """Block by block to its trailer."""
    if len(data) < 13:
        return False
    at = 13 + _colours(data[10])
    while at < len(data):
        kind = data[at]
        if kind == 0x3B:
            return True
        if kind == 0x2C and at + 10 < len(data):
            at += 11 + _colours(data[at + 9])
        elif kind == 0x21:
            at += 2
        else:
            return False
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return False


def _colours(flags: int) -> int:
    """Bytes of the colour table that the flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _is_whole_iso(data: bytes | memoryview) -> bool:
    """Boxes one after the other; one of length 0 reaches to the end of the bytes."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        if length == 0:
            return True
        if length < 8:
            return False
        at += length
    return at == len(data)
