"""Who takes part: our own strategy first, then the usual ones, each by the name that tables show."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scripts.virtual_time.baseline_strategies import USUAL
from scripts.virtual_time.models.renderlane_model import PumpModel
from scripts.virtual_time.run import Strategy

OURS = "renderlane"

LINE_UP: Mapping[str, Callable[[], Strategy] | None] = {OURS: PumpModel, **USUAL}
"""None is a column that stays empty."""
