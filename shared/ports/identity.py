"""Who is calling the console."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Asked(Struct, frozen=True):
    """What a call to the console says of who makes it."""

    peer: str
    """The address at the other end of the connection."""
    host: str
    """The header `Host`."""
    proxied: bool
    """A proxy names itself in the headers."""
    assertion: str | None
    """The header `X-Goog-IAP-JWT-Assertion`."""


class NotIdentified(Exception):
    """Nobody who may use the console. Says what was found, what is allowed and what to do."""


class Identities(Protocol):
    """Who uses the console."""

    async def actor(self, asked: Asked) -> str:
        """The name under which changes are made. Raises NotIdentified."""
        ...
