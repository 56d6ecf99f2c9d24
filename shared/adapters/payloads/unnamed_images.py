"""Pictures of an answer under undocumented members: recognised by their own first bytes. Pure.

Relays move the picture without notice (content, image, images in three versions of LiteLLM:
https://github.com/BerriAI/litellm/issues/16227), and each move would lose a paid picture. So if no known member holds
one, every text of the answer is searched. What was sent is left out: an edit's reference is not the answer.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from msgspec import Raw

from shared.adapters.payloads.json_member import decoded, first_byte, is_true, text_of
from shared.core.values.late_pattern import late_pattern

DEEPEST = 12
THOUGHTS = ("thought", "thinking", "reasoning")
MOST = 20_000
"""Values that are examined."""
_BASE64 = late_pattern(rb'"\s*(?:data:[^,"]{0,200},\s*)?(?:iVBORw0KGgo|/9j/|\\/9j\\/|_9j_|UklGR)', re.I)
"""How the base64 of a PNG, a JPEG and a WebP begins, by itself or as a data URL."""
_FENCED = late_pattern(rb'"(?:\\[nrt]|\s)*(?:```\w*(?:\\[nrt]|\s)*)?[{\[]')
_FENCE = late_pattern(r"^\s*```\w*|```\s*$")
_LISTED = late_pattern(rb"\[\s*(?:137\s*,\s*80\s*,\s*78|255\s*,\s*216\s*,\s*255|82\s*,\s*73\s*,\s*70\s*,\s*70)\s*,")
"""The same as a list of numbers, as JavaScript writes a Buffer."""
_PASSED_OVER = late_pattern(
    r"request|input|prompt|source|original|reference|messages|contents|param|mask|init|summary|thinking|reasoning", re.I
)
"""What was sent, and what the model thought."""
_PICTURES = late_pattern(r"image|img|picture|photo|artifact|attachment", re.I)
_LETTERS = 1_000_000
"""Characters of a text that are searched."""


def begins_like_one(encoded: Raw | str) -> bool:
    """The JSON string, or the text of one."""
    start = b'"' + encoded[:260].encode("ascii", "replace") if isinstance(encoded, str) else memoryview(encoded)[:260]
    return _BASE64().match(start) is not None


def encoded_in(answer: Raw) -> Iterator[Raw | str]:
    """What begins like a picture, as base64."""
    for _, raw in _values(answer):
        if first_byte(raw) == b"[":
            numbers = decoded(raw, list[int]) or ()
            if all(0 <= number < 256 for number in numbers):
                yield base64.b64encode(bytes(numbers)).decode("ascii")
        elif begins_like_one(raw):
            yield raw


def texts_in(answer: Raw) -> Iterator[tuple[str, bool]]:
    """Texts that hold a data URL; True: their member is named after pictures, so they may be addresses of some."""
    for name, raw in _values(answer):
        if first_byte(raw) != b'"':
            continue
        named = len(memoryview(raw)) < _LETTERS and _PICTURES().search(name) is not None
        if named or b";base64," in bytes(raw):
            yield text_of(raw), named


def values_in(answer: Raw) -> Iterator[Raw]:
    """JSON inside a text, alone or fenced as code."""
    for _, raw in _values(answer):
        if _FENCED().match(memoryview(raw)[:60]):
            inner = decoded(_FENCE().sub("", text_of(raw)).strip().encode(), Raw)
            if inner is not None:
                yield inner


def _values(answer: Raw) -> Iterator[tuple[str, Raw]]:
    """Every text, and every list that may be a picture, under the names of the members that hold it; in order."""
    pending, count = [("", answer, 0)], 0
    while pending and count < MOST:
        name, raw, depth = pending.pop()
        count += 1
        inner: list[tuple[str, Raw, int]] = []
        match first_byte(raw):
            case b'"':
                yield name, raw
            case b"[" if _LISTED().match(raw):
                yield name, raw
            case b"[" if depth < DEEPEST:
                inner = [(name, item, depth + 1) for item in decoded(raw, list[Raw]) or ()]
            case b"{" if depth < DEEPEST:
                members = decoded(raw, dict[str, Raw]) or {}
                if not _is_passed_over(members):
                    inner = [
                        (f"{name}.{key}"[-100:], value, depth + 1)
                        for key, value in members.items()
                        if not _PASSED_OVER().search(key)
                    ]
        pending += reversed(inner)


def _is_passed_over(members: dict[str, Raw]) -> bool:
    """A turn of the caller's, what a tool brought, or a thought."""
    kind, role = (text_of(members.get(name, Raw(b""))).lower() for name in ("type", "role"))
    own = kind == "image_generation_call"
    sent = role in ("user", "tool") or kind.startswith("user") or (kind.endswith(("_call", "_result")) and not own)
    return sent or kind in THOUGHTS or is_true(members.get("thought", Raw(b"")))
