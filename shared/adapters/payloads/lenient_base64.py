"""Base64 as servers and relays write it: padded or not, URL-safe, wrapped, escaped, or as a data URL. Pure.

Sources: https://github.com/openclaw/openclaw/pull/96437 (no padding),
https://github.com/router-for-me/CLIProxyAPI/pull/5363 (URL-safe), https://github.com/Helicone/helicone/pull/4223
(data URLs with parameters).
"""

from __future__ import annotations

import binascii
import re
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Raw

DATA_URL = re.compile(r"data:[\w.+/-]{0,60}(?:;[^;,\r\n]{0,60}){0,6},\s*", re.I)
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_SPACE = b" \t\r\n\v\f"


def decoded(encoded: Raw | str) -> bytes:
    """The bytes of a JSON string, or of the text of one; empty if it is not a string or not base64.

    Well-formed base64, which is nearly all, is decoded from the JSON itself, without a copy of its text.
    """
    if isinstance(encoded, str):
        return _of_text(encoded)
    try:
        return msgspec.json.decode(encoded, type=bytes)
    except (ValueError, RecursionError):
        pass
    try:
        return _of_text(msgspec.json.decode(encoded, type=str))
    except (ValueError, RecursionError):
        return b""


def _of_text(text: str) -> bytes:
    prefix = DATA_URL.match(text.lstrip()[:600])
    try:
        data = (text.lstrip()[prefix.end() :] if prefix else text).encode("ascii")
    except UnicodeEncodeError:
        return b""
    if b"%" in data:
        data = unquote_to_bytes(data)
    data = data.translate(_TO_STANDARD, _SPACE).rstrip(b"=")
    data = data[: len(data) - (len(data) % 4 == 1)]  # one letter over holds no byte
    try:
        return binascii.a2b_base64(data + b"=" * (-len(data) % 4), strict_mode=True) if data else b""
    except binascii.Error:
        return b""
