"""A paid image that could not be stored: what is kept beside its bytes, and for how long. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

RETRY_EVERY = timedelta(minutes=1)
"""Between two attempts to store it."""


class KeepRules(Struct, frozen=True):
    """How long storing a paid image is retried."""

    keep_for: timedelta = timedelta(hours=24)
    """From the start of its attempt; then the request ends `failed` and names where the bytes are."""
    hold_for: timedelta = timedelta(minutes=9)
    """In memory, if there is no other place: as long as a delivery may stay unanswered."""


class KeptImage(Struct, frozen=True):
    """An image that is kept in the spool."""

    key: str
    """Its key in the image store, with its extension."""
    place: str
    """A URI, for a person."""
    facts: Mapping[str, str]
    """See `Delivered.to_facts`."""


def reason(place: str) -> str:
    """What `status` shows for the request meanwhile."""
    return f"the image is paid for and waits to be stored; it is kept at {place}"


def unseen_reason() -> str:
    """The same, if it cannot be checked whether the image is stored."""
    return "the image store cannot be read, so it is unknown whether the image of its last attempt is stored"


def gives_up(started_at: datetime, now: datetime, rules: KeepRules) -> bool:
    return now - started_at >= rules.keep_for
