"""An outage of the primary model in virtual time: sick calls, the time to a picture, and what the primary served."""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct

from scripts.bench.harness.percentile import percentile
from shared.core.provider.call import Order
from shared.core.provider.failure import Failure, FailureKind
from shared.core.records.request import RequestRecord
from shared.core.routing.flag_history import HistoryLine
from tests.world import World

PRIMARY = "gemini-3-pro-image"
REQUESTS, EVERY = 240, timedelta(seconds=0.25)
WARM = timedelta(seconds=20)
"""Traffic before the measure begins, as in a worker that has been up for a while."""
BEGINS, LASTS = timedelta(seconds=10), timedelta(seconds=30)
LATENCY, SICK_AFTER = timedelta(seconds=1), timedelta(seconds=0.3)
"""Of a picture, and of a 503."""
STORE = 0.01
"""Seconds of one exchange with the store."""
GOAL = ("LiteLLM 1.110, cooldown 15 s after 4 failures, fallback", 10, 1.0, 7.1, 110)


class OutageFigures(Struct, frozen=True):
    seed: int
    sick: int
    """Calls to the primary that failed."""
    p50: float
    worst: float
    """Seconds from publishing to the end."""
    primary: int
    """Requests whose picture is the primary's."""
    lost: int
    tripped_after: float | None
    """Seconds from the first sick call to the breaker's trip."""


def run(seed: int, kind: FailureKind = FailureKind.OVERLOAD) -> OutageFigures:
    return asyncio.run(_run(seed, kind))


async def _run(seed: int, kind: FailureKind) -> OutageFigures:
    world = World("*=rpm:1000", seed=seed, latency=LATENCY)
    world.lane.failures_take = SICK_AFTER
    chance = random.Random(seed)
    slow_ports(world, chance)
    start = world.clock.now() + WARM
    begins, ends = start + BEGINS, start + BEGINS + LASTS

    def sick(order: Order, now: datetime) -> Failure | None:
        is_sick = order.model == PRIMARY and begins <= now < ends
        return Failure(kind, "the model is overloaded") if is_sick else None

    world.lane.sick = sick

    async def publish() -> None:
        for number in range(round(WARM / EVERY)):
            await world.submit(f"warm-{number:03d}", model=PRIMARY)
            await world.clock.sleep(EVERY.total_seconds())
        for number in range(REQUESTS):
            await world.submit(f"r-{number:03d}", model=PRIMARY)
            await world.clock.sleep(EVERY.total_seconds() * (0.5 + chance.random()))

    await world.run_for(WARM + REQUESTS * EVERY + timedelta(seconds=30), publish())
    await world.run_until_quiet()
    return _measured(world, seed)


def _measured(world: World, seed: int) -> OutageFigures:
    records = [RequestRecord.from_json(document.data) for document in world.store.all("requests")]
    own = [record for record in records if record.request_id.startswith("r-")]
    times = sorted(_seconds(record) for record in own)
    calls = [call for call in world.lane.calls if call.order.model == PRIMARY]
    sick = [call for call in calls if world.lane.sick(call.order, call.at) is not None]
    lines = [HistoryLine.from_json(document.data) for document in world.store.all("flag_history")]
    trips = [line.at for line in lines if line.action == "trip"]
    first = min((call.at for call in sick), default=None)
    return OutageFigures(
        seed=seed,
        sick=len(sick),
        p50=percentile(times, 0.5),
        worst=times[-1],
        primary=sum(record.route.model == PRIMARY and record.status == "succeeded" for record in own),
        lost=sum(record.status != "succeeded" for record in own),
        tripped_after=(min(trips) - first).total_seconds() if trips and first else None,
    )


def _seconds(record: RequestRecord) -> float:
    assert record.finished_at is not None
    assert record.published_at is not None
    return (record.finished_at - record.published_at).total_seconds()


def slow_ports(world: World, chance: random.Random) -> Counter[str]:
    """Have each exchange with store and topics take STORE, about. The `writes` are counted from now on."""
    counts: Counter[str] = Counter()
    world.guard = lambda port, name: _Slow(port, world, chance, counts) if name in ("store", "topics") else port
    world.boot()
    return counts


class _Slow:
    def __init__(self, port: object, world: World, chance: random.Random, counts: Counter[str]) -> None:
        self._port, self._world, self._chance, self._counts = port, world, chance, counts

    def __getattr__(self, verb: str) -> Callable[..., object]:
        real = getattr(self._port, verb)

        async def called(*arguments: object, **named: object) -> object:
            self._counts["writes"] += len(arguments) if verb == "commit" else 0
            await self._world.clock.sleep(STORE * (0.5 + self._chance.random()))
            return await real(*arguments, **named)

        return called


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--kind", choices=[kind.value for kind in FailureKind], default=FailureKind.OVERLOAD.value)
    options = parser.parse_args()
    print(f"{'seed':>4} {'sick':>5} {'p50':>6} {'worst':>6} {'primary':>8} {'lost':>5} {'tripped after':>14}")
    for seed in range(1, options.seeds + 1):
        outcome = run(seed, FailureKind(options.kind))
        print(
            f"{seed:4} {outcome.sick:5} {outcome.p50:6.2f} {outcome.worst:6.2f} {outcome.primary:8} {outcome.lost:5} "
            f"{outcome.tripped_after or float('nan'):14.2f}"
        )
    print("goal: fewer, less, less, more than", *GOAL)


if __name__ == "__main__":
    main()
