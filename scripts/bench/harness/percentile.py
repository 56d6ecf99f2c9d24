"""The one percentile of all benches: a value that was measured, never one between two."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` (0-1) of them do not exceed; NaN where there are none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def finite_percentile(values: Sequence[float], share: float) -> float | None:
    """The same; None where it is infinite, because too many never came, or where there are no values."""
    figure = percentile(values, share)
    return figure if math.isfinite(figure) else None
