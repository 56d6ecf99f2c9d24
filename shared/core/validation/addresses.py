"""What may be shown of an address. Pure."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20}://)([^\s\"'<>\\]*)")


def without_secrets(text: str) -> str:
    """`text` with each address in it cut to scheme, host and path: its user, password, query or fragment may be a
    secret. Dots stand where something was.
    """
    return _ADDRESS.sub(lambda match: match[1] + _bare(match[2]), text)


def _bare(rest: str) -> str:
    place = re.split(r"[?#]", rest, maxsplit=1)[0]
    _, at, host = place.rpartition("@")
    shown = f"…@{host}" if at else host
    return shown if place == rest else f"{shown}{rest[len(place)]}…"
