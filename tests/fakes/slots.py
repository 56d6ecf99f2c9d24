"""Slots for calls that are made without a pump."""

from __future__ import annotations

from datetime import timedelta


async def at_once() -> timedelta:
    """The slot has come, and leaves all the time there is."""
    return timedelta(minutes=5)


async def too_late() -> timedelta:
    """The slot is over."""
    return timedelta(seconds=-1)
