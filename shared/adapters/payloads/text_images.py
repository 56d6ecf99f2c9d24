"""Pictures in the text of a chat message: data URLs, and addresses in markdown, in HTML or by themselves. Pure.

The text follows a caller's prompt, so every search is linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from msgspec import Struct

from shared.core.values.late_pattern import late_pattern

MOST = 50
"""Per message; the rest is not examined."""
LETTERS = 500_000
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")
BEFORE = 300
"""Letters before an address that say what it is."""

_DATA_URL = late_pattern(
    r"data:(?:image/[\w.+-]{1,40}(?:;[^;,\r\n]{1,60}){0,6}"
    r"|(?:(?:application|binary)/octet-stream)?(?:;[^;,\r\n]{1,60}){0,5};\s?base64),\s*",
    re.I,
)
"""Some name no type, or only bytes: these have to say that they are base64."""
_SPACE = late_pattern(r"\s")
_ENCODED = late_pattern(r"[A-Za-z0-9+/_%\s-]+")
_ADDRESS = late_pattern(r"https?://[^\s)\]\"'<>\\`]+|(?<=\]\()/[^\s)\"'<>\\]+", re.I)
_TRAILING = ".,;:!?*_"


class Texts(Struct, frozen=True):
    """A text, taken apart."""

    encoded: tuple[str, ...]
    """The base64 of each data URL, without what leads it. One that has spaces in it comes twice: whole, since it may be
    wrapped into lines, then what is before the first, since words of the message may follow it.
    """
    rest: str
    """Everything else."""


def apart(text: str) -> Texts:
    encoded: list[str] = []
    rest: list[str] = []
    at = 0
    while (match := _DATA_URL().search(text, at)) and len(encoded) < MOST:
        rest.append(text[at : match.start()])
        data = _ENCODED().match(text, match.end())
        at = data.end() if data is not None else match.end()
        if data is None:
            continue
        encoded.append(data[0])
        space = _SPACE().search(text, match.end(), at)
        if space is not None:
            encoded.append(text[match.end() : space.start()])
    rest.append(text[at:])
    return Texts(tuple(encoded), " ".join(rest) if len(rest) > 1 else text)


def addresses_in(text: str) -> Iterator[str]:
    """Of pictures, as far as the surrounding text tells: one in `![]()` or `src=`, with the name of a picture, or
    alone."""
    text = text[:LETTERS]
    for number, match in enumerate(_ADDRESS().finditer(text)):
        if number == MOST:
            break
        before, address = text[max(0, match.start() - BEFORE) : match.start()], match[0]
        if _is_shown(before):
            yield address
        elif address.startswith("/"):
            continue
        elif match[0] == text.strip():
            yield address
        elif _path(address.rstrip(_TRAILING)).endswith(EXTENSIONS):
            yield address.rstrip(_TRAILING)


def _is_shown(before: str) -> bool:
    """Whether an image of markdown or HTML opens there."""
    text = before.rstrip(" <")
    if text.endswith("]("):
        opened = text.rfind("[")
        return text[opened - 1 : opened] == "!" if opened > 0 else len(before) == BEFORE
    return re.search(r"\bsrc\s*=\s*[\"']?$", before[-12:], re.I) is not None


def _path(address: str) -> str:
    try:
        return urlsplit(address).path.lower()
    except ValueError:
        return ""
