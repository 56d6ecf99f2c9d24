"""When a collection is closed, and when a stuck batch is reported: `[batch]` of the catalogue. Pure."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

LARGEST_FILE = 100
"""Requests: batches of 150 images were billed and could not be retrieved."""


class BatchRules(Struct, frozen=True):
    """What an operator sets; these defaults apply if the catalogue has no such table."""

    collect_for: timedelta = timedelta(minutes=5)
    """A collection is closed when its oldest request has waited this long, or when it is full."""
    most_requests: int = LARGEST_FILE
    """In one file."""
    stuck_after: timedelta = timedelta(hours=12)
    """Time without any change; the provider's target for the whole batch is 24 hours."""
    unsent_stuck_after: timedelta = timedelta(hours=1)
    """For a batch that could not be handed over."""
    most_bytes: int = 200_000_000
    """Per file: it is held in memory if there is no disk. What does not fit goes with a later file."""


DEFAULT_RULES = BatchRules()
