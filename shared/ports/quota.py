"""The provider's own account of its limits and of their use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:  # only for types: code that uses a port loads what it needs itself
    from shared.core.limits.live_quota import LiveLimits, UsageByModel


class QuotaUnreadable(Exception):
    """The provider did not tell its limits or its usage. `code` as in `live_quota.Problem`, `remedy` for a person."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy


class NotAsked(Struct, frozen=True):
    """It is configured that live limits are not read."""


class LiveQuotaSource(Protocol):
    """What the provider says about its limits now. Both calls raise only QuotaUnreadable."""

    async def limits(self) -> Mapping[str, LiveLimits] | NotAsked:
        """By model id of the catalogue; never empty."""
        ...

    async def usage(self) -> UsageByModel | NotAsked:
        """What the whole project used, by the limits that were read before."""
        ...
