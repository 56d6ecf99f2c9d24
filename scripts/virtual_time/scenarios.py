"""Situations in which admission has to prove itself, each with what it must reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from scripts.simulator.provider.quota_windows import WINDOW_KINDS, WindowKind
from scripts.virtual_time import measures
from scripts.virtual_time.arrivals import Source, backlog, merged, poisson
from scripts.virtual_time.models.fleet_model import FleetSize
from scripts.virtual_time.models.provider_limits import LimitsFrom, Narrow, ProviderTerms
from scripts.virtual_time.request import PublishedRequest
from scripts.virtual_time.run import Rehearsal, Setting
from shared.core.limits.quota import Limits

MODEL = "gemini-nano-banana-2.1"
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BEFORE_MIDNIGHT = datetime(2026, 11, 22, 7, 52, tzinfo=UTC)
"""Seven to eight minutes before the Pacific day ends (08:00 UTC in winter)."""
FLEET = FleetSize(instances=40, concurrency=20, most_instances=50)
"""A platform seldom runs all it may."""


class ScenarioMeasure(Struct, frozen=True):
    name: str
    unit: str
    better: Literal["lower", "higher"]


class Goal(Struct, frozen=True):
    measure: ScenarioMeasure
    bound: float
    """A figure on this bound still meets the goal."""
    read: Callable[[Rehearsal], float]

    def met(self, figure: float) -> bool:
        match self.measure.better:
            case "lower":
                return figure <= self.bound
            case "higher":
                return figure >= self.bound


class Scenario(Struct, frozen=True):
    name: str
    about: str
    setting: Setting
    own_goals: Sequence[Goal]

    @property
    def goals(self) -> Sequence[Goal]:
        """Its own, and that every request is rendered."""
        return (
            *self.own_goals,
            Goal(LOST, 0, lambda rehearsal: measures.lost(rehearsal) + measures.unfinished(rehearsal)),
        )

    @property
    def quick(self) -> bool:
        """Belongs to a short run."""
        return self.window == "sliding" and self.setting.fleet.capacity <= FLEET.capacity

    @property
    def window(self) -> WindowKind:
        return self.setting.terms[MODEL].window


GOODPUT = ScenarioMeasure("goodput while saturated", "% of the limit", "higher")
REJECTED = ScenarioMeasure("429 per 1,000 renders", "calls", "lower")
OVERLOADED = ScenarioMeasure("503 per 1,000 renders", "calls", "lower")
BACK = ScenarioMeasure("back to 90 % after the overload", "seconds", "lower")
WAIT_P50 = ScenarioMeasure("interactive wait, p50", "seconds", "lower")
WAIT_P99 = ScenarioMeasure("interactive wait, p99", "seconds", "lower")
LATE_TENANT = ScenarioMeasure("a late tenant's time until all have begun", "x its fair share", "lower")
HOT_MEAN = ScenarioMeasure("hottest document, mean", "writes a second", "lower")
HOT_WORST = ScenarioMeasure("hottest document, worst 10 s", "writes a second", "lower")
WRITES = ScenarioMeasure("admission writes per render", "writes", "lower")
IDLE_P50 = ScenarioMeasure("start delay on an idle system, p50", "seconds", "lower")
BEGUN = ScenarioMeasure("goodput of a fleet slower than its limit", "% of what it can begin", "higher")
FINISH = ScenarioMeasure("time until all have begun", "x the ideal", "lower")
LOST = ScenarioMeasure("lost or left undone", "requests", "lower")
MEASURES = (
    GOODPUT, REJECTED, OVERLOADED, BACK, WAIT_P50, WAIT_P99, LATE_TENANT,
    HOT_MEAN, HOT_WORST, WRITES, IDLE_P50, BEGUN, FINISH, LOST,
)  # fmt: skip
"""In the order of the design's table."""

LIMIT = 500
"""Requests a minute."""
STEADY = 450.0
"""Requests a minute of a steady demand, a little under it."""
NORMAL = Source("normal", MODEL)


def saturated(window: WindowKind) -> Scenario:
    return Scenario(
        "saturated",
        "1,000 queued and 650 a minute for 7 minutes, at 500 RPM; judged from minute 2 on",
        _setting(_saturating, window=window),
        (
            Goal(GOODPUT, 98, partial(measures.goodput, per_minute=LIMIT, begins=120, ends=420)),
            Goal(REJECTED, 1, measures.quota_rejections),
            Goal(WRITES, 1.4, measures.writes_per_render),
        ),
    )


def changing(window: WindowKind) -> Scenario:
    """Each rejection names the limit as it then is; only a look at the live limit shows the raise."""
    steps = ((0.0, 600), (240.0, 300), (480.0, 900))
    limits = [LimitsFrom(at, Limits(rpm=rpm)) for at, rpm in steps]
    return Scenario(
        "limit halves, then triples",
        "540 a minute for 12 minutes; 600 RPM, after 4 minutes 300, after 8 minutes 900",
        _setting(_steady(540, 720), terms=ProviderTerms(limits, window), limit=600),
        (Goal(REJECTED, 5, measures.quota_rejections), _begun_by(720)),
    )


def shared() -> Scenario:
    terms = replace(ProviderTerms.fixed(Limits(rpm=LIMIT)), shared=(Narrow(240, 540, LIMIT / 2),))
    return Scenario(
        "shared capacity halves",
        "450 a minute for 15 minutes at 500 RPM; between minutes 4 and 9 half is left, and no rejection says why",
        _setting(_steady(STEADY, 900), terms=terms),
        (Goal(REJECTED, 60, measures.quota_rejections), _begun_by(984)),
    )


def day() -> Scenario:
    return Scenario(
        "a day's quota runs out",
        "450 a minute for 10 minutes; 2,500 a day, unknown before and gone 2 minutes before midnight in Los Angeles",
        replace(
            _setting(_steady(STEADY, 600), terms=ProviderTerms.fixed(Limits(rpm=LIMIT, rpd=2500))),
            start=BEFORE_MIDNIGHT,
        ),
        (Goal(REJECTED, 25, measures.quota_rejections), _begun_by(720)),
    )


def overload() -> Scenario:
    terms = replace(ProviderTerms.fixed(Limits(rpm=LIMIT)), overloads=(Narrow(300, 360, LIMIT / 5),))
    return Scenario(
        "overload",
        "450 a minute for 15 minutes; after 5 minutes the model serves 100 a minute for 60 s, and 503 to the rest",
        _setting(_steady(STEADY, 900), terms=terms),
        (
            Goal(OVERLOADED, 10, measures.overloads),
            Goal(BACK, 15, partial(measures.back_after, ends=360, per_minute=STEADY)),
            _begun_by(900),
        ),
    )


def interactive(window: WindowKind) -> Scenario:
    def arrivals(chance: Random) -> Sequence[PublishedRequest]:
        bulk = Source("bulk", MODEL, tenant="bulk", priority="bulk")
        people = Source("people", MODEL, tenant="people", priority="interactive")
        return merged(backlog(bulk, 2000), poisson(people, 30, begins=1, ends=240, chance=chance))

    return Scenario(
        "interactive at 500 RPM",
        "2,000 bulk requests queued, 30 interactive ones a minute for 4 minutes",
        _setting(arrivals, window=window),
        (
            Goal(WAIT_P50, 1, partial(measures.wait, share=0.5, priority="interactive")),
            Goal(WAIT_P99, 6, partial(measures.wait, share=0.99, priority="interactive")),
        ),
    )


def interactive_small() -> Scenario:
    def arrivals(chance: Random) -> Sequence[PublishedRequest]:
        bulk = Source("bulk", MODEL, tenant="bulk", priority="bulk")
        people = Source("people", MODEL, tenant="people", priority="interactive")
        return merged(backlog(bulk, 600, at=600), poisson(people, 1, begins=1, ends=4200, chance=chance))

    return Scenario(
        "interactive at 10 RPM",
        "an interactive request a minute for 70 minutes, and after 10 of them 600 bulk requests",
        _setting(arrivals, terms=ProviderTerms.fixed(Limits(rpm=10)), limit=10),
        (Goal(WAIT_P99, 10, partial(measures.wait, share=0.99, priority="interactive", published_from=600)),),
    )


def late_tenant() -> Scenario:
    def arrivals(chance: Random) -> Sequence[PublishedRequest]:
        first, late = Source("first", MODEL, tenant="first"), Source("late", MODEL, tenant="late")
        return merged(backlog(first, 3000), backlog(late, 500, at=chance.uniform(90, 150)))

    fair = 500 / (LIMIT / 2) * 60
    return Scenario(
        "late tenant",
        "3,000 of one tenant queued; 500 of another come 90 to 150 s later; the fair share is half of 500 RPM",
        _setting(arrivals),
        (Goal(LATE_TENANT, 1.15, lambda rehearsal: measures.last_start(rehearsal, "late") / fair),),
    )


def instances(count: int, rpm: int) -> Scenario:
    """Calls of 20 s and a limit that such a fleet is made for."""
    fleet = FleetSize(instances=count, concurrency=40, most_instances=count)
    goals = [Goal(HOT_MEAN, 1.2, measures.hottest_mean), Goal(HOT_WORST, 2, measures.hottest_worst)]
    if rpm >= 500:
        goals.append(Goal(WRITES, 1.4, measures.writes_per_render))
    return Scenario(
        f"{count} instance{'s' if count > 1 else ''}, {rpm:,} RPM",
        f"{4 * rpm:,} queued, {count} x 40 deliveries at once",
        _setting(
            lambda chance: backlog(NORMAL, 4 * rpm), terms=ProviderTerms.fixed(Limits(rpm=rpm)), limit=rpm, fleet=fleet
        ),
        goals,
    )


def slow_fleet() -> Scenario:
    """Beyond the design's table: a start that is missed costs the processor that it was missed for."""
    begins = 6.0
    fleet = FleetSize(instances=2, concurrency=400, most_instances=2, start=2 / begins)
    read = partial(measures.goodput, per_minute=60 * begins, begins=120, ends=420)
    return Scenario(
        "a fleet slower than its limit",
        "two instances that begin three calls a second each; 500 RPM, 1,000 queued and 650 a minute for 7 minutes",
        _setting(_saturating, fleet=fleet),
        (Goal(BEGUN, 70, read),),
    )


def idle() -> Scenario:
    return Scenario(
        "idle",
        "two requests a minute for half an hour, at 500 RPM",
        _setting(_steady(2, 1800)),
        (Goal(IDLE_P50, 0.5, partial(measures.wait, share=0.5, priority="normal")),),
    )


def kills() -> Scenario:
    count = 7000
    ideal = count / LIMIT * 60
    return Scenario(
        "the leading process killed three times",
        "7,000 queued at 500 RPM, killed after 2, 6 and 10 minutes; the ideal is 14 minutes",
        replace(_setting(lambda chance: backlog(NORMAL, count)), crashes=(120, 360, 600)),
        (Goal(FINISH, 1.05, lambda rehearsal: measures.last_start(rehearsal) / ideal),),
    )


def _saturating(chance: Random) -> Sequence[PublishedRequest]:
    steady = poisson(Source("steady", MODEL), 650, begins=0, ends=420, chance=chance)
    return merged(backlog(NORMAL, 1000), steady)


def _begun_by(ideal: float) -> Goal:
    """Beyond the design's table: a worker that stands still is not rejected either. The ideal uses all of it."""
    return Goal(FINISH, 1.1, lambda rehearsal: measures.last_start(rehearsal) / ideal)


def _steady(per_minute: float, ends: float) -> Callable[[Random], Sequence[PublishedRequest]]:
    return lambda chance: poisson(NORMAL, per_minute, begins=0, ends=ends, chance=chance)


def _setting(
    arrivals: Callable[[Random], Sequence[PublishedRequest]],
    *,
    window: WindowKind = "sliding",
    terms: ProviderTerms | None = None,
    limit: int = LIMIT,
    fleet: FleetSize = FLEET,
) -> Setting:
    return Setting(
        start=NOON,
        arrivals=arrivals,
        terms={MODEL: terms or ProviderTerms.fixed(Limits(rpm=LIMIT), window)},
        fleet=fleet,
        limits={MODEL: Limits(rpm=limit)},
    )


SCENARIOS: Sequence[Scenario] = (
    *(saturated(window) for window in WINDOW_KINDS),
    *(changing(window) for window in WINDOW_KINDS),
    shared(),
    day(),
    overload(),
    *(interactive(window) for window in WINDOW_KINDS),
    interactive_small(),
    late_tenant(),
    *(instances(count, rpm) for count, rpm in ((1, 60), (10, 500), (50, 1000), (200, 2000))),
    slow_fleet(),
    idle(),
    kills(),
)
