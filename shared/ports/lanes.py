"""Calling a provider: one request at once, one in the background, or many as a batch."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:  # only for types: code that uses a port loads what it needs itself
    from shared.core.lifecycle.batch import Progress, Result
    from shared.core.provider.call import Answer, Order, Written
    from shared.core.provider.failure import Failure
    from shared.core.provider.interaction import Begun, Looked


class ResultsUnavailable(Exception):
    """The answers of a batch could not be read, or not completely. `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


AtSlot: TypeAlias = Callable[[], Awaitable[timedelta]]
"""Awaited once a call is written: returns at its slot, with the time that is left for its first byte to leave."""


class Lane(Protocol):
    """One contract with one provider. Never raises for anything the provider does: that is an Answer."""

    async def prepare(self) -> None:
        """Load what the first call needs, so that no call leaves after its slot because of it."""
        ...

    async def generate(self, order: Order, timeout: timedelta, at_slot: AtSlot) -> Answer:
        """One call, prepared ahead of its slot; `timeout` counts from the slot. A call that could not begin to leave in
        time is not made: a failure of kind LATE."""
        ...

    async def close(self) -> None: ...


class Interactions(Protocol):
    """Background calls of one provider: short exchanges, between which a worker may die.

    Everything the provider does is a value; nothing is raised for it.
    """

    async def prepare(self) -> None:
        """Load what the first call needs, so that no call leaves after its slot because of it."""
        ...

    async def start(self, order: Order, at_slot: AtSlot) -> Begun:
        """One call, prepared ahead of its slot, that the provider answers when it has accepted it. NOT idempotent.

        A call that could not begin to leave in time is not made: a failure of kind LATE.
        """
        ...

    async def look(self, interaction_id: str, order: Order) -> Looked:
        """Its state or its result; `order` without references is what was ordered. A picture is fetched completely."""
        ...

    async def cancel(self, interaction_id: str) -> Failure | None:
        """Ask the provider to stop; the effect shows at a later look. None: the provider was asked."""
        ...

    async def delete(self, interaction_id: str) -> Failure | None:
        """Remove the provider's record: prompt, references and image. None: it no longer has any."""
        ...

    async def close(self) -> None: ...


class Batches(Protocol):
    """The batch lane of one provider. Everything the provider does is a value; only reading answers may be
    interrupted."""

    async def upload(self, display_name: str, orders: AsyncIterable[tuple[str, Order]]) -> str | Failure:
        """Upload keys and orders as one file; returns its name. They are consumed one by one. Without any there is no
        file, and a failure."""
        ...

    async def create(self, display_name: str, model: str, file: str, leave_within: timedelta) -> str | Failure:
        """The provider's name of the new batch. NOT idempotent. A create that could not leave in time is not made:
        LATE."""
        ...

    async def find(self, display_name: str, since: datetime) -> str | Failure | None:
        """The name of the batch with that display name, created after `since`; None if there is none."""
        ...

    async def look(self, name: str) -> Progress | Failure:
        """The state of a batch."""
        ...

    async def results(self, file: str, model: str, prompts: Mapping[str, Written]) -> AsyncIterator[Result]:
        """The answers in `file`, one at a time: keys may be missing, repeated or unknown. `prompts` by key are cut out
        of the provider's texts. The iterator raises ResultsUnavailable."""
        ...

    async def cancel(self, name: str) -> None:
        """Ask the provider to stop; whether it does shows at a later look."""
        ...

    async def close(self) -> None: ...
