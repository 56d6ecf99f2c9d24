"""What the provider's answers say about a limit beyond its number, and how fast that lets a model start.

A pure controller: the table of evidence in the design, one function a row. Rates are starts a minute.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from shared.core.admission.slot_calendar import Calendar, is_untimed
from shared.core.limits.observations import ModelObservations, StartSignal, counted
from shared.core.limits.quota import Limits
from shared.core.values.codec import Stored

MINUTE = timedelta(minutes=1)

# A 429 that names the limit we know.
SHARE_CUT, MOST_SHARE_CUT = 0.01, 0.10
"""A cut is the share of the last minute's starts that was rejected, within these bounds: one call that arrived late
does not mean a smaller limit."""
SHARE_CUT_EVERY = timedelta(seconds=20)
SHARE_GROWS_AFTER, LAST_SHARE_GROWS_AFTER = timedelta(minutes=2), timedelta(hours=1)
"""Time without a rejection; doubled after each cut that followed another within SHARE_CUTS_KNOWN_FOR."""
SHARE_CUTS_KNOWN_FOR = timedelta(hours=3)
SHARE_GROWS_BY = 0.01
"""Per minute."""
BURSTS_DISLIKED_UNDER = 0.85
"""Share of the limit: a rejection with less than this in the window was caused by the burst."""
BURSTS_DISLIKED_FOR = timedelta(hours=1)

# A 429 that names nothing.
JUDGED = timedelta(seconds=20)
LEAST_REJECTED = 4
REJECTED_SHARE = 0.07
CUT = 0.85
BACK_OFF_SHARE = 0.30
BACK_OFF = tuple(timedelta(seconds=item) for item in (1, 2, 4, 8))
CALM = timedelta(seconds=5)
"""Time without a rejection after which the rate grows again."""
QUICK, SLOW = 0.10, 0.002
"""Growth per second: up to NEAR of the last good rate, and around it."""
NEAR, BEYOND = 0.93, 1.05
FASTER = 0.0005
"""Additional growth per second for each second past BEYOND."""
UNCAPPED_AFTER = timedelta(hours=1)

# An overloaded model.
SICK_JUDGED = timedelta(seconds=8)
SICK_JUDGED_OVER = (timedelta(seconds=4), SICK_JUDGED)
"""The shorter one notices a sudden overload sooner, the longer one notices a slow one at all."""
SICK_SHARE = 0.20
LEAST_SICK = 3
SICK_EVERY = timedelta(seconds=2.5)
SICK_CUT, SICK_GROWS, SICK_GROWS_NEAR, SICK_FLOOR = 0.35, 2.2, 1.25, 0.02
STILL_SICK_SHARE = 0.10
"""If a larger share of the starts since the last cut is overloaded, the rate does not grow."""
SURVIVED = timedelta(seconds=2.5)
"""A 503 comes within two seconds, and its report within another."""
FAILED_LATELY = timedelta(seconds=20)
"""Near a rate that failed this recently, growth is limited to SICK_GROWS_NEAR."""
UNCAPPED_AT = 2.0
"""As a multiple of the rate before the overload: up to it the cap stays, so that the backlog does not start at once."""


class Pressure(Stored, frozen=True):
    """Of one model; kept in its calendar's document."""

    share: float = 1.0
    """Fraction of each known limit that is used."""
    share_cut_at: datetime | None = None
    share_cuts: int = 0
    """Cuts in a row, each soon after the one before."""
    share_grown_at: datetime | None = None
    bursts_disliked_at: datetime | None = None
    """Since then everything but interactive requests is paced."""
    rate: float | None = None
    """The rate that unexplained rejections allow; None = they set no cap."""
    good: float = 0.0
    """The rate that was accepted when `rate` was last cut."""
    cut_at: datetime | None = None
    grown_at: datetime | None = None
    back_offs: int = 0
    sick_rate: float | None = None
    """The rate that overload allows; None = not overloaded."""
    well_rate: float = 0.0
    """The rate before the overload."""
    sick_high: float = 0.0
    """The rate that failed last."""
    sick_at: datetime | None = None
    """When `sick_rate` changed last, and when it was cut last."""
    sick_cut_at: datetime | None = None
    rejected_at: datetime | None = None
    """The start of the last call that was answered with any 429."""
    first_used_at: datetime | None = None

    @property
    def cap(self) -> float | None:
        """Starts per minute that the evidence allows, over all priorities."""
        return min((value for value in (self.rate, self.sick_rate) if value is not None), default=None)

    def bursts_disliked(self, now: datetime) -> bool:
        return self.bursts_disliked_at is not None and now - self.bursts_disliked_at < BURSTS_DISLIKED_FOR

    def limits(self, in_force: Limits) -> Limits:
        """The limits, reduced to the fraction that may be used under pressure."""
        if self.share == 1.0:
            return in_force
        return replace(
            in_force,
            **{
                name: max(1, int(limit * self.share)) if limit else limit
                for name in ("rpm", "ipm", "tpm")
                if (limit := getattr(in_force, name)) is not None
            },
        )


class RateUpdate(Struct, frozen=True):
    pressure: Pressure
    close_until: datetime | None
    """Nothing of this model starts before this moment."""


def updated(
    pressure: Pressure, observed: ModelObservations, calendar: Calendar, limits: Limits, now: datetime
) -> RateUpdate:
    """The pressure after everything reported so far; the same reports again change nothing."""
    pressure = _first_use(pressure, calendar, now)
    if is_untimed(limits):
        observed = _unnamed(observed)
    else:
        pressure = _same_limit(pressure, observed, calendar, limits, now)
    pressure, close_until = _unexplained(pressure, observed, calendar, now)
    pressure = _overload(pressure, observed, calendar, now)
    return RateUpdate(pressure, close_until)


def _unnamed(observed: ModelObservations) -> ModelObservations:
    """A 429 for a per-minute limit that it does not name explains nothing while no such limit is known."""
    counts = dict(observed.counts.get(StartSignal.UNEXPLAINED, {}))
    for second, count in observed.counts.get(StartSignal.MINUTE, {}).items():
        counts[second] = counts.get(second, 0) + count
    return replace(observed, counts={**observed.counts, StartSignal.UNEXPLAINED: counts})


def _first_use(pressure: Pressure, calendar: Calendar, now: datetime) -> Pressure:
    if pressure.first_used_at is None and calendar.buckets:
        return replace(pressure, first_used_at=now)
    return pressure


def _same_limit(
    pressure: Pressure, observed: ModelObservations, calendar: Calendar, limits: Limits, now: datetime
) -> Pressure:
    """429 for a per-minute limit: the known limit is a little lower than stated, or bursts are disliked."""
    last = _last(observed, StartSignal.MINUTE)
    if last is not None and (pressure.rejected_at is None or last > pressure.rejected_at):
        pressure = replace(pressure, rejected_at=last)
        used = calendar.used(last).requests
        if limits.rpm is not None and used < BURSTS_DISLIKED_UNDER * limits.rpm:
            return replace(pressure, bursts_disliked_at=now)
        return _share_cut(pressure, counted(observed, StartSignal.MINUTE, now - MINUTE, now) / max(used, 1), now)
    return _share_grown(pressure, now)


def _share_cut(pressure: Pressure, rejected: float, now: datetime) -> Pressure:
    """Cut by the share that was rejected, at most once per interval: calls in flight are rejected together with the
    first one."""
    since = None if pressure.share_cut_at is None else now - pressure.share_cut_at
    if since is not None and since < SHARE_CUT_EVERY:
        return pressure
    cuts = 1 if since is None or since >= SHARE_CUTS_KNOWN_FOR else pressure.share_cuts + 1
    share = pressure.share * (1 - min(max(rejected, SHARE_CUT), MOST_SHARE_CUT))
    return replace(pressure, share=share, share_cut_at=now, share_cuts=cuts, share_grown_at=None)


def _share_grown(pressure: Pressure, now: datetime) -> Pressure:
    """A little each minute: a cut by chance is undone soon, and a limit that really is smaller is tried ever less
    often."""
    if pressure.share >= 1.0 or pressure.share_cut_at is None:
        return pressure
    quiet = now - max(pressure.share_cut_at, pressure.rejected_at or pressure.share_cut_at)
    rests = min(SHARE_GROWS_AFTER * 2 ** max(pressure.share_cuts - 1, 0), LAST_SHARE_GROWS_AFTER)
    if quiet < rests or (pressure.share_grown_at is not None and now - pressure.share_grown_at < MINUTE):
        return pressure
    return replace(pressure, share=min(1.0, pressure.share + SHARE_GROWS_BY), share_grown_at=now)


def _unexplained(
    pressure: Pressure, observed: ModelObservations, calendar: Calendar, now: datetime
) -> tuple[Pressure, datetime | None]:
    """429 without details: react to ratios only, of the starts that the current rate allowed."""
    since = max(now - JUDGED, pressure.cut_at or now - JUDGED)
    rejected = counted(observed, StartSignal.UNEXPLAINED, since, now)
    starts = max(calendar.starts(since, now), rejected)
    if rejected >= LEAST_REJECTED and rejected > REJECTED_SHARE * starts:
        return _cut(pressure, observed, calendar, rejected / starts, now)
    last = _last(observed, StartSignal.UNEXPLAINED)
    if pressure.rate is not None and (last is None or now - last >= CALM):
        return _grow(pressure, calendar, now), None
    return pressure, None


def _cut(
    pressure: Pressure, observed: ModelObservations, calendar: Calendar, share: float, now: datetime
) -> tuple[Pressure, datetime | None]:
    """Cut to what was accepted, then ever lower; above BACK_OFF_SHARE nothing starts for a while."""
    accepted = _accepted(pressure, observed, calendar, now)
    rate = accepted if pressure.rate is None else min(accepted, pressure.rate) * CUT
    good = min(accepted, pressure.rate) if pressure.rate is not None else accepted
    back_off, backs = None, 0
    if share > BACK_OFF_SHARE:
        back_off, backs = now + BACK_OFF[min(pressure.back_offs, len(BACK_OFF) - 1)], pressure.back_offs + 1
    last = _last(observed, StartSignal.UNEXPLAINED)
    cut = replace(
        pressure, rate=max(rate, 1.0), good=max(good, 1.0), cut_at=now, grown_at=now, back_offs=backs, rejected_at=last
    )
    return cut, back_off


def _accepted(pressure: Pressure, observed: ModelObservations, calendar: Calendar, now: datetime) -> float:
    """Starts per minute that were not rejected: the smaller of the rates over the last minute and over the time judged.
    For a newly used model, the rate is measured only over the time it has been in use: otherwise its first rejections
    would turn a few seconds' starts into a minute's rate."""
    used_for = max(CALM, now - (pressure.first_used_at or now))
    rates = []
    for span in (min(MINUTE, used_for), min(JUDGED, used_for)):
        accepted = calendar.starts(now - span, now) - counted(observed, StartSignal.UNEXPLAINED, now - span, now)
        rates.append(accepted * (MINUTE / span))
    return float(min(rates))


def _grow(pressure: Pressure, calendar: Calendar, now: datetime) -> Pressure:
    """Quickly to NEAR of the last good rate, then slowly, then faster; only if the rate is used."""
    assert pressure.rate is not None, "only a cap grows"
    assert pressure.cut_at is not None
    assert pressure.grown_at is not None
    if now - pressure.cut_at >= UNCAPPED_AFTER:
        return replace(pressure, rate=None, back_offs=0)
    seconds = (now - pressure.grown_at).total_seconds()
    used = calendar.starts(now - CALM, now) * (MINUTE / CALM)
    if seconds <= 0:
        return pressure
    rate, good = pressure.rate, pressure.good
    if used < 0.7 * rate:
        return replace(pressure, grown_at=now)
    if rate < NEAR * good:
        rate = min(rate * (1 + QUICK) ** seconds, NEAR * good)
    elif rate < BEYOND * good:
        rate = rate * (1 + SLOW) ** seconds
    else:
        faster = SLOW + FASTER * (rate / (BEYOND * good) - 1) * 1000
        rate = rate * (1 + min(faster, QUICK)) ** seconds
    return replace(pressure, rate=rate, grown_at=now, back_offs=0)


def _overload(pressure: Pressure, observed: ModelObservations, calendar: Calendar, now: datetime) -> Pressure:
    """503s: a fast decrease, to a floor that still probes; a fast increase once a start has survived. Only starts since
    the last cut are judged: reports of earlier ones still arrive, and would cut the rate again for nothing."""
    judged = [_overloaded(pressure, observed, calendar, now - item, now) for item in SICK_JUDGED_OVER]
    rested = pressure.sick_at is None or now - pressure.sick_at >= SICK_EVERY
    if rested and any(count >= LEAST_SICK and count > SICK_SHARE * starts for count, starts in judged):
        rate = calendar.starts(now - SICK_JUDGED, now) * (MINUTE / SICK_JUDGED)
        well = rate if pressure.sick_rate is None else pressure.well_rate
        failed = pressure.sick_rate or rate
        sick = max(failed * SICK_CUT, well * SICK_FLOOR, 1.0)
        return replace(pressure, sick_rate=sick, well_rate=well, sick_high=failed, sick_at=now, sick_cut_at=now)
    count, starts = judged[-1]
    if pressure.sick_rate is None or pressure.sick_at is None or not rested or count > STILL_SICK_SHARE * starts:
        return pressure
    if not calendar.starts(pressure.sick_at, now - SURVIVED):
        return pressure
    return _well_again(pressure, now)


def _well_again(pressure: Pressure, now: datetime) -> Pressure:
    """One step up; a smaller one beyond a rate that failed recently."""
    assert pressure.sick_rate is not None, "only a cap grows"
    grown = pressure.sick_rate * SICK_GROWS
    assert pressure.sick_cut_at is not None, "a cap has been cut"
    failed_lately = now - pressure.sick_cut_at < FAILED_LATELY
    if failed_lately and pressure.sick_rate < pressure.sick_high <= grown:
        grown = pressure.sick_rate * SICK_GROWS_NEAR
    if grown >= UNCAPPED_AT * pressure.well_rate:
        return replace(pressure, sick_rate=None, sick_at=None, sick_cut_at=None, well_rate=0.0, sick_high=0.0)
    return replace(pressure, sick_rate=grown, sick_at=now)


def _overloaded(
    pressure: Pressure, observed: ModelObservations, calendar: Calendar, since: datetime, now: datetime
) -> tuple[int, int]:
    """Overloads and starts under the current rate."""
    since = max(since, pressure.sick_cut_at or since)
    overloads = counted(observed, StartSignal.OVERLOAD, since, now)
    return overloads, max(calendar.starts(since, now), overloads)


def _last(observed: ModelObservations, sign: StartSignal) -> datetime | None:
    seconds = observed.counts.get(sign, {})
    return datetime.fromtimestamp(max(seconds), tz=UTC) if seconds else None
