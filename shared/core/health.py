"""What one worker process met on its routes: sickness, probes that went well, and what providers do not have.

By circuit (lane/model). Counts stand by the second in which the calls ended, so that reading a report twice, late or
not at all changes nothing that the next one does not mend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.failure import Failure, FailureKind

REMEMBERED = timedelta(seconds=75)
"""Longer than a breaker looks back, with what a report may be late."""
SICK = frozenset(
    {
        FailureKind.OVERLOAD, FailureKind.SERVER_ERROR, FailureKind.TIMEOUT, FailureKind.CONNECTION,
        FailureKind.CONNECTION_LOST,
    }
)  # fmt: skip
"""Of the route itself. A full quota, a refusal or a bad request says nothing about its health."""
LACKS = frozenset({FailureKind.MODEL_GONE, FailureKind.LANE_UNSUPPORTED})


class Lack(Struct, frozen=True):
    """The provider does not have this model, or not in this lane."""

    kind: str
    at: datetime


class Health(Struct, frozen=True):
    """Of one circuit."""

    sick: Mapping[int, int] = field(default_factory=dict)
    """Sick answers by second since the epoch."""
    well: Mapping[int, int] = field(default_factory=dict)
    """Probes that were answered as they should be."""
    last: str = ""
    """The kind of the last sick answer."""
    lack: Lack | None = None

    def with_failure(self, failure: Failure, now: datetime) -> Health:
        if failure.kind in LACKS:
            return replace(self, lack=Lack(failure.kind.value, now))
        if failure.kind in SICK:
            return replace(self, sick=_counted(self.sick, now), last=failure.kind.value)
        return self

    def with_probe(self, now: datetime) -> Health:
        return replace(self, well=_counted(self.well, now))

    def to_json(self) -> dict[str, Any]:
        return {
            "sick": {str(second): count for second, count in self.sick.items()},
            "well": {str(second): count for second, count in self.well.items()},
            "last": self.last,
            "lack": {"kind": self.lack.kind, "at": self.lack.at} if self.lack else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Health:
        lack = data["lack"]
        return cls(
            sick={int(second): count for second, count in data["sick"].items()},
            well={int(second): count for second, count in data["well"].items()},
            last=data["last"],
            lack=Lack(lack["kind"], lack["at"]) if lack else None,
        )


ALL_WELL = Health()


def summed(reports: Iterable[Health]) -> Health:
    """What all processes met on one circuit."""
    sick: dict[int, int] = {}
    well: dict[int, int] = {}
    last, last_at, lack = "", -1, None
    for report in reports:
        for total, counts in ((sick, report.sick), (well, report.well)):
            for second, count in counts.items():
                total[second] = total.get(second, 0) + count
        if max(report.sick, default=-1) > last_at:
            last, last_at = report.last, max(report.sick)
        if report.lack is not None and (lack is None or report.lack.at > lack.at):
            lack = report.lack
    return Health(sick, well, last, lack)


def ended(counts: Mapping[int, int], since: datetime) -> int:
    """How many ended at `since` or after."""
    first = since.timestamp()
    return sum(count for second, count in counts.items() if second + 1 > first)


def _counted(counts: Mapping[int, int], now: datetime) -> dict[int, int]:
    oldest, second = int((now - REMEMBERED).timestamp()), int(now.astimezone(UTC).timestamp())
    kept = {each: count for each, count in counts.items() if each >= oldest}
    kept[second] = kept.get(second, 0) + 1
    return kept
