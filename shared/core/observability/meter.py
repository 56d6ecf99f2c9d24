"""What the ledger's counts say about the last minutes: how each route performs now, and what the open minute contains.
Pure.

The ledger counts up through a day. Each reading is compared with the previous one; the difference is what happened in
between. The meter is stored with the summary, so that another pump continues from the last reading and nothing is
counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.accounting import traffic
from shared.core.accounting.ledger import LedgerRow
from shared.core.accounting.traffic import Tally

RECENT = timedelta(minutes=5)
"""What "now" means where the console shows how a route performs."""
SLICE = timedelta(seconds=10)
"""Readings within this time form one slice."""
FAILING_SHARE = 0.5
"""Share of the attempts that ended within RECENT: a route with this share of failures is failing."""
FAILING_LEAST = 3
"""Failures within RECENT; fewer are isolated."""


class Slice(Struct, frozen=True):
    """What happened between two readings."""

    at: datetime
    """The time of its first reading."""
    circuits: Mapping[str, Tally]
    """By circuit: attempts, images, failures by kind."""
    times: Tally = field(default_factory=dict)
    """Waits and model times by bucket, all circuits together."""


class RouteTraffic(Struct, frozen=True):
    """One circuit within RECENT."""

    circuit: str
    attempts: int
    failures: Mapping[str, int]
    """By kind, the most first."""
    images: int
    since: datetime | None
    """When its failures began: the first reading with any since the last one with none or an image, as far as known."""
    failed_at: datetime | None
    """When one was last read."""

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def kind(self) -> str:
        """The most frequent failure."""
        return next(iter(self.failures), "")

    @property
    def percent(self) -> int:
        return round(100 * self.failed / self.attempts) if self.attempts else 0

    @property
    def is_failing(self) -> bool:
        return self.failed >= FAILING_LEAST and self.failed >= FAILING_SHARE * self.attempts


class Meter(Struct, frozen=True):
    day: str = ""
    """The counts of the last reading; empty before the first."""
    read_at: datetime | None = None
    totals: Mapping[str, Tally] = field(default_factory=dict)
    """By circuit, of that day."""
    slices: tuple[Slice, ...] = ()
    """The slices of RECENT, the oldest first."""
    minute: Mapping[str, Tally] = field(default_factory=dict)
    """By circuit: what happened since the last point of the series."""
    hour: Tally = field(default_factory=dict)
    """What happened since the last point of the hourly series, all circuits together."""
    failing: Mapping[str, datetime] = field(default_factory=dict)
    """Since when each circuit has been failing continuously."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Limits in force at the last point, by model and dimension: changes are marked."""
    version: str = ""
    """The process that wrote the last point."""
    point_at: datetime | None = None
    """When the last point was made."""

    def read(self, days: Mapping[str, Iterable[LedgerRow]], now: datetime) -> Meter:
        """The meter after a reading. `days`: the ledger's rows of today, and of the day of the last reading if that is
        over. The very first reading has nothing to be compared with, and only marks where to begin."""
        today = now.date().isoformat()
        totals = {day: traffic.tallies(rows) for day, rows in days.items()}
        if not self.day:
            return replace(self, day=today, totals=totals.get(today, {}), read_at=now)
        came: dict[str, dict[str, int]] = {}
        for day, circuits in totals.items():
            for name, tally in circuits.items():
                before = self.totals.get(name, {}) if day == self.day else {}
                if new := traffic.less(tally, before):
                    came[name] = traffic.added(came.get(name, {}), new)
        after = replace(self, day=today, totals=totals.get(today, {}), read_at=now)
        return after._with(came, now)

    def _with(self, came: Mapping[str, Tally], now: datetime) -> Meter:
        kept = [part for part in self.slices if now - RECENT < part.at <= now]
        small = {circuit: {name: tally[name] for name in tally if _is_shown(name)} for circuit, tally in came.items()}
        times = {name: count for name, count in traffic.summed(came.values()).items() if _is_time(name)}
        if small:
            if kept and now - kept[-1].at < SLICE:
                last = kept.pop()
                kept.append(Slice(last.at, _merged(last.circuits, small), traffic.added(last.times, times)))
            else:
                kept.append(Slice(now, small, times))
        after = replace(
            self,
            slices=tuple(kept),
            minute=_merged(self.minute, came),
            hour=traffic.added(self.hour, traffic.summed(came.values())),
        )
        return replace(after, failing=after._failing(now))

    def _failing(self, now: datetime) -> dict[str, datetime]:
        """A circuit fails from its first failure until it is no longer failing."""
        failing = {}
        for circuit in _names(self.slices):
            if not _judged(circuit, self.slices, None).is_failing:
                continue
            first = next(part.at for part in self.slices if traffic.failures(part.circuits.get(circuit, {})))
            failing[circuit] = self.failing.get(circuit, first)
        return failing

    def routes(self, now: datetime) -> list[RouteTraffic]:
        """Within RECENT, those with the most failures first."""
        slices = self._recent(now)
        routes = [_judged(circuit, slices, self.failing.get(circuit)) for circuit in _names(slices)]
        return sorted(routes, key=lambda route: (-route.failed, route.circuit))

    def times(self, now: datetime) -> Tally:
        """Waits and model times of RECENT, by bucket."""
        return traffic.summed(part.times for part in self._recent(now))

    def _recent(self, now: datetime) -> list[Slice]:
        return [part for part in self.slices if now - RECENT < part.at]

    def pointed(self, now: datetime, limits: Mapping[str, int], version: str, *, hour_is_over: bool) -> Meter:
        """After a point of the series was made: from here on the next one is counted."""
        hour = {} if hour_is_over else self.hour
        return replace(self, minute={}, hour=hour, limits=limits, version=version, point_at=now)


def _judged(circuit: str, slices: Iterable[Slice], since: datetime | None) -> RouteTraffic:
    mine = [(part.at, part.circuits[circuit]) for part in slices if circuit in part.circuits]
    whole = traffic.summed(tally for _, tally in mine)
    failed = [at for at, tally in mine if traffic.failures(tally)]
    return RouteTraffic(
        circuit, whole.get("attempts", 0), traffic.failures(whole), whole.get("images", 0), since,
        max(failed, default=None),
    )  # fmt: skip


def _names(slices: Iterable[Slice]) -> list[str]:
    return sorted({circuit for part in slices for circuit in part.circuits})


def _is_shown(name: str) -> bool:
    return name in ("attempts", "images") or name.startswith(traffic.FAILED)


def _is_time(name: str) -> bool:
    return name.startswith(("wait_", "model_"))


def _merged(one: Mapping[str, Tally], other: Mapping[str, Tally]) -> dict[str, dict[str, int]]:
    return {name: traffic.added(one.get(name, {}), other.get(name, {})) for name in {*one, *other}}
