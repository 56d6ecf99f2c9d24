"""Whether an image file goes on to its own end, or stops in the middle. Pure; nothing is decoded or copied.

Relays pass on pictures that were cut, in an answer that is whole: https://github.com/router-for-me/CLIProxyAPI/pull/5363
Bytes after the end are of no harm: encoders pad, cameras append.
"""

from __future__ import annotations

from collections.abc import Callable

_ALONE = (0x01, *range(0xD0, 0xD8))
"""JPEG markers without a segment."""


def is_whole(data: bytes, content_type: str) -> bool:
    """True also for types that have no known end."""
    check = _CHECKS.get(content_type)
    return check is None or check(data)


def _png(data: bytes) -> bool:
    at = 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IEND":
            return end <= len(data)
        at = end
    return False


def _jpeg(data: bytes) -> bool:
    """The end is looked for behind the first scan: an embedded thumbnail has an end of its own."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return False
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker == 0xDA:
            return data.rfind(b"\xff\xd9", at) >= 0
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return False


def _webp(data: bytes) -> bool:
    return len(data) >= 8 + int.from_bytes(data[4:8], "little")


def _gif(data: bytes) -> bool:
    at = 13 + _colours(data[10]) if len(data) > 13 else len(data)
    while at < len(data):
        match data[at]:
            case 0x3B:
                return True
            case 0x21:
                at = _after_blocks(data, at + 2)
            case 0x2C if at + 10 < len(data):
                at = _after_blocks(data, at + 11 + _colours(data[at + 9]))
            case _:
                return False
    return False


def _colours(flags: int) -> int:
    """Bytes of the table of colours that the flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_blocks(data: bytes, at: int) -> int:
    while at < len(data) and data[at]:
        at += data[at] + 1
    return at + 1


def _boxes(data: bytes) -> bool:
    """ISO boxes (heic, heif): none says that it is longer than what came."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        if size == 0:  # to the end of the file
            return True
        if size < 8 or at + size > len(data):
            return False
        at += size
    return at > 0


_CHECKS: dict[str, Callable[[bytes], bool]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/webp": _webp,
    "image/gif": _gif,
    "image/heic": _boxes,
    "image/heif": _boxes,
}
