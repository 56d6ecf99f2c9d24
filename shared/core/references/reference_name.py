"""What an error may contain of a reference's URI. Pure."""

from __future__ import annotations

import re

from shared.core.values.late_pattern import late_pattern

_PARTS = late_pattern(r"([a-z][a-z0-9+.-]{0,20}://)([^/?#\\\s]*)([^?#\\\s]*)", re.IGNORECASE)


def named(uri: str) -> str:
    """Scheme, host and path; no user, no query, no fragment: they may hold a password or a signature."""
    match = _PARTS().match(uri)
    if not match:
        return "the reference"
    scheme, host, path = match[1].lower(), match[2].rpartition("@")[2], match[3]
    if "@" in path:  # anything before an @ may be a password, wherever it is
        path = ""
    path = path if len(path) <= 160 else f"{path[:80]}...{path[-60:]}"
    return f"{scheme}{host[:100]}{path}" if host or path else f"the {scheme} reference"


def origin(uri: str) -> str:
    """Only scheme and host: for addresses that a provider made, whose path may repeat the prompt."""
    match = _PARTS().match(uri)
    return f"{match[1].lower()}{match[2].rpartition('@')[2][:100]}" if match else "an address"
