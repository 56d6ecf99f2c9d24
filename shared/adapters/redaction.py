"""Keep prompts, keys and image data out of what is written down: providers quote them back in their errors."""

from __future__ import annotations

import re

LIMIT = 500
"""Characters of a message that is kept."""
READ = 4_000
"""Characters of a message that are looked at; what follows is dropped unread."""
WINDOW = 16
"""So many letters and digits in a row that also stand in the prompt are taken for a quotation of it."""

_KEYS = re.compile(r"AIza[\w-]{10,}|\bAQ\.[\w.-]{10,}|\bbearer\s+[\w.~+/=-]{8,}", re.I)
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{60,}={0,2}")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([nrtbf])|(.))", re.DOTALL)


def redacted(message: str, prompt: str, api_key: str) -> str:
    """One line of at most 500 characters without the key, base64, or any part of the prompt."""
    text = _unescaped(message[:READ])
    if api_key:
        text = re.sub(re.escape(api_key), "[key]", text, flags=re.I)
    text = _ENCODED.sub("[data]", _KEYS.sub("[key]", text))
    text = _without(text, prompt)
    text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return text if len(text) <= LIMIT else f"{text[: LIMIT - 1]}…"


def _without(text: str, prompt: str) -> str:
    """Cut out what is quoted from the prompt, whatever became of its spaces, quotes and line ends."""
    letters, places = _letters(text)
    known, _ = _letters(prompt)
    if not known:
        return text.replace(prompt, "[prompt]") if prompt.strip() else text
    window = min(WINDOW, len(known))
    quoted = bytearray(len(text))
    for at in range(len(letters) - window + 1):
        if letters[at : at + window] not in known:
            continue
        first, last = places[at], places[at + window - 1]
        if window < WINDOW and _inside_a_word(text, first, last):
            continue
        quoted[first : last + 1] = b"\x01" * (last + 1 - first)
    return _cut(text, quoted)


def _cut(text: str, quoted: bytearray) -> str:
    kept, at = [], 0
    while at < len(text):
        here = quoted[at]
        end = quoted.find(1 - here, at)
        end = end if end >= 0 else len(text)
        kept.append("[prompt]" if here else text[at:end])
        at = end
    return "".join(kept)


def _letters(text: str) -> tuple[str, list[int]]:
    """Letters and digits in lower case, and where each of them stands."""
    places = [at for at, each in enumerate(text) if each.isalnum()]
    return "".join(text[at].lower()[:1] for at in places), places


def _inside_a_word(text: str, first: int, last: int) -> bool:
    """A short prompt such as `cat` is no reason to black out half of `category`."""
    return text[first - 1 : first].isalnum() or text[last + 1 : last + 2].isalnum()


def _unescaped(text: str) -> str:
    r"""Undo JSON's escapes, so that a quoted prompt compares equal: `\n`, `\"`, `\u00e9`."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else " " if found[2] else found[3], text)
