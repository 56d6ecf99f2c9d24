"""What the provider answers to a call: an image, or a rejection as a value."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct


class ImageReply(Struct, frozen=True):
    """The call was accepted; the answer holds a picture."""


class MinuteFull(Struct, frozen=True):
    """429 that names a limit of the minute."""

    quota_id: str
    quota_value: int
    """The limit as it is now."""
    retry_after: float | None
    """Seconds, from RetryInfo: when there will be room. None where there never is."""


class DayFull(Struct, frozen=True):
    """429 that names the limit of the day."""

    quota_id: str
    quota_value: int
    retry_after: float
    """Seconds, from RetryInfo: misleading, as it was captured once beside a daily quota."""


class Unexplained(Struct, frozen=True):
    """429 without details: capacity that is shared with others, or the spend window."""


class Overloaded(Struct, frozen=True):
    """503: the model cannot serve so much at present."""


Rejection: TypeAlias = MinuteFull | DayFull | Unexplained | Overloaded
Answer: TypeAlias = ImageReply | Rejection

IMAGE = ImageReply()
UNEXPLAINED = Unexplained()
OVERLOADED = Overloaded()
