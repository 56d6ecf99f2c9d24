"""Who takes part: our own strategy first, then the usual ones, each by the name that tables show."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scripts.rehearsal.ours import Renderlane
from scripts.rehearsal.usual import USUAL
from scripts.rehearsal.world import Strategy

OURS = "renderlane"

LINE_UP: Mapping[str, Callable[[], Strategy] | None] = {OURS: Renderlane, **USUAL}
"""None is a column that stays empty."""
