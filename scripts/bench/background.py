"""Calls in the background against calls that are held: how long a delivery is held, and how soon a result is out.

The one-machine home runs in this process, against the simulator: ten requests a second and calls of 20 s, so 200 calls
in flight. Each delivery of `render` is timed from its push to its answer. Three ways: held for the call (`off`), in the
background with webhooks, and in the background by looking alone, as where the provider cannot call back.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from functions import main as functions
from scripts.bench.harness import rig
from scripts.bench.harness.percentile import percentile
from scripts.bench.harness.progress import ProgressLine
from scripts.local import home
from scripts.local.upstream import Upstream, paced
from shared.config import Settings
from shared.core.lifecycle import queries
from shared.core.records.versioned import request_in

WAYS = ("held", "webhooks", "polled")
REQUESTS, AT_ONCE, CONCURRENCY = 600, 200, 40
"""CONCURRENCY: deliveries that one instance of `render` takes, as Terraform sets it."""
LATENCY, PER_SECOND = "uniform:15,25", 10
WITHIN = 240.0
MOST_AFTER_LEAD, MOST_TOLD, MOST_POLLED = 0.5, 0.5, 2.0
"""The goals, in seconds: what a delivery is held beyond its lead; from the model's end to the result with webhooks, and
without."""


class RenderDelivery(Struct, frozen=True):
    """One delivery of `render`, by this machine's clock."""

    request_id: str
    began_at: datetime
    ended_at: datetime

    @property
    def seconds(self) -> float:
        return (self.ended_at - self.began_at).total_seconds()


class WayFigures(Struct, frozen=True):
    held_p50: float
    lead_p50: float
    """From the push to the slot."""
    beyond_lead_p50: float
    most_at_once: int
    """Deliveries held together, at most."""
    mean_at_once: float
    """While calls were begun."""
    instances: int
    """That carry 95 % of the time from the first call to the last."""
    told_p50: float
    """From the model's end to the result."""
    told_p95: float
    seconds: float


async def play(way: str, requests: int) -> WayFigures:
    began, deliveries = time.monotonic(), list[RenderDelivery]()
    with rig.simulator(latency=LATENCY) as provider, tempfile.TemporaryDirectory(prefix="renderlane-bench-") as folder:
        environment = {
            "RENDERLANE_HOME": folder,
            "GEMINI_API_KEY": "AQ.bench",
            "GOOGLE_GEMINI_BASE_URL": provider.url,
            "RENDERLANE_QUOTA": f"*=concurrency:{2 * AT_ONCE}",
            "RENDERLANE_CAPACITY": str(3 * AT_ONCE),
            "RENDERLANE_BACKGROUND": "off" if way == "held" else "auto",
        }
        settings = Settings.read(environment, Path.cwd())
        client = Upstream.of(environment)
        await client.listen()
        with _timed(deliveries), _out_of_reach(way == "polled"):
            async with home.running(settings, 0, home.Simulated(), io.StringIO()):
                await client.publish([{"request_id": "first", "prompt": "picture"}])
                await client.wait_for(1, WITHIN)  # what the model takes is learned: the canary
                await _publish(client, requests)
                await client.wait_for(requests + 1, WITHIN)
        slots = {
            request.record.request_id: request.record.slot_start
            for request in map(request_in, await client.store.query(queries.newest("succeeded", requests + 1)))
        }
        published = {str(result["request_id"]): result["published_at"] for result in await client.results()}
        ended = {
            str(call["marker"]): datetime.fromisoformat(call["finished_at"])
            for call in rig.calls(provider.url) if call["finished_at"]
        }  # fmt: skip
        await client.close()
    del slots["first"]
    return _figures(deliveries, slots, ended, published, time.monotonic() - began)


async def _publish(client: Upstream, requests: int) -> None:
    async for number in paced(number / PER_SECOND for number in range(requests)):
        await client.publish([{"request_id": f"r-{number:04}", "prompt": f"picture {number}"}])


@contextmanager
def _timed(deliveries: list[RenderDelivery]) -> Iterator[None]:
    """Every push to `render` is noted."""
    real: Any = functions.render

    async def render(request: Request) -> Response:
        name = _request_id(await request.body())
        began_at = datetime.now(UTC)
        try:
            answer: Response = await real(request)
            return answer
        finally:
            deliveries.append(RenderDelivery(name, began_at, datetime.now(UTC)))

    functions.render = render
    try:
        yield
    finally:
        functions.render = real


@contextmanager
def _out_of_reach(wanted: bool) -> Iterator[None]:
    """As where the provider is elsewhere: it is given no address to call back."""
    real = home._told_by_stand_in

    def untold(settings: Settings, port: int) -> Settings:
        return settings

    if wanted:
        home._told_by_stand_in = untold
    try:
        yield
    finally:
        home._told_by_stand_in = real


def _request_id(body: bytes) -> str:
    return str(json.loads(base64.b64decode(json.loads(body)["message"]["data"]))["request_id"])


def _figures(
    deliveries: Sequence[RenderDelivery],
    slots: dict[str, datetime],
    ended: dict[str, datetime],
    published: dict[str, datetime],
    seconds: float,
) -> WayFigures:
    of_calls = [one for one in deliveries if one.request_id in slots]
    leads = [max(0.0, (slots[one.request_id] - one.began_at).total_seconds()) for one in of_calls]
    together = _together(of_calls)
    delays = sorted((published[name] - ended[name]).total_seconds() for name in slots)
    return WayFigures(
        held_p50=median(one.seconds for one in of_calls),
        lead_p50=median(leads),
        beyond_lead_p50=median(one.seconds - lead for one, lead in zip(of_calls, leads, strict=True)),
        most_at_once=max(together),
        mean_at_once=sum(together) / len(together),
        instances=math.ceil(percentile(together, 0.95) / CONCURRENCY),
        told_p50=median(delays),
        told_p95=percentile(delays, 0.95),
        seconds=seconds,
    )


def _together(deliveries: Sequence[RenderDelivery]) -> list[int]:
    """How many are held at each tenth of a second, from the first push to the last."""
    first, last = min(one.began_at for one in deliveries), max(one.began_at for one in deliveries)
    steps = math.ceil((last - first).total_seconds() * 10) + 1
    moments = [first + timedelta(seconds=step / 10) for step in range(steps)]
    return [sum(one.began_at <= moment < one.ended_at for one in deliveries) for moment in moments]


def missed(way: str, figures: WayFigures) -> list[str]:
    """Goals of calls in the background that were not reached."""
    if way == "held":
        return []
    most = MOST_TOLD if way == "webhooks" else MOST_POLLED
    problems = []
    if figures.beyond_lead_p50 > MOST_AFTER_LEAD:
        problems.append(f"held {figures.beyond_lead_p50:.2f} s beyond the lead; the goal is {MOST_AFTER_LEAD} s")
    if figures.instances > 1:
        problems.append(f"{figures.instances} instances are needed; the goal is 1")
    if figures.told_p50 > most:
        problems.append(f"{figures.told_p50:.2f} s from the model's end to the result; the goal is {most} s")
    return problems


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--way", action="append", choices=WAYS, help="this way only; may be repeated")
    options.add_argument("--requests", type=int, default=REQUESTS)
    options.add_argument("--json", metavar="FILE")
    chosen = options.parse_args()
    progress, figures, failed = ProgressLine(), dict[str, Any](), False
    rows: list[list[str]] = []
    for way in chosen.way or WAYS:
        progress.say(f"{chosen.requests} requests, {PER_SECOND} a second, {way}")
        of_way = asyncio.run(play(way, chosen.requests))
        figures[way] = {name: round(getattr(of_way, name), 3) for name in WayFigures.__struct_fields__}
        rows.append(_row(way, of_way))
        for problem in missed(way, of_way):
            failed = True
            print(f"{way}: {problem}")
    rig.print_table(f"{chosen.requests} requests, {AT_ONCE} calls in flight, 20 s each; seconds", _COLUMNS, rows)
    rig.write_json(chosen.json, figures)
    return int(failed)


_COLUMNS = [
    "",
    "held p50",
    "lead p50",
    "beyond it p50",
    "held at once, mean / most",
    "instances",
    "end to result p50 / p95",
]


def _row(way: str, of_way: WayFigures) -> list[str]:
    return [
        way,
        f"{of_way.held_p50:.2f}",
        f"{of_way.lead_p50:.2f}",
        f"{of_way.beyond_lead_p50:.2f}",
        f"{of_way.mean_at_once:.1f} / {of_way.most_at_once}",
        str(of_way.instances),
        f"{of_way.told_p50:.2f} / {of_way.told_p95:.2f}",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
