"""Light load in virtual time: how long a request waits from its acceptance to its call, and what that writes."""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct

from scripts.bench.harness.percentile import percentile
from scripts.bench.outage import slow_ports
from shared.core.records.request import RequestRecord
from tests.world import World

REQUESTS = 240
MODEL = "gemini-3-pro-image"
MIXED = (MODEL, "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image")
QUOTAS = ("", "*=rpm:1000", "*=rpm:480")
LATENCY = timedelta(seconds=8)
WARM = 60.0
"""Seconds of the same traffic before the measure begins: an unknown limit is tried step by step."""


class WaitFigures(Struct, frozen=True):
    quota: str
    rate: float
    """Requests a second."""
    p50: float
    p99: float
    """Seconds from the acceptance of a request to the beginning of its call."""
    at_once: float
    """Share of the requests that took a slot as they arrived."""
    writes: float
    """Writes to the store per render, of all kinds."""


def run(quota: str, rate: float, seed: int, requests: int = REQUESTS, models: Sequence[str] = (MODEL,)) -> WaitFigures:
    return asyncio.run(_run(quota, rate, seed, requests, models))


async def _run(quota: str, rate: float, seed: int, requests: int, models: Sequence[str]) -> WaitFigures:
    world, chance = World(quota, seed=seed, latency=LATENCY), random.Random(seed)
    counts = slow_ports(world, chance)
    warm = round(WARM * rate)

    async def publish() -> None:
        for number in range(-warm, requests):
            await world.clock.sleep(chance.expovariate(rate))
            await world.submit(f"r-{number}", model=chance.choice(models))

    await world.run_for(timedelta(seconds=(warm + requests) / rate * 1.5 + 30), publish())
    await world.run_until_quiet()
    waits, at_once = [], 0
    for number in range(requests):
        record, first = RequestRecord.from_json(world.status(f"r-{number}")), world.attempts(f"r-{number}")[0]
        waits.append((first["started_at"] - record.created_at).total_seconds())
        at_once += record.open_slot is not None
    writes = counts["writes"] / (warm + requests)
    return WaitFigures(quota, rate, percentile(waits, 0.5), percentile(waits, 0.99), at_once / requests, writes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=4.0, help="requests a second")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(f"{'quota':<12} {'models':>6} {'seed':>4} {'p50':>6} {'p99':>6} {'at once':>8} {'writes':>7}")
    scenes = [(quota, (MODEL,)) for quota in QUOTAS] + [(quota, MIXED) for quota in QUOTAS]
    for quota, models in scenes:
        for seed in range(1, options.seeds + 1):
            waits = run(quota, options.rate, seed, options.requests, models)
            print(
                f"{quota or 'unknown':<12} {len(models):6} {seed:4} {waits.p50:6.2f} {waits.p99:6.2f} "
                f"{waits.at_once:8.1%} {waits.writes:7.2f}"
            )


if __name__ == "__main__":
    main()
