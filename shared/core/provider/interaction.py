"""A background call: the provider's own record of it, named by its id, and what a look at it shows."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from shared.core.provider.call import Answer
from shared.core.provider.failure import Failure

MOST_ID_CHARACTERS = 256
"""Longest id of an interaction: the provider's are about 100 characters long."""


class Started(Struct, frozen=True):
    """The provider has the call and works on it; any worker can collect its result."""

    interaction_id: str


class BackgroundRefused(Struct, frozen=True):
    """The provider says that this model and lane take no background calls. Nothing was made and nothing is billed."""

    failure: Failure


class InProgress(Struct, frozen=True):
    """The interaction has not ended."""

    state: str
    """The provider's own word: `in_progress`, `queued`, `idle`, ..."""


class Gone(Struct, frozen=True):
    """The provider has no interaction with this id: never, not yet, or no longer."""


class Unread(Struct, frozen=True):
    """The look itself failed: nothing is known about the interaction."""

    failure: Failure


class Finished(Struct, frozen=True):
    """The interaction has ended."""

    answer: Answer
    ended_at: datetime | None = None
    """By the provider's clock, if it says so."""


Begun: TypeAlias = Started | BackgroundRefused | Answer
"""The result of a start: an Answer if the call ended at once, or could not be made."""
Looked: TypeAlias = InProgress | Gone | Unread | Finished
"""The result of a look at an interaction."""
