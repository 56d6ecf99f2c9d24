"""What one worker process observed on its routes: failures, and successful probes. By circuit (lane/model).

Counts are kept by the second in which the calls ended, so a report that is read twice, late or not at all does no harm:
the next one corrects it. A request counts once, however often it fails: one that always fails says nothing about other
requests on the route.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import field
from msgspec.structs import replace

from shared.core.provider.failure import Failure
from shared.core.values.codec import Stored

REMEMBERED = timedelta(seconds=75)
"""Longer than a breaker looks back, plus the delay of a report."""
COUNTED_AFTER_SICK = timedelta(seconds=15)
SLOW_PICTURE = timedelta(seconds=5)
MOST_REQUESTS = 300
"""Requests remembered in a process, so that none counts twice."""
MOST_REPORTED = 8
"""Requests named in a report: more than a breaker needs to tell several from one."""


class Health(Stored, frozen=True):
    """Of one circuit."""

    sick: Mapping[int, int] = field(default_factory=dict)
    """Requests that met a failure of the route, by second since the epoch."""
    well: Mapping[int, int] = field(default_factory=dict)
    """Successful probes."""
    last: str = ""
    """The kind of the last failure."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """When each request failed first, by a short hash of its id."""
    good: Mapping[int, int] = field(default_factory=dict)
    """Pictures that ended within COUNTED_AFTER_SICK of a failure in the same process: they distinguish a bad share from
    an outage. By the second in which a quick call began, and a slow one ended."""
    first_sick_ms: Mapping[int, int] = field(default_factory=dict)
    """When in its second the first failure occurred, in milliseconds. Reports from before 2026-11-30 have none."""

    def with_failure(self, failure: Failure, now: datetime, request: str, *, is_probe: bool = False) -> Health:
        """`request` as `evidence.short` makes it. A probe always counts: its answer was asked for."""
        if not failure.rule.sick_route:
            return self
        oldest, second = int((now - REMEMBERED).timestamp()), int(now.timestamp())
        recent = {name: at for name, at in self.requests.items() if at >= oldest}
        if request in recent and not is_probe:
            return replace(self, last=failure.kind.value)
        newest = dict(sorted({request: second, **recent}.items(), key=lambda pair: pair[1])[-MOST_REQUESTS:])
        moments = {at: ms for at, ms in self.first_sick_ms.items() if at >= oldest}
        moments.setdefault(second, now.microsecond // 1000)
        sick = _counted(self.sick, now)
        return replace(self, sick=sick, last=failure.kind.value, requests=newest, first_sick_ms=moments)

    def with_picture(self, now: datetime, began_at: datetime | None = None) -> Health:
        """Counted only beside failures, so that nothing is kept or written while all is well.

        It counts when it began: a call that began before a sudden outage says nothing about now, even in the same
        second. A slow picture counts when it ended: otherwise no slow one would count against a few failures among
        many.
        """
        if now.timestamp() - max(self.sick, default=0) > COUNTED_AFTER_SICK.total_seconds():
            return self
        is_slow = began_at is None or now - began_at >= SLOW_PICTURE
        at = now if is_slow or began_at is None else began_at
        sick_ms = self.first_sick_ms.get(int(at.timestamp()), 0)
        return replace(self, good=_counted(self.good, at - timedelta(seconds=at.microsecond < sick_ms * 1000)))

    def first_sick_at(self, second: int) -> datetime:
        """When the failures of that second began; the end of the second if only the second is known."""
        ms = self.first_sick_ms.get(second, 1000)
        return datetime.fromtimestamp(second, UTC) + timedelta(milliseconds=ms)

    def with_probe(self, now: datetime) -> Health:
        return replace(self, well=_counted(self.well, now))

    def to_json(self) -> dict[str, Any]:
        """With the newest MOST_REPORTED requests."""
        newest = sorted(self.requests.items(), key=lambda pair: pair[1])[-MOST_REPORTED:]
        stored = super().to_json() | {"requests": dict(newest)}
        return {name: value for name, value in stored.items() if value or name not in ("good", "first_sick_ms")}


ALL_WELL = Health()


def summed(reports: Iterable[Health]) -> Health:
    """What all processes observed on one circuit."""
    sick: dict[int, int] = {}
    well: dict[int, int] = {}
    good: dict[int, int] = {}
    requests: dict[str, int] = {}
    moments: dict[int, int] = {}
    last, last_at = "", -1
    for report in reports:
        for total, counts in ((sick, report.sick), (well, report.well), (good, report.good)):
            for second, count in counts.items():
                total[second] = total.get(second, 0) + count
        if max(report.sick, default=-1) > last_at:
            last, last_at = report.last, max(report.sick)
        for second, ms in report.first_sick_ms.items():
            moments[second] = min(ms, moments.get(second, ms))
        for request, second in report.requests.items():
            requests[request] = min(second, requests.get(request, second))
    return Health(sick, well, last, requests, good, moments)


def ended(counts: Mapping[int, int], since: datetime) -> int:
    """How many ended at `since` or after."""
    first = since.timestamp()
    return sum(count for second, count in counts.items() if second + 1 > first)


def _counted(counts: Mapping[int, int], now: datetime) -> dict[int, int]:
    oldest, second = int((now - REMEMBERED).timestamp()), int(now.astimezone(UTC).timestamp())
    kept = {number: count for number, count in counts.items() if number >= oldest}
    kept[second] = kept.get(second, 0) + 1
    return kept
