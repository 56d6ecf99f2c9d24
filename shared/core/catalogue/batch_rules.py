"""When a collection is closed and when somebody is told that a batch hangs: `[batch]` of the catalogue. Pure."""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

LARGEST_FILE = 100
"""Requests: batches of 150 images were billed and could not be retrieved."""


class BatchRules(Struct, frozen=True):
    """What an operator sets; these values where the catalogue has no such table."""

    collect_for: timedelta = timedelta(minutes=5)
    """A collection is closed when its oldest request has waited so long, or when it is full."""
    most_requests: int = LARGEST_FILE
    """In one file."""
    stuck_after: timedelta = timedelta(hours=12)
    """Without any change; the provider's target for the whole is 24 hours."""
    unsent_stuck_after: timedelta = timedelta(hours=1)
    """For one that could not be handed over."""
    most_bytes: int = 200_000_000
    """In one file: it lies in memory where there is no disk. What does not fit goes with a later one."""


DEFAULT_RULES = BatchRules()
