"""How long a lease lasts, and how far apart two clocks may be before one of them counts as set back. Pure."""

from __future__ import annotations

from datetime import timedelta

LEASE = timedelta(seconds=45)
"""A request that is being rendered belongs to its worker for this long after each renewal."""
CLOCK_TOLERANCE = LEASE
"""Times of two reads may differ by this much although no clock was set: a process that stood still for longer than a
lease has lost what it held, and starts over anyway."""
