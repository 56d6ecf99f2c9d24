"""Why Renderlane is behind a peer in a figure: one sentence for each, which the tables of a race show."""

from __future__ import annotations

from collections.abc import Mapping

NO_REASON = "no reason is known yet."
REASONS: Mapping[tuple[str, str], str] = {}
"""By scene and figure; an empty scene stands for all scenes."""
