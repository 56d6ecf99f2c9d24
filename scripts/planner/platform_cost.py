"""What Google Cloud costs beside the images: counters of one render x list prices, by renders in flight.

./scripts/platform-cost [--in-flight 1,10,50,200] [--json]
"""

from __future__ import annotations

import json
import math
import tomllib
from datetime import date
from pathlib import Path
from typing import Literal

import click
from msgspec import Struct, convert, to_builtins

PRICES = Path(__file__).with_name("platform_prices.toml")
HOUR = 3600.0
GIB = 1 << 30
SMALLEST_MESSAGE = 1000
"""Bytes that Pub/Sub charges for at least."""
WAYS: tuple[Literal["background", "held"], ...] = ("background", "held")


class PlatformCost(Struct, frozen=True):
    """Dollars an hour of one steady load, by what is paid for."""

    in_flight: int
    way: str
    renders: float
    """An hour."""
    instances: int
    """Of render."""
    run: float
    firestore: float
    pubsub: float
    logs_and_metrics: float
    storage: float

    @property
    def hour(self) -> float:
        return self.run + self.firestore + self.pubsub + self.logs_and_metrics + self.storage

    @property
    def thousand(self) -> float:
        """For 1,000 images."""
        return 1000 * self.hour / self.renders

    @property
    def own(self) -> float:
        """Dollars a render without the storage of its image, which any other way to make it needs as well."""
        return (self.hour - self.storage) / self.renders


class Prices(Struct, frozen=True):
    """Dollars, by the units that Google Cloud charges for."""

    cpu_second: float
    gib_second: float
    pool_cpu_second: float
    pool_gib_second: float
    run_request: float
    firestore_read: float
    firestore_write: float
    pubsub_gib: float
    log_gib: float
    storage_gib_month: float
    storage_create: float
    metric_sample: float


class Render(Struct, frozen=True):
    """What one render that succeeds at its first attempt takes."""

    seconds: float
    """Of the call."""
    writes: int
    reads: int
    messages: int
    log_bytes: int
    image_mb: float
    pro_image: float
    """Dollars, of the provider."""
    stored_months: float


class FleetShape(Struct, frozen=True):
    """The functions' sizes, and how long each is busy."""

    concurrency: int
    render_gib: float
    used: float
    """Of the fleet's places."""
    exchange_seconds: float
    pump_gib: float
    intake_seconds: float
    small_gib: float
    samples_a_second: float


class PlatformPrices(Struct, frozen=True):
    """`platform_prices.toml`."""

    checked: date
    prices: Prices
    render: Render
    fleet: FleetShape


def read(path: Path = PRICES) -> PlatformPrices:
    return convert(tomllib.loads(path.read_text("utf-8")), PlatformPrices)


def cost(in_flight: int, way: Literal["background", "held"], data: PlatformPrices) -> PlatformCost:
    """Held calls are pulled for by a worker pool, which is paid for as long as it runs; background calls are pushed."""
    prices, render, fleet = data.prices, data.render, data.fleet
    renders = in_flight / render.seconds * HOUR
    if way == "held":
        instances = math.ceil(in_flight / (fleet.concurrency * fleet.used))
        rendering = HOUR * instances * (prices.pool_cpu_second + fleet.render_gib * prices.pool_gib_second)
    else:
        at_once = in_flight * fleet.exchange_seconds / render.seconds
        instances = math.ceil(at_once / (fleet.concurrency * fleet.used))
        busy = min(1.0, renders * fleet.exchange_seconds / HOUR)
        rendering = HOUR * instances * busy * _second(prices, fleet.render_gib)
    busy_pump = min(1.0, renders * 3 / HOUR)  # it stays for three seconds after the last request
    run = (
        rendering
        + HOUR * busy_pump * _second(prices, fleet.pump_gib)
        + min(HOUR, renders * fleet.intake_seconds) * _second(prices, fleet.small_gib)
        + 60 * _second(prices, 1.0)  # watch: a second a minute
        + renders * render.messages * prices.run_request
    )
    return PlatformCost(
        in_flight=in_flight,
        way=way,
        renders=renders,
        instances=instances,
        run=run,
        firestore=renders * (render.reads * prices.firestore_read + render.writes * prices.firestore_write),
        pubsub=2 * renders * render.messages * SMALLEST_MESSAGE / GIB * prices.pubsub_gib,
        logs_and_metrics=renders * render.log_bytes / GIB * prices.log_gib
        + HOUR * fleet.samples_a_second * prices.metric_sample,
        storage=renders
        * (render.image_mb * 1e6 / GIB * prices.storage_gib_month * render.stored_months + prices.storage_create),
    )


def _second(prices: Prices, gib: float) -> float:
    """Of one instance with one CPU."""
    return prices.cpu_second + gib * prices.gib_second


def rows(loads: list[int], data: PlatformPrices) -> list[PlatformCost]:
    return [cost(in_flight, way, data) for in_flight in loads for way in WAYS]


@click.command(help="Google Cloud's own cost by renders in flight: counters of one render x list prices.")
@click.option("--in-flight", "text", default="1,10,50,200", show_default=True, help="Loads, separated by commas.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def main(text: str, as_json: bool) -> None:
    try:
        loads = [int(part) for part in text.split(",")]
        assert all(load >= 1 for load in loads)
    except (ValueError, AssertionError) as error:
        raise click.UsageError(
            f"--in-flight: found {text!r}; allowed: whole numbers from 1, such as 1,10,50"
        ) from error
    data = read()
    image = data.render
    table = rows(loads, data)
    if as_json:
        click.echo(
            json.dumps(
                [{**to_builtins(row), "hour": row.hour, "thousand": row.thousand, "own": row.own} for row in table]
            )
        )
        return
    click.echo(f"list prices of {data.checked}, dollars an hour; calls of {image.seconds:g} s\n")
    click.echo(
        "in flight  calls       renders/h  instances  Run     Firestore  Pub/Sub  logs    storage  hour    per 1,000  "
        "without storage, of a Pro image"
    )
    for row in table:
        click.echo(
            f"{row.in_flight:>9}  {row.way:<10}  {row.renders:>9,.0f}  {row.instances:>9}  {row.run:<6.3f}  "
            f"{row.firestore:<9.3f}  {row.pubsub:<7.3f}  {row.logs_and_metrics:<6.3f}  {row.storage:<7.3f}  "
            f"{row.hour:<6.2f}  {row.thousand:<9.3f}  {row.own / image.pro_image:.3%}"
        )


if __name__ == "__main__":
    main(prog_name="./scripts/platform-cost")
