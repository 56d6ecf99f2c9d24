"""What a call sent, and how to remove it from what the provider says. Pure, but for SENT.

Providers quote requests in their errors: unchanged, in JSON's, HTML's or a URL's escapes, in part. Words of a request
must not decide about its failure, so they are cut out before the failure is named.
"""

from __future__ import annotations

import html
import re
from contextvars import ContextVar
from urllib.parse import unquote_plus

from msgspec import Struct

from shared.core.provider.call import Order, texts_of
from shared.core.values.late_pattern import late_pattern

CUT = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Replaces what was cut out: neither a letter nor a space."""
READ = 4_000
"""Characters of a message that are examined; the rest is dropped unread."""
WINDOW = 10
"""This many consecutive characters that were also sent count as a quotation."""
LETTERS = 16
"""As WINDOW, for letters and digits alone, if spaces and punctuation were changed."""
SHORTEST = 3
"""The least letters of a text that is worth cutting, and of its beginning before an ellipsis."""
ROUNDS = 3
"""Escapes inside escapes that are undone."""

_ESCAPE = late_pattern(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([nrtbf])|(.))", re.DOTALL)
_GAP = late_pattern(r"[\W_]*")
_PERCENT = late_pattern(r"%[0-9a-fA-F]{2}")
_ENTITY = late_pattern(r"&(#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,10});", re.I)
_MARKS = (
    late_pattern(r'"[^"]*("|$)'),
    late_pattern(r"(?<![a-z0-9])'.*?('(?![a-z0-9])|$)", re.I | re.S),
    late_pattern(r"`[^`]*(`|$)"),
    late_pattern(r"[“„«‹「『][^”“»›」』]*([”“»›」』]|$)"),
    late_pattern(r"‘.*?(’(?![a-z0-9])|$)", re.I | re.S),
)
_NAME = late_pattern(r"^\W{0,2}[\w./:-]+\W{0,2}$")


class Sent(Struct, frozen=True):
    """What a provider may quote back."""

    texts: tuple[str, ...] = ()
    model: str = ""
    has_references: bool = False

    @classmethod
    def of(cls, order: Order) -> Sent:
        named = (name for pair in order.labels for name in pair)
        return cls((*texts_of(order.written), order.request_id, *named), order.model, bool(order.references))


NOTHING_SENT = Sent()
SENT: ContextVar[Sent] = ContextVar("sent", default=NOTHING_SENT)
"""The call whose answer is being read."""


def unescaped(text: str) -> str:
    r"""Undo the escapes of JSON, of URLs and of HTML, also one inside the other: `\"`, `%20`, `&quot;`."""
    for _ in range(ROUNDS):
        before = text
        text = _ESCAPE().sub(_character, text)
        if _PERCENT().search(text):
            text = unquote_plus(text)
        if _ENTITY().search(text):
            text = html.unescape(text)
        if text == before:
            break
    return text


def provider_words(message: str, sent: Sent) -> str:
    """The provider's own words in a message: without what was sent, and without text in quotation marks, except single
    names (a model, a tier, a field)."""
    text = " ".join(unescaped(message[:READ]).split())
    for name in sent.texts:
        text = _without_beginning(_without_runs(text, name), name)
        if " " in name:
            text = without(text, name, CUT, LETTERS)
    for marks in _MARKS:
        text = marks().sub(lambda match: match[0] if _NAME().match(match[0]) else f" {CUT} ", text)
    return text


def without(text: str, quoted: str, mark: str, window: int) -> str:
    """`text` with a mark for what is quoted, with spaces, quotation marks and line ends of any form."""
    letters, places = _letters(text)
    quoted_letters, _ = _letters(quoted)
    if not quoted_letters:
        return text.replace(quoted, mark) if quoted.strip() else text
    width = min(window, len(quoted_letters))
    cut = bytearray(len(text))
    for at in range(len(letters) - width + 1):
        if letters[at : at + width] not in quoted_letters:
            continue
        first, last = places[at], places[at + width - 1]
        if width < window and _inside_a_word(text, first, last):
            continue
        cut[first : last + 1] = b"\x01" * (last + 1 - first)
    return _marked(text, cut, mark)


def _without_runs(text: str, quoted: str) -> str:
    """Without what `quoted` contains literally, in any case."""
    quoted_lower, lower = _lower(" ".join(quoted.split())), _lower(text)
    width = min(WINDOW, len(quoted_lower))
    if width < SHORTEST:
        return text
    cut = bytearray(len(text))
    for at in range(len(lower) - width + 1):
        if lower[at : at + width] in quoted_lower and (width == WINDOW or not _inside_a_word(text, at, at + width - 1)):
            cut[at : at + width] = b"\x01" * width
    return _marked(text, cut, CUT)


def _lower(text: str) -> str:
    """In lower case, each character in its place."""
    return "".join(name.lower()[:1] for name in text)


def _without_beginning(text: str, quoted: str) -> str:
    """Without a quotation that was cut short, with an ellipsis or the end of the text after it."""
    quoted_letters, _ = _letters(quoted)
    letters, places = _letters(text)
    for length in range(min(WINDOW - 1, len(quoted_letters)), SHORTEST - 1, -1):
        at = letters.find(quoted_letters[:length])
        while at >= 0:
            rest = text[places[at + length - 1] + 1 :]
            gap = _GAP().match(rest)
            if gap is not None and ("…" in gap[0] or ".." in gap[0] or gap[0] == rest):
                return f"{text[: places[at]]}{CUT}{rest}"
            at = letters.find(quoted_letters[:length], at + 1)
    return text


def _marked(text: str, cut: bytearray, mark: str) -> str:
    kept, at = [], 0
    while at < len(text):
        here = cut[at]
        end = cut.find(1 - here, at)
        end = end if end >= 0 else len(text)
        kept.append(mark if here else text[at:end])
        at = end
    return "".join(kept)


def _letters(text: str) -> tuple[str, list[int]]:
    """Letters and digits in lower case, and the position of each."""
    places = [at for at, name in enumerate(text) if name.isalnum()]
    return "".join(text[at].lower()[:1] for at in places), places


def _inside_a_word(text: str, first: int, last: int) -> bool:
    """A short prompt such as `cat` is no reason to black out half of `category`."""
    return text[first - 1 : first].isalnum() or text[last + 1 : last + 2].isalnum()


def _character(match: re.Match[str]) -> str:
    if match[1] or match[2]:
        return chr(int(match[1] or match[2], 16))
    return " " if match[3] else match[4]
