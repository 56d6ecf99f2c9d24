"""Keeps prompts, keys and image data out of everything that is stored or logged: providers quote them in their
errors."""

from __future__ import annotations

import re

from shared.adapters.payloads.quotation import READ, unescaped, without
from shared.core.provider.call import Written, texts_of
from shared.core.values.late_pattern import late_pattern

LIMIT = 500
"""Characters of a message that is kept."""
WINDOW = 16
"""This many consecutive letters and digits that are also in the prompt count as a quotation of it."""

_KEYS = late_pattern(r"AIza[\w-]{10,}|\bAQ\.[\w.-]{10,}|\bbearer\s+[\w.~+/=-]{8,}", re.I)
_ENCODED = late_pattern(r"[A-Za-z0-9+/_-]{60,}={0,2}")


def redacted(message: str, written: Written, api_key: str) -> str:
    """One line of at most 500 characters without the key, base64, or any part of what the caller wrote."""
    text = unescaped(message[:READ])
    if api_key:
        text = re.sub(re.escape(api_key), "[key]", text, flags=re.I)
    text = _ENCODED().sub("[data]", _KEYS().sub("[key]", text))
    for quoted in texts_of(written):
        text = without(text, quoted, "[prompt]", WINDOW)
    text = " ".join("".join(name if name.isprintable() else " " for name in text).split())
    return text if len(text) <= LIMIT else f"{text[: LIMIT - 1]}…"
