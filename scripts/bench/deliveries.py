"""Push against pull in virtual time: a ramp from rest to 200 calls in flight, and 20 s in which every delivery fails.

The emulators show neither Pub/Sub's push window nor its back-off nor Cloud Run's 429;
scripts/virtual_time/models/pubsub_model.py models them and says what is documented and what is assumed. Each figure is
the worst of the seeds.
"""

from __future__ import annotations

import argparse
import math
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from random import Random

from msgspec import Struct
from msgspec.structs import replace
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from scripts.bench.harness import rig
from scripts.virtual_time import measures
from scripts.virtual_time.arrivals import backlog, poisson
from scripts.virtual_time.models.fleet_model import DeliveryTerms, FleetSize
from scripts.virtual_time.models.provider_limits import ProviderTerms
from scripts.virtual_time.models.renderlane_model import PumpModel
from scripts.virtual_time.request import PublishedRequest
from scripts.virtual_time.run import Rehearsal, Setting, rehearse
from scripts.virtual_time.scenarios import MODEL, NOON, NORMAL
from shared.core.limits.quota import Limits

RPM = 600
DEMAND = 480
"""Requests a minute; with calls of 20 s on average, 160 in flight. The rest of the quota is there to catch up with."""
IN_FLIGHT = 145
AT_ONCE = 200
RAMP_SECONDS = 300.0
OUTAGE = (300.0, 320.0)
BURST_SECONDS = 720.0
STRUCK = (290.0, 440.0)
"""Requests published in this span are judged: before, in and after the outage."""
BEHIND = 10
"""Requests that may wait where nothing is behind."""

WAYS: dict[str, FleetSize] = {
    "push, held for the call": FleetSize(10, 40, 10, terms=DeliveryTerms("push", "for the call")),
    "push, held, 5 deliveries from 1 s": FleetSize(
        10, 40, 10,
        terms=DeliveryTerms("push", "for the call", most_deliveries=5, shortest_backoff=1, longest_backoff=60),
    ),
    "pull, held for the call": FleetSize(10, 40, 10, terms=DeliveryTerms("pull", "for the call")),
    "push, background": FleetSize(4, 40, 4, terms=DeliveryTerms("push", "for one exchange"), carries=400),
    "pull, background": FleetSize(1, 40, 1, terms=DeliveryTerms("pull", "for one exchange"), carries=400),
}  # fmt: skip


class Ramp(Struct, frozen=True):
    """From rest."""

    all_begun_after: float
    """Seconds until AT_ONCE requests, published at once, had begun."""
    in_flight_after: float
    """Seconds of the steady demand until IN_FLIGHT calls were in flight."""
    wait_p50: float
    """Seconds that requests of the first two minutes of the steady demand waited."""
    wait_p99: float


class Burst(Struct, frozen=True):
    """Twenty seconds in which the store does not answer, under the steady demand."""

    caught_up_after: float
    """Seconds from the outage's end until no more wait than usual."""
    wait_p99: float
    failed: int
    refused: int
    dead: int
    stopped_seconds: float


def ramp(way: FleetSize, seed: int) -> Ramp:
    at_once = rehearse(_setting(way, lambda _: backlog(NORMAL, AT_ONCE), RAMP_SECONDS), PumpModel(), seed)
    steady = rehearse(_setting(way, _steady(RAMP_SECONDS), RAMP_SECONDS), PumpModel(), seed)
    waits = _waits(steady, 0, 120)
    return Ramp(
        measures.last_start(at_once), _in_flight_after(steady), measures.quantile(waits, 0.5),
        measures.quantile(waits, 0.99),
    )  # fmt: skip


def burst(way: FleetSize, seed: int) -> Burst:
    assert way.terms is not None
    struck = replace(way, terms=replace(way.terms, outage=OUTAGE))
    rehearsal = rehearse(_setting(struck, _steady(BURST_SECONDS), BURST_SECONDS), PumpModel(), seed)
    counts = rehearsal.deliveries
    wait = measures.quantile(_waits(rehearsal, *STRUCK), 0.99)
    return Burst(_caught_up_after(rehearsal), wait, counts.failed, counts.refused, counts.dead, counts.stopped_seconds)


def _steady(ends: float) -> Callable[[Random], Sequence[PublishedRequest]]:
    return lambda chance: poisson(NORMAL, DEMAND, begins=0, ends=ends, chance=chance)


def _setting(way: FleetSize, arrivals: Callable[[Random], Sequence[PublishedRequest]], until: float) -> Setting:
    return Setting(
        start=NOON,
        arrivals=arrivals,
        terms={MODEL: ProviderTerms.fixed(Limits(rpm=RPM))},
        fleet=way,
        limits={MODEL: Limits(rpm=RPM)},
        until=until,
    )


def _waits(rehearsal: Rehearsal, begins: float, ends: float) -> list[float]:
    requests = [request for request in rehearsal.requests if begins <= request.arrival.at < ends]
    return [math.inf if request.wait is None else request.wait for request in requests]


def _in_flight_after(rehearsal: Rehearsal) -> float:
    """The first instant at which so many calls were in flight."""
    begun, ended = _instants(rehearsal)
    for at in begun:
        if bisect_right(begun, at) - bisect_left(ended, at) >= IN_FLIGHT:
            return at
    return math.inf


def _caught_up_after(rehearsal: Rehearsal) -> float:
    published = sorted(request.arrival.at for request in rehearsal.requests)
    begun, _ = _instants(rehearsal)
    for second in range(int(OUTAGE[1]), int(BURST_SECONDS)):
        if bisect_right(published, second) - bisect_right(begun, second) <= BEHIND:
            return second - OUTAGE[1]
    return math.inf


def _instants(rehearsal: Rehearsal) -> tuple[list[float], list[float]]:
    """When calls began, and when they ended."""
    begun = sorted(request.began_at for request in rehearsal.requests if request.began_at is not None)
    return begun, sorted(request.ended_at for request in rehearsal.requests if request.ended_at is not None)


def worst(figures: Sequence[Ramp] | Sequence[Burst], name: str) -> float:
    return float(max(getattr(figure, name) for figure in figures))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--json", metavar="FILE")
    chosen = options.parse_args()
    began = time.monotonic()
    seeds = range(1, chosen.seeds + 1)
    ramps = {name: [ramp(way, seed) for seed in seeds] for name, way in WAYS.items()}
    bursts = {name: [burst(way, seed) for seed in seeds] for name, way in WAYS.items()}
    _print(ramps, bursts)
    print(f"{3 * len(WAYS) * chosen.seeds} rehearsals in {time.monotonic() - began:.0f} s")
    rig.write_json(chosen.json, {"ramp": _as_json(ramps), "burst": _as_json(bursts)})
    return 0


def _print(ramps: dict[str, list[Ramp]], bursts: dict[str, list[Burst]]) -> None:
    console = Console(width=120)
    title = f"from rest to 200 in flight: {AT_ONCE} at once, and {DEMAND} a minute at {RPM} RPM; seconds"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in ("", f"{AT_ONCE} at once:\nall begun", f"{IN_FLIGHT} in\nflight", "wait\np50", "wait\np99"):
        table.add_column(name, justify="right" if name else "left")
    for name, rows in ramps.items():
        table.add_row(name, *(_seconds(worst(rows, field)) for field in Ramp.__struct_fields__))
    console.print(table)
    title = "20 s in which every delivery answers 503; seconds and counts"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in ("", "caught up\nafter", "wait\np99", "503", "429", "dead\nletters", "push\nstopped"):
        table.add_column(name, justify="right" if name else "left")
    for name, struck in bursts.items():
        table.add_row(name, *(_seconds(worst(struck, field)) for field in Burst.__struct_fields__))
    console.print(table)


def _seconds(value: float) -> str:
    if math.isinf(value):
        return f"> {BURST_SECONDS - OUTAGE[1]:.0f}"
    return f"{value:.1f}" if value < 10 and value != int(value) else f"{value:.0f}"


def _as_json(rows: dict[str, list[Ramp]] | dict[str, list[Burst]]) -> dict[str, list[dict[str, float]]]:
    return {
        name: [{field: getattr(figure, field) for field in figure.__struct_fields__} for figure in figures]
        for name, figures in rows.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
