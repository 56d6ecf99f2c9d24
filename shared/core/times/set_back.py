"""How far apart two clocks may be before one of them counts as set back. Pure."""

from __future__ import annotations

from datetime import timedelta

FELL = timedelta(seconds=45)
"""Less than this the times of two reads may differ without anybody having set a clock: as long as a lease lasts."""
