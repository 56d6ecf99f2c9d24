"""Whether a webhook comes from the provider."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

from msgspec import Struct, field

Way: TypeAlias = Literal["dynamic", "static"]
"""By a token of the provider's key set, or by a secret shared with it."""
Why: TypeAlias = Literal[
    "unsigned", "unconfigured", "malformed", "stale", "key", "signature", "issuer", "audience", "contradicted"
]
"""What is wrong with a webhook: headers are missing; its kind of signature is not configured here; header or token
cannot be read; it is older or newer than a few minutes; there is no key with that id; the signature is wrong; another
issuer or audience; token and body disagree."""


class SignaturesUnavailable(Exception):
    """The provider's keys cannot be fetched now: the webhook can be neither accepted nor refused yet."""


class Genuine(Struct, frozen=True):
    """The provider has signed it."""

    way: Way
    claims: Mapping[str, Any] = field(default_factory=dict)
    """The token's claims; none with a shared secret."""


class NotGenuine(Struct, frozen=True):
    """The webhook cannot be shown to come from the provider."""

    why: Why
    detail: str = ""
    """For the operator, about a webhook with a valid signature: never for the sender."""


Verdict: TypeAlias = Genuine | NotGenuine


class Signatures(Protocol):
    def glance(self, headers: Mapping[str, str], now: datetime) -> NotGenuine | None:
        """What the headers alone show, before a byte of the body is read. Header names are lower-case."""
        ...

    async def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Verdict:
        """Raises SignaturesUnavailable."""
        ...


class NoSignatures:
    """If no webhook is configured: none is genuine."""

    def glance(self, headers: Mapping[str, str], now: datetime) -> NotGenuine | None:
        return NotGenuine("unconfigured")

    async def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Verdict:
        return NotGenuine("unconfigured")
