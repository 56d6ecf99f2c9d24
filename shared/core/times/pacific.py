"""The Pacific day, by which the provider counts: its daily limits begin again at midnight there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")
"""The daily quota begins again at midnight there (Gemini rate-limit documentation)."""


def pacific_day(at: datetime) -> date:
    return at.astimezone(PACIFIC).date()


def next_pacific_midnight(at: datetime) -> datetime:
    """The next midnight in Los Angeles as UTC; days of 23 and 25 hours included."""
    tomorrow = pacific_day(at) + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=PACIFIC).astimezone(UTC)
