"""What a tier of the billing account allows: its cap a month, its spend window, Priority. The numbers are data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from msgspec import Struct, field


class Tier(Struct, frozen=True):
    name: str
    monthly_cap_micros: int
    """What all projects of the billing account together may spend on the Gemini API in a month."""
    at_least: bool
    """An account of this tier may have a higher cap."""
    spend10m_micros: int
    """What they may spend in any ten minutes."""
    priority: bool
    """Whether the lane `priority` takes calls."""


class AccountRules(Struct, frozen=True):
    tiers: Mapping[str, Tier] = field(default_factory=dict)
    warn_percent: int = 80
    """Share of the cap from which on the operator is warned."""
    source: str = ""
    checked: date = date.min


NO_ACCOUNT = AccountRules()
"""A catalogue without tiers."""
