"""Makes characters visible that steer a terminal or a reader of lines. Readable text is unchanged.

A caller's text may hold ESC and C1 (which a terminal obeys), bidirectional overrides (which show another order,
https://trojansource.codes) and line ends that only some readers know (U+0085, U+2028, U+2029).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f\ud800-\udfff]"
)
"""Categories Cc, Cf, Cs, Zl and Zp except the joiners U+200C and U+200D, which scripts and emoji need."""


def visible(text: str, keep: str = "") -> str:
    """`text` with escapes as Python writes them; `keep` names characters that stay (a newline in a paragraph)."""
    return _STEERING.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def json_line(value: Any, default: Callable[[Any], Any] | None = None) -> str:
    """JSON without raw control characters or line ends; other letters stay readable."""
    return json_visible(json.dumps(value, ensure_ascii=False, default=default))


def json_visible(text: str) -> str:
    """JSON text in which the same characters are written as equivalent JSON escapes."""
    return text if text.isascii() and "\x7f" not in text else _STEERING.sub(_json_escape, text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code in (0x0A, 0x0D, 0x09):
        return match[0]  # between values: inside a string JSON has escaped them
    return json.dumps(match[0])[1:-1] if code > 0x7F else f"\\u{code:04x}"
