"""Which name is meant by one that is not known. Pure."""

from __future__ import annotations

from collections.abc import Iterable

CLOSE = 0.75
"""Of difflib's ratio, 1 for equal names."""


def meant(name: str, names: Iterable[str]) -> str | None:
    """`aspectRatio` means `aspect_ratio`, `prommpt` means `prompt`, `size` means `image_size`; None for no one name."""
    from difflib import get_close_matches  # for wrong names alone

    bare = _bare(name)
    by_bare = {_bare(other): other for other in names}
    if bare in by_bare:
        return by_bare[bare]
    close = get_close_matches(bare, by_bare, 1, CLOSE)
    if close:
        return by_bare[close[0]]
    parts = [other for other in by_bare.values() if name.lower() in other.split("_")]
    return parts[0] if len(parts) == 1 else None


def _bare(name: str) -> str:
    return name[:63].lower().replace("_", "").replace("-", "")
