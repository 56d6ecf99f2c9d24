"""The running worker's configuration, as stored in the pump's document: commands read it from any shell."""

from __future__ import annotations

from collections.abc import Mapping

from shared.core.limits.quota import Limits, Quota
from shared.core.values.codec import Stored
from shared.core.values.documents import Fields


class Enforced(Stored, frozen=True):
    """Written by the leading pump; live and learned limits are stored elsewhere."""

    quota: Mapping[str, Limits]
    """RENDERLANE_QUOTA by model id, aliases resolved."""
    capacity: int
    """Attempts that the fleet can carry at once."""
    release: str = ""
    lanes: tuple[str, ...] = ()
    """That this worker calls; empty in a document that an older release wrote."""

    @property
    def limits(self) -> Quota:
        return Quota(self.quota)


def enforced(pump: Fields) -> Enforced | None:
    """None in a document that an older release wrote."""
    fields = pump.get("enforces")
    return Enforced.from_json(fields) if fields else None
