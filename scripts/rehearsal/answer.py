"""What the provider answers to a call: an image, or a rejection as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Image:
    """The call was accepted; the answer holds a picture."""


@dataclass(frozen=True, slots=True)
class MinuteFull:
    """429 that names a limit of the minute."""

    quota_id: str
    quota_value: int
    """The limit as it is now."""
    retry_after: float | None
    """Seconds, from RetryInfo: when there will be room. None where there never is."""


@dataclass(frozen=True, slots=True)
class DayFull:
    """429 that names the limit of the day."""

    quota_id: str
    quota_value: int
    retry_after: float
    """Seconds, from RetryInfo: misleading, as it was captured once beside a daily quota."""


@dataclass(frozen=True, slots=True)
class Unexplained:
    """429 without details: capacity that is shared with others, or the spend window."""


@dataclass(frozen=True, slots=True)
class Overloaded:
    """503: the model cannot serve so much at present."""


Rejection: TypeAlias = MinuteFull | DayFull | Unexplained | Overloaded
Answer: TypeAlias = Image | Rejection

IMAGE = Image()
UNEXPLAINED = Unexplained()
OVERLOADED = Overloaded()
