"""Circuit breakers: when to trip one, when to let a probe through, and when to reset it. Pure.

A circuit is a model in a lane. What counts is how many distinct requests failed on it, of those that began there: a
request that fails four times counts once. While its breaker is open, one call per PROBE_EVERY is let through,
preferably of a request that did not fail there; the failure that tripped it counts as the first call. After a
successful probe it is half open: a few go through at once. Two successes in a row close it again, more if it has
tripped recently.

On-call sees the breaker's flag among the others and can overrule it both ways: a flag that is reset by hand keeps the
breaker from tripping for OVERRULED, one that is extended by hand stays until it expires.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import replace

from shared.core.catalogue.catalogue import Catalogue
from shared.core.provider.circuit_health import ALL_WELL, Health, ended
from shared.core.routing.flag import BREAKER, DEFAULT_EXPIRY, Flag, Scope
from shared.core.routing.flag_kinds import FlagName
from shared.core.values.codec import Stored
from shared.core.values.lanes import STEPPING_DOWN

JUDGED_OVER = ((timedelta(seconds=10), 5, 0.9), (timedelta(seconds=60), 4, 0.6))
"""Window, the least number of distinct failed requests, and their least share of those that began in it: the short
window sees an outage of a rarely used route, the long one a slow outage. An overload that lets more through is handled
by the pressure."""
RUN, RUN_LEAST, RUN_SHARE, RUN_OF_STARTS = timedelta(seconds=10), 4, 0.9, 0.1
"""A sudden outage: of everything that ended since a failure within the last RUN, at least this number and share failed.
Earlier successes say nothing about now, so a busy route trips in seconds. Slow pictures under way say nothing either,
so the failures must also be this share of everything that began within RUN."""
PROBE_EVERY = timedelta(seconds=15)
"""Four calls a minute in an outage, for a fleet of any size."""
SLOT_AHEAD = timedelta(seconds=0.5)
"""The longest time from a tick to the slot of a probe that it lets through: PROBE_EVERY is the distance between
slots."""
HALF_OPEN_TICK = timedelta(seconds=0.3)
PROBE_TICK_AHEAD = timedelta(seconds=0.3)
"""A tick this long before the slot of a probe is in time for it."""
LAST_RESORT_EVERY = timedelta(minutes=1)
"""If only requests that failed there are waiting, how often one of them probes: the failure counts against it."""
WELL_PROBES = 2
MOST_WELL_PROBES = 8
HALF_OPEN = 4
"""Calls that one tick lets through after a successful probe, until enough succeed or one fails."""
HALF_OPEN_FOR = timedelta(seconds=15)
"""After the last successful probe."""
TRIPPED_LATELY = timedelta(minutes=10)
"""Each trip within this time of the last one doubles the number of probes that must succeed: a flapping route stays
out."""
OVERRULED = timedelta(minutes=10)
STARTS_KEPT = timedelta(seconds=75)


class Circuit(Stored, frozen=True):
    """What the pump remembers about one model in one lane."""

    starts: Mapping[int, int] = field(default_factory=dict)
    """Slots granted to requests that had not failed here, by second since the epoch."""
    tripped_at: datetime | None = None
    trips: int = 0
    """Trips in a row, each within TRIPPED_LATELY of the last."""
    probed_at: datetime | None = None
    """When the last probe was let through."""

    def started(self, slot_at: datetime) -> Circuit:
        second = int(slot_at.timestamp())
        return replace(self, starts={**self.starts, second: self.starts.get(second, 0) + 1})

    def forget(self, now: datetime) -> Circuit:
        oldest = int((now - STARTS_KEPT).timestamp())
        return replace(self, starts={second: count for second, count in self.starts.items() if second >= oldest})

    @property
    def well_probes(self) -> int:
        """How many must succeed in a row."""
        return int(min(WELL_PROBES * 2 ** max(self.trips - 1, 0), MOST_WELL_PROBES))


class BreakerChanges(Struct, frozen=True):
    circuits: Mapping[str, Circuit]
    trips: tuple[Flag, ...]
    """Flags to trip now."""
    resets: tuple[Flag, ...]
    """Flags of breakers whose routes have recovered."""


def judge(
    circuits: Mapping[str, Circuit],
    health: Mapping[str, Health],
    flags: Collection[Flag],
    overruled: Mapping[str, datetime],
    catalogue: Catalogue,
    now: datetime,
) -> BreakerChanges:
    """Which breakers trip and which reset, from the `flags` in force and what the fleet observed. Repeating it changes
    nothing.

    `overruled` says until when on-call has forbidden a circuit's breaker to trip.
    """
    after = {name: circuit.forget(now) for name, circuit in circuits.items()}
    open_now = open_breakers(flags)
    trips, resets = [], []
    for name in sorted({*after, *health}):
        circuit, recent = after.get(name, Circuit()), health.get(name, ALL_WELL)
        flag = open_now.get(name)
        if flag is not None:
            if _is_well_again(circuit, recent, flag):
                resets.append(flag)
            continue
        if name in overruled and overruled[name] > now:
            continue
        why = _sickness(circuit, recent, now)
        if why is not None:
            again = circuit.tripped_at is not None and now - circuit.tripped_at < TRIPPED_LATELY
            since = _sick_from(circuit, recent, now)
            after[name] = replace(circuit, tripped_at=now, trips=circuit.trips + 1 if again else 1, probed_at=since)
            trips.append(_flag(name, f"{name}: {why}", catalogue, now))
    return BreakerChanges(after, tuple(trips), tuple(resets))


def is_half_open(circuit: Circuit, health: Health, now: datetime) -> bool:
    """The last probe succeeded, and recently."""
    well = max((second for second in health.well if not _is_before(second, circuit.tripped_at)), default=0)
    return well > max(health.sick, default=0) and now.timestamp() - well < HALF_OPEN_FOR.total_seconds()


def open_breakers(flags: Iterable[Flag]) -> dict[str, Flag]:
    """Those among the flags, by circuit."""
    return {flag.circuit: flag for flag in flags if flag.circuit is not None}


def probes_allowed(circuit: Circuit, health: Health, now: datetime) -> int:
    """How many calls may go through an open breaker now: several at once after a success."""
    if is_half_open(circuit, health, now):
        return HALF_OPEN
    return int(circuit.probed_at is None or now + SLOT_AHEAD - circuit.probed_at >= PROBE_EVERY)


def probe_due(circuit: Circuit) -> datetime | None:
    """The earliest slot of the next probe; None if there is nothing to wait for."""
    return None if circuit.probed_at is None else circuit.probed_at + PROBE_EVERY


def next_tick(circuit: Circuit, health: Health, now: datetime) -> datetime | None:
    """When an earlier tick is useful for an open breaker: if it is half open, soon, because requests return to the
    route as soon as a few more calls succeed; otherwise in time for the next probe."""
    if is_half_open(circuit, health, now):
        return now + HALF_OPEN_TICK
    due = probe_due(circuit)
    in_time = None if due is None else due - PROBE_TICK_AHEAD
    return in_time if in_time is not None and in_time > now else None


def _is_before(second: int, moment: datetime | None) -> bool:
    return moment is not None and second < int(moment.timestamp())


def _sick_from(circuit: Circuit, health: Health, now: datetime) -> datetime:
    """When the current outage began: probe intervals count from there, because that call was one."""
    since = now - RUN
    if circuit.tripped_at is not None:
        since = max(since, circuit.tripped_at, circuit.probed_at or circuit.tripped_at)
    first = min((second for second in health.sick if second >= since.timestamp()), default=None)
    return now if first is None else min(now, health.first_sick_at(first))


def may_probe_again(circuit: Circuit, now: datetime) -> bool:
    """Whether a request that failed here itself may go through, because no other one waits."""
    return circuit.probed_at is None or now - circuit.probed_at >= LAST_RESORT_EVERY


def _sickness(circuit: Circuit, health: Health, now: datetime) -> str | None:
    """Only what ended since the last trip is judged: a reset starts afresh."""
    reset = datetime.min.replace(tzinfo=UTC)
    if circuit.tripped_at is not None:
        reset = max(circuit.tripped_at, circuit.probed_at or circuit.tripped_at)
    for window, least, share in JUDGED_OVER:
        since = now - window
        sick, requests = _sick_since(health, max(reset, since))
        starts = max(_starts_since(circuit, since), sick)
        if min(sick, requests) >= least and sick >= share * starts:
            return f"{health.last}, {sick} of {starts} requests in {window.total_seconds():.0f} s"
    least_of_starts = RUN_OF_STARTS * _starts_since(circuit, now - RUN)
    for second in sorted(health.sick):
        since = datetime.fromtimestamp(second, UTC)
        if since < max(reset, now - RUN):
            continue
        sick, requests = _sick_since(health, since)
        all_ended = sick + ended(health.good, since)
        if min(sick, requests) >= RUN_LEAST and sick >= max(RUN_SHARE * all_ended, least_of_starts):
            return f"{health.last}, {sick} of {all_ended} answers since {since:%H:%M:%S}"
    return None


def _sick_since(health: Health, since: datetime) -> tuple[int, int]:
    """Failures, and the distinct requests that failed for the first time."""
    return ended(health.sick, since), sum(second + 1 > since.timestamp() for second in health.requests.values())


def _starts_since(circuit: Circuit, since: datetime) -> int:
    return sum(count for second, count in circuit.starts.items() if second >= since.timestamp())


def _is_well_again(circuit: Circuit, health: Health, flag: Flag) -> bool:
    """How many probes in a row have succeeded since it tripped, without a failure after them."""
    last_sick = max((second for second in health.sick if second >= flag.tripped_at.timestamp() - 1), default=0)
    well = sum(
        count for second, count in health.well.items() if second > max(last_sick, flag.tripped_at.timestamp() - 1)
    )
    return not is_held(flag) and well >= circuit.well_probes


def is_held(flag: Flag) -> bool:
    """On-call has extended it: it stays until it expires."""
    return flag.held_by is not None


def _flag(name: str, why: str, catalogue: Catalogue, now: datetime) -> Flag:
    """The flag that on-call would have tripped for this route."""
    lane, _, model = name.partition("/")
    second = datetime.fromtimestamp(int(now.timestamp()), UTC)
    return Flag(
        id=f"{BREAKER}-{lane}-{model}-{second:%Y%m%dT%H%M%S}",
        name=_name(lane, model, catalogue),
        actor=BREAKER,
        reason=why,
        tripped_at=now,
        expires_at=now + DEFAULT_EXPIRY,
        scope=Scope(model=model, lane=lane),
    )


def _name(lane: str, model: str, catalogue: Catalogue) -> FlagName:
    """`use-nano-banana-2` above that model, `pause` for a route without a flag that leads away from it."""
    ranks = catalogue.ladder
    usual = catalogue.find(catalogue.default_floor_model).id
    if lane in STEPPING_DOWN and model in ranks and ranks.index(model) < ranks.index(usual):
        return "use-nano-banana-2"
    return "pause"
