"""Publishing messages, and pulling them if no push service delivers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:  # only for types: code that uses a port loads what it needs itself
    from shared.core.messages.topics import Subscription


class TopicsUnavailable(Exception):
    """The topics could not be reached; the message may or may not have been published."""


class Topics(Protocol):
    """Publishing, at least once: a publisher that gets an error publishes again."""

    async def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """The message id. Raises TopicsUnavailable."""
        ...

    async def close(self) -> None: ...


class Delivery(Struct, frozen=True):
    """One pulled delivery of one message. `handle` is the adapter's own name for it."""

    handle: str
    message_id: str
    data: bytes
    attributes: Mapping[str, str]
    published_at: datetime
    number: int
    """1 for the first delivery of this message on this subscription; 0 if the provider does not say."""


class Subscriptions(Protocol):
    """Pulling, for the local broker that replaces Pub/Sub's push on one machine and with the emulators."""

    async def ensure(self, subscriptions: Sequence[Subscription]) -> None:
        """Create missing topics and subscriptions; leave existing ones alone."""
        ...

    async def pull(self, subscription: str, limit: int, wait: timedelta) -> list[Delivery]:
        """Up to `limit` deliveries; waits up to `wait` for the first one."""
        ...

    async def acknowledge(self, subscription: str, handles: Sequence[str]) -> None: ...

    async def reject(self, subscription: str, handles: Sequence[str]) -> None:
        """Deliver again after the subscription's back-off, or move to the dead letters when its deliveries are used
        up."""
        ...

    async def extend(self, subscription: str, handles: Sequence[str], by: timedelta) -> None:
        """Move the acknowledgement deadline to now + `by`."""
        ...

    async def close(self) -> None: ...
